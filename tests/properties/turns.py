"""A loop whose clock goes on by turns: how often something is waited for does not depend on the machine."""

import asyncio

TURN = 0.001  #: seconds


class LoopByTurns(asyncio.SelectorEventLoop):
    """Never waits: each turn takes TURN seconds of its own clock, and what sleeps is called when they have added up."""

    def __init__(self):
        self.now = 0.0
        super().__init__()
        look = self._selector.select

        def select(timeout=None):
            self.now += TURN
            return look(0)

        self._selector.select = select

    def time(self):
        return self.now
