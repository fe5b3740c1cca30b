# level: scoped
# a1: the built Database
# f1: the factory of Session (golden/application.py:0)
# n1: what the graph knows of Session
async def root(s):
    v = s.v
    if (s1 := v[3]) is not UNSET and s1 is not FLIGHT:
        return s1
    live(s)
    s.n += 1
    try:
        while (s1 := v[3]) is FLIGHT:
            await join(s, 3, n1)
        if s1 is UNSET:
            v[3] = FLIGHT
            g = f1(a1)
            s1 = await g.__anext__()
            if s.x is None:
                s.x = g
            else:
                push(s, g)
            v[3] = s1
            if s.w:
                settle(s, 3, s1)
        r = s1
    except BaseException as error:
        s.n -= 1
        undo(s, error, lines)
        raise
    s.n -= 1
    if s.n >= CLOSING:
        landed(s)
    return r
