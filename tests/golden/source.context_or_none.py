# level: scoped
# f1: the factory of "perhaps" (golden/application.py:0)
# n1: what the graph knows of "perhaps"
async def root(s):
    v = s.v
    if (s1 := v[10]) is not UNSET and s1 is not FLIGHT:
        return s1
    try:
        while (s1 := v[10]) is FLIGHT:
            await join(s, 10, n1)
        if s1 is UNSET:
            v[10] = FLIGHT
            s1 = f1((s2 if (s2 := v[0]) is not UNSET else None))
            v[10] = s1
        return s1
    except BaseException as error:
        undo(s, error, lines)
        raise
