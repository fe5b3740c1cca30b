# level: scoped
# a1: the built Settings
# c1: a constant, str
# f1: the factory of Audit (golden/application.py:0)
# f2: the factory of Header (golden/application.py:0)
# f3: the factory of Page (golden/application.py:0)
# n1: what the graph knows of Audit
async def root(s):
    v = s.v
    live(s)
    s.n += 1
    try:
        while (s1 := v[4]) is FLIGHT:
            await join(s, 4, n1)
        if s1 is UNSET:
            v[4] = FLIGHT
            s1 = f1(a1, c1)
            v[4] = s1
        t1 = f2(s1)
        t2 = f2(s1)
        t3 = await f3(t1, t2)
        r = t3
    except BaseException as error:
        s.n -= 1
        undo(s, error, lines)
        raise
    s.n -= 1
    if s.n >= CLOSING:
        landed(s)
    return r
