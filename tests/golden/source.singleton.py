# level: singleton
# a1: the built Database
# container values are built once, call by call; this is what a get of them runs afterwards
async def root(s):
    if (s1 := v[-1]) is not UNSET and s1 is not FLIGHT:
        return s1
    try:
        return a1
    except BaseException as error:
        undo(s, error, lines)
        raise
