# level: scoped
# a1: the built Database
# f1: the factory of Session (golden/application.py:0)
async def enter(s):
    s.x = None
    try:
        g = f1(a1)
        s1 = await g.__anext__()
        if s.x is None:
            s.x = g
        else:
            push(s, g)
        return s1
    except BaseException as error:
        await undo_opening(s, error, lines)
        raise
