"""
Claim, build, abandon, take over, close: one container value and the scopes that use it, as a small model.

A caller opens a scope, asks for a session that stands on the pool, uses it, and leaves.  The pool is built in a task of
the container's, by one factory for all who wait; who is cancelled only stops waiting, and a build that nobody waits for
is cancelled and waited for by those who come.  Closers close the container: builds are stopped, scopes that are still
open are closed, then the pool.  A task of the container's may be cancelled before its first step, by the end of a loop.

Every move takes one process to its next wait; what may happen next is every move that is possible, so that a search
through them is a search through all interleavings.

    python -m model.check       from the folder tests; see there
"""

from collections import deque
from typing import NamedTuple

ENDS = ("value", "closed", "cancelled")
#: Mistakes that a container could make, each of which the search has to find.
MISTAKES = (
    "a task that never ran a line settles nothing",
    "a closing that never ran a line is not begun again",
    "who comes while a build dies begins at once",
    "the pool is closed without waiting for scopes",
    "closing does not wait for builds",
    "a build that nobody waits for is kept when it is done",
    "who waits for a dying build is not woken",
)


class State(NamedTuple):
    """Where everybody is."""

    #: "new"; "asked"; "wait" and "woken ..." for the pool; "make" and "made" at the session's factory; "use"; "leaving";
    #: "out ..." and "past ..." at the session's finalizer; "shut" and "shutting" where the container runs that; "gone"; one of ENDS
    callers: tuple[str, ...]
    cancels: tuple[bool, ...]  #: who was cancelled and has not been told yet
    flight: str = ""  #: of the pool: "born", "build", "ready", "undo", "undone", "kept", "leave", "left"; "" where there is none
    stopped: bool = False  #: its task is cancelled
    abandoned: bool = False  #: ... because nobody waits
    state: str = "open"  #: "open", "closing", "closed"
    closing: str = ""  #: the closing task: "born", "flights", "scopes", "unwind"
    closers: tuple[str, ...] = ()  #: "new", "asked", "wait", "done"
    kills: int = 0  #: how many tasks may still be cancelled before their first step
    opened: int = 0
    closed: int = 0
    bad: str = ""  #: what must never be


def beginning(callers=2, closers=1, kills=1):
    """Return the state in which nobody has done anything."""
    return State(("new",) * callers, (False,) * callers, closers=("new",) * closers, kills=kills)


def _put(values, position, value):
    return (*values[:position], value, *values[position + 1 :])


USES = ("make", "made", "use", "leaving", "out", "past", "shut", "shutting")


def _is(caller, *phases):
    return caller.split()[0] in phases


# --- what comes from outside -------------------------------------------------------------------------


def outside(state):
    """Give what the world may do now: its name, and the state after it."""
    for number, caller in enumerate(state.callers):
        if caller == "new":
            yield ("ask", number), state._replace(callers=_put(state.callers, number, "asked"))
        if caller in ("asked", "wait", "make", "made", "use") and not state.cancels[number]:
            yield ("cancel", number), state._replace(cancels=_put(state.cancels, number, True))
        if caller in ("use", "gone"):
            after = "leaving" if caller == "use" else "closed"
            yield ("finish", number), state._replace(callers=_put(state.callers, number, after))
        for closed, opened in (("make", "made"), ("out", "past"), ("shut", "shutting")):
            if _is(caller, closed):
                there = caller.replace(closed, opened)
                name = ("open", f"{'+' if closed == 'make' else '-'}session {number}")
                yield name, state._replace(callers=_put(state.callers, number, there))
    if state.flight == "build":
        yield ("open", "+pool"), state._replace(flight="ready")
    if state.flight in ("undo", "leave"):
        yield ("open", "-pool"), state._replace(flight={"undo": "undone", "leave": "left"}[state.flight])
    for number, closer in enumerate(state.closers):
        if closer == "new":
            yield ("close", number), state._replace(closers=_put(state.closers, number, "asked"))
    if state.kills and state.flight == "born" and not state.stopped:
        yield ("kill",), state._replace(kills=state.kills - 1, stopped=True)
    if state.kills and state.closing == "born":
        yield ("kill",), state._replace(kills=state.kills - 1, closing="killed")


