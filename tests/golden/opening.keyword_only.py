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
async def enter(s):
    s.x = None
    try:
        s1 = f1(a1, c1)
        g = f2(a2)
        s2 = await g.__anext__()
        if s.x is None:
            s.x = g
        else:
            push(s, g)
        t1 = f3(s1)
        t2 = f3(s1)
        t3 = await f4(t1, t2)
        s3 = await f5(**{c2: s2, c3: t3, c4: c1})
        return s3
    except BaseException as error:
        await undo_opening(s, error, lines)
        raise
