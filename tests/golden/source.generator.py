# level: scoped
# a1: the built Settings
# c1: a constant, str
# f1: the factory of Audit (golden/application.py:0)
# f2: the factory of "lock" (golden/application.py:0)
# n1: what the graph knows of Audit
# n2: what the graph knows of "lock"
async def root(s):
    v = s.v
    if (s1 := v[5]) is not UNSET and s1 is not FLIGHT:
        return s1
    live(s)
    try:
        while (s2 := v[4]) is FLIGHT:
            await join(s, 4, n1)
        if s2 is UNSET:
            v[4] = FLIGHT
            s2 = f1(a1, c1)
            v[4] = s2
        while (s1 := v[5]) is FLIGHT:
            await join(s, 5, n2)
        if s1 is UNSET:
            v[5] = FLIGHT
            g = f2(s2)
            s1 = next(g)
            if s.x is None:
                s.x = g
            else:
                push(s, g)
            v[5] = s1
        return s1
    except BaseException as error:
        undo(s, error, lines)
        raise
