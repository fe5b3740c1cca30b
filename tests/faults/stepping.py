"""A loop that runs one callback a turn, so that something can be done between any two."""

import asyncio
import collections
import gc
import warnings

#: Turns after which a program is said never to end; some hundred are used.
MOST = 20_000
#: Seconds that a worker thread may take.
PATIENCE = 8.0


class Stuck(AssertionError):
    """Somebody waits for ever."""


class _OneByOne(collections.deque):
    """Says that there is one callback at most: so a turn of the loop runs no more."""

    def __len__(self):
        return min(1, super().__len__())


class SteppingLoop(asyncio.SelectorEventLoop):
    """Counts its callbacks and does what is to be done before the one of a given number."""

    def __init__(self, *, eager=False):
        super().__init__()
        self._ready = _OneByOne()
        self.steps = 0
        self.acts = {}  #: number of a step -> what is done before it
        self.looks = []  #: done before each step
        self.busy = set()  #: work in threads
        if eager:
            self.set_task_factory(asyncio.eager_task_factory)

    def run_in_executor(self, executor, func, *args):
        future = super().run_in_executor(executor, func, *args)
        self.busy.add(future)
        future.add_done_callback(self.busy.discard)
        return future

    async def shutdown_default_executor(self, *args):
        joining = object()  # in a thread that CPython 3.11 starts for it, without a timer
        self.busy.add(joining)
        try:
            await super().shutdown_default_executor(*args)
        finally:
            self.busy.discard(joining)

    def after(self, steps, act):
        """Have *act* done when so many steps have been taken from here."""
        self.acts[self.steps + steps] = act

    def _run_once(self):
        if self._ready:
            for look in self.looks:
                look()
            act = self.acts.pop(self.steps, None)
            self.steps += 1
            if act is not None:
                act()
            if self.steps > MOST:
                raise Stuck(f"no end after {MOST} steps")
        elif not self._scheduled:
            # At the end a thread of the loop's own waits for the pool of threads.
            events = self._selector.select(PATIENCE if self.busy or self._executor_shutdown_called else 0)
            if not events:
                raise Stuck("nothing can go on, and somebody waits: " + ", ".join(sorted(map(_place, asyncio.all_tasks(self)))))
            self._process_events(events)
        super()._run_once()


def _place(task):
    """Say which task waits, and in which function."""
    frames = task.get_stack()
    return f"{task.get_coro().__qualname__}{f' in {frames[-1].f_code.co_qualname}' if frames else ''}"


def run(main, loop):
    """Run ``main()`` on *loop* as ``asyncio.run`` does, and see to it that nothing of a hanging program is left."""
    try:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            return runner.run(main())
    except Stuck:
        for task in asyncio.all_tasks(loop):
            task._log_destroy_pending = False
        loop._ready.clear()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            gc.collect()
        raise
