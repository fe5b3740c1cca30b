# level: scoped
# f1: the factory of "greeting" (golden/application.py:0)
# n1: what the graph knows of Request
# n2: what the graph knows of "greeting"
async def root(s):
    v = s.v
    if (s1 := v[9]) is not UNSET and s1 is not FLIGHT:
        return s1
    try:
        if (s2 := v[0]) is UNSET:
            raise absent(n1, s)
        while (s1 := v[9]) is FLIGHT:
            await join(s, 9, n2)
        if s1 is UNSET:
            v[9] = FLIGHT
            s1 = f1(s2)
            v[9] = s1
        return s1
    except BaseException as error:
        undo(s, error, lines)
        raise