def _asks(state, number, mistake=""):
    if state.state != "open":
        return state._replace(callers=_put(state.callers, number, "closed"))
    if state.flight == "kept":
        return state._replace(callers=_put(state.callers, number, "make"))
    waiting = state._replace(callers=_put(state.callers, number, "wait"))
    if state.flight in ("build", "ready", "undo", "undone") and state.abandoned and mistake == MISTAKES[2]:
        return waiting._replace(bad="two factories at once")
    return waiting if state.flight else waiting._replace(flight="born")


def _closes(state, number):
    if state.state == "closed":
        return state._replace(closers=_put(state.closers, number, "done"))
    waiting = state._replace(closers=_put(state.closers, number, "wait"))
    return waiting if state.state == "closing" else waiting._replace(state="closing", closing="born")


# --- what goes on inside -----------------------------------------------------------------------------


def inside(state, mistake=""):
    """Give the states after each step that a process of the program can take now."""
    for number, caller in enumerate(state.callers):
        after = _caller(state, number, caller, mistake)
        if after is not None:
            yield after
    after = _flight(state, mistake)
    if after is not None:
        yield after
    yield from _closing(state, mistake)
    for number, closer in enumerate(state.closers):
        if closer == "asked":
            yield _closes(state, number)
        elif closer == "wait" and state.state == "closed":
            yield state._replace(closers=_put(state.closers, number, "done"))


def _caller(state, number, caller, mistake):
    def to(phase, state=state):
        return state._replace(callers=_put(state.callers, number, phase), cancels=_put(state.cancels, number, False))

    if state.cancels[number]:
        if _is(caller, "asked", "wait", "woken"):
            after = to("cancelled")
            building = state.flight in ("born", "build", "ready") and not state.abandoned
            if caller == "wait" and building and "wait" not in after.callers:
                return after._replace(stopped=True, abandoned=True)
            return after
        if caller in ("make", "made"):
            return to("cancelled")
        if caller in ("use", "leaving"):
            return to("out cancelled")
        if caller in ("gone", "closed", "shut", "shutting"):
            return to("cancelled") if caller == "gone" else None
    if caller == "woken value":
        return to("make" if state.state == "open" else "closed")
    if caller in ("asked", "woken again"):
        return _asks(state, number, mistake)
    if _is(caller, "woken"):
        return to(caller.split()[1])
    if caller == "made":
        return to("use", state._replace(opened=state.opened + 1))
    if caller == "leaving":
        return to("out value")
    if _is(caller, "past"):
        return to(caller.split()[1], state._replace(closed=state.closed + 1))
    return None


def _flight(state, mistake):
    if state.flight in ("born", "build", "ready") and state.stopped:
        never_ran = state.flight == "born"
        if never_ran and mistake == MISTAKES[0]:
            return None
        kept = state.flight == "ready" and mistake == MISTAKES[5]
        if kept:
            return state._replace(flight="kept", stopped=False, abandoned=False, opened=state.opened + 1)
        return _over(state, mistake)
    if state.flight == "born":
        return state._replace(flight="build")
    if state.flight == "ready":
        there = state._replace(opened=state.opened + 1)
        if state.state != "open":
            return there._replace(flight="undo")
        callers = tuple("woken value" if caller == "wait" else caller for caller in state.callers)
        return there._replace(flight="kept", callers=callers)
    if state.flight == "undone":
        return _over(state._replace(closed=state.closed + 1), mistake)
    if state.flight == "left":
        return state._replace(flight="", closed=state.closed + 1)
    return None


def _over(state, mistake):
    """A build has ended without a value: whoever waits looks again, or is told."""
    told = "woken again" if state.abandoned else "woken closed" if state.state != "open" else "woken cancelled"
    if told == "woken again" and mistake == MISTAKES[6]:
        told = "wait"
    callers = tuple(told if caller == "wait" else caller for caller in state.callers)
    return state._replace(flight="", stopped=False, abandoned=False, callers=callers)


