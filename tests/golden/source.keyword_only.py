# level: scoped
# a1: the built Settings
# a2: the built Database
# c1: a constant, str
# c2: a constant, str
# c3: a constant, str
# c4: a constant, str
# f1: the factory of Audit (golden/application.py:0)
# f2: the factory of Session (golden/application.py:0)
# f3: the factory of Header (golden/application.py:0)
# f4: the factory of Page (golden/application.py:0)
# f5: the factory of Report (golden/application.py:0)
# n1: what the graph knows of Audit
# n2: what the graph knows of Session
# n3: what the graph knows of Report
async def root(s):
    v = s.v
    if (s1 := v[6]) is not UNSET and s1 is not FLIGHT:
        return s1
    live(s)
    s.n += 1
    try:
        while (s2 := v[4]) is FLIGHT:
            await join(s, 4, n1)
        if s2 is UNSET:
            v[4] = FLIGHT
            s2 = f1(a1, c1)
            v[4] = s2
        while (s3 := v[3]) is FLIGHT:
            await join(s, 3, n2)
        if s3 is UNSET:
            v[3] = FLIGHT
            g = f2(a2)
            s3 = await g.__anext__()
            if s.x is None:
                s.x = g
            else:
                push(s, g)
            v[3] = s3
            if s.w:
                settle(s, 3, s3)
        while (s1 := v[6]) is FLIGHT:
            await join(s, 6, n3)
        if s1 is UNSET:
            v[6] = FLIGHT
            t1 = f3(s2)
            t2 = f3(s2)
            t3 = await f4(t1, t2)
            s1 = await f5(**{c2: s3, c3: t3, c4: c1})
            v[6] = s1
            if s.w:
                settle(s, 6, s1)
        r = s1
    except BaseException as error:
        s.n -= 1
        undo(s, error, lines)
        raise
    s.n -= 1
    if s.n >= CLOSING:
        landed(s)
    return r
