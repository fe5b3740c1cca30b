# level: scoped
# a1: the built Settings
# c1: a constant, str
# f1: the factory of Audit (golden/application.py:0)
# f2: the factory of Header (golden/application.py:0)
# f3: the factory of Page (golden/application.py:0)
async def enter(s):
    s.x = None
    try:
        s1 = f1(a1, c1)
        t1 = f2(s1)
        t2 = f2(s1)
        t3 = await f3(t1, t2)
        return t3
    except BaseException as error:
        await undo_opening(s, error, lines)
        raise