def _closing(state, mistake):
    if state.closing == "killed" and mistake != MISTAKES[1]:
        yield state._replace(closing="born")
    if state.closing == "born":
        stops = state.flight in ("born", "build", "ready")
        yield state._replace(closing="flights", stopped=state.stopped or stops)
    if state.closing == "flights" and (state.flight in ("", "kept") or mistake == MISTAKES[4]):
        yield state._replace(closing="scopes")
    if state.closing == "scopes":
        shutting = [number for number, caller in enumerate(state.callers) if _is(caller, "shut", "shutting")]
        if not shutting:
            for number, caller in enumerate(state.callers):
                if caller == "use" and not state.cancels[number]:
                    yield state._replace(callers=_put(state.callers, number, "shut"))
        for number in shutting:
            if state.callers[number] == "shutting":
                yield state._replace(callers=_put(state.callers, number, "gone"), closed=state.closed + 1)
        used = any(_is(caller, *USES) for caller in state.callers)
        if not used or mistake == MISTAKES[3]:
            if state.flight == "kept":
                yield state._replace(closing="unwind", flight="leave", bad="closed before its users" if used else state.bad)
            else:
                yield state._replace(closing="", state="closed")
    if state.closing == "unwind" and state.flight == "":
        yield state._replace(closing="", state="closed")


# --- what must hold ----------------------------------------------------------------------------------


def wrong(state, final):
    """Return what is wrong with a state; *final* where nothing more will happen."""
    if state.bad:
        return state.bad
    if state.closed > state.opened:
        return "something was closed twice"
    if state.state == "closed" and (state.flight or any(_is(caller, *USES) for caller in state.callers)):
        return "closed, and something is still open"
    if final:
        if any(caller not in ENDS for caller in state.callers) or any(closer != "done" for closer in state.closers):
            return "somebody waits for ever"
        if state.opened - state.closed != (state.flight == "kept"):
            return "something is left open for ever"
    return ""


class Found(Exception):
    """A state that must not be, and the way to it."""

    def __init__(self, what, way):
        super().__init__(f"{what}: " + "; ".join(way))
        self.what, self.way = what, way


def search(begin, mistake=""):
    """
    Look at every state that can be reached; return how many there are, and how many moves.

    Raises:
        Found: One is wrong, or the program can go round for ever.
    """
    seen = {begin: None}
    pending, moves, after = deque([begin]), 0, {}
    while pending:
        state = pending.popleft()
        steps = [(" ".join(map(str, name)), then) for name, then in outside(state)]
        steps += [("a step", then) for then in inside(state, mistake)]
        after[state] = [then for _, then in steps]
        # A cancellation may come, and need not: nobody may have to wait for one.
        what = wrong(state, all(name.startswith(("cancel", "kill")) for name, _ in steps))
        if what:
            raise Found(what, _way(seen, state))
        moves += len(steps)
        for name, then in steps:
            if then not in seen:
                seen[then] = (name, state)
                pending.append(then)
    _refuse_circles(after, seen)
    return len(seen), moves


def _way(seen, state):
    way = []
    while seen[state] is not None:
        name, state = seen[state]
        way.append(name)
    return way[::-1]


def _refuse_circles(after, seen):
    """Fail if some moves lead back to where they began: then there need not be an end."""
    left = dict.fromkeys(after, 0)
    for thens in after.values():
        for then in thens:
            left[then] += 1
    free = [state for state, count in left.items() if not count]
    done = 0
    while free:
        state = free.pop()
        done += 1
        for then in after[state]:
            left[then] -= 1
            if not left[then]:
                free.append(then)
    if done < len(after):
        state = next(state for state, count in left.items() if count)
        raise Found("the program can go round for ever", _way(seen, state))


# --- what may come of a history ----------------------------------------------------------------------


class Outcome(NamedTuple):
    """What can be seen when everything has ended."""

    callers: tuple[str, ...]
    opened: int
    closed: int
    is_closed: bool


def outcomes(begin, history):
    """
    Return everything that may come of a history: what the world does, in order, at whatever moments.

    ``("rest",)`` in it waits until nothing goes on; what is not possible when its turn comes does nothing.  At the end
    everything that waits for the world may go on.
    """
    ends, seen, pending = set(), set(), [(begin, 0)]
    while pending:
        state, at = pending.pop()
        if (state, at) in seen:
            continue
        seen.add((state, at))
        steps = list(inside(state))
        pending += [(then, at) for then in steps]
        if at < len(history):
            if history[at] == ("rest",):
                if not steps:
                    pending.append((state, at + 1))
                continue
            thens = [then for name, then in outside(state) if name == history[at]]
            pending += [(then, at + 1) for then in thens or [state]]
        elif not steps:
            thens = [then for name, then in outside(state) if name[0] in ("open", "finish")]
            pending += [(then, at) for then in thens]
            if not thens:
                ends.add(Outcome(state.callers, state.opened, state.closed, state.state == "closed"))
    return ends
