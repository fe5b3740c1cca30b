# level: scoped
# a1: the built Settings
# c1: a constant, str
# f1: the factory of Audit (golden/application.py:0)
# f2: the factory of Users (golden/application.py:0)
# n1: what the graph knows of Audit
# n2: what the graph knows of Users
# n3: what the graph knows of Users
async def root(s):
    v = s.v
    if (s1 := v[2]) is not UNSET and s1 is not FLIGHT:
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
        while (s3 := v[1]) is FLIGHT:
            await join(s, 1, n2)
        if s3 is UNSET:
            v[1] = FLIGHT
            s3 = f2(s2)
            s3._asyncmeta_scope = s
            v[1] = s3
        while (s1 := v[2]) is FLIGHT:
            await join(s, 2, n3)
        if s1 is UNSET:
            v[2] = FLIGHT
            await s3.on_startup()
            if s.x is None:
                s.x = s3.on_shutdown
            else:
                push(s, s3.on_shutdown)
            s1 = s3
            v[2] = s1
            if s.w:
                settle(s, 2, s1)
        r = s1
    except BaseException as error:
        s.n -= 1
        undo(s, error, lines)
        raise
    s.n -= 1
    if s.n >= CLOSING:
        landed(s)
    return r
