# level: scoped
# f1: the factory of "handles" (golden/application.py:0)
# h1: what a handle asks for, Mailer
# n1: what the graph knows of "handles"
# n2: what the graph knows of Report
async def root(s):
    v = s.v
    if (s1 := v[8]) is not UNSET and s1 is not FLIGHT:
        return s1
    try:
        while (s1 := v[8]) is FLIGHT:
            await join(s, 8, n1)
        if s1 is UNSET:
            v[8] = FLIGHT
            s1 = f1(late_handle(s, h1), factory_handle(s, n2))
            v[8] = s1
        return s1
    except BaseException as error:
        undo(s, error, lines)
        raise
