"""A container's whole life as a state machine: open, get, scope, cancel, close, enter again."""

import asyncio
import warnings

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from asyncmeta import AsyncDependencyError, ClosedError, ScopeError

from .driver import ATTRIBUTES, CANCEL, CLOSE, CLOSE_SCOPE, END, GATHER, GET, RELEASE, REQUEST, SCOPE, Driver
from .graphs import examples, graphs

PICKS = st.integers(0, 999)


class Life(RuleBasedStateMachine):
    """
    Whatever is done to a container, in any order: each value is built once, closed once, and right.

    The driver judges each task; the machine knows what was handed over and whether the container is open.
    """

    @initialize(graph=graphs(most=8), faults=st.dictionaries(st.integers(0, 7), st.integers(1, 2), max_size=1))
    def make(self, graph, faults):
        self.loop = asyncio.new_event_loop()
        self.driver = Driver(graph, faults)

    def run(self, coroutine):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ResourceWarning)  # scopes that are still open when the container closes
            return self.loop.run_until_complete(coroutine)

    def step(self, what, pick=0, other=0):
        self.run(self.driver.step(what, pick, other))

    @property
    def is_quiet(self):
        return all(actor.task.done() for actor in self.driver.actors)

    @rule(pick=PICKS, other=PICKS)
    def get(self, pick, other):
        self.step(GET, pick, other)

    @rule(pick=PICKS, other=PICKS)
    def get_with_attributes(self, pick, other):
        self.step(ATTRIBUTES, pick, other)

    @rule(pick=PICKS, other=PICKS)
    def gather(self, pick, other):
        self.step(GATHER, pick, other)

    @rule(other=PICKS)
    def scope(self, other):
        self.step(SCOPE, 0, other)

    @rule(pick=PICKS, other=PICKS)
    def request(self, pick, other):
        self.step(REQUEST, pick, other)

    @rule(pick=PICKS, other=PICKS)
    def end_a_block(self, pick, other):
        self.step(END, pick, other)

    @rule(pick=PICKS, other=PICKS)
    def cancel(self, pick, other):
        self.step(CANCEL, pick, other)

    @rule(pick=PICKS, other=PICKS)
    def go_on(self, pick, other):
        self.step(RELEASE, pick, other)

    @rule(pick=PICKS, other=PICKS)
    def close_scope(self, pick, other):
        self.step(CLOSE_SCOPE, pick, other)

    @rule(other=PICKS)
    def close(self, other):
        self.step(CLOSE, 0, other)

    @rule(pick=PICKS)
    def get_nowait(self, pick):
        """What was handed over can be had without awaiting; all else is right, or has to be awaited."""
        driver = self.driver
        node = driver.graph.nodes[pick % len(driver.graph.nodes)]

        async def ask():
            return driver.container.get_nowait(driver.world.tokens[node.number])

        try:
            value = self.run(ask())
        except AsyncDependencyError:
            assert (driver.world.era, None, node.number) not in driver.known
        except ClosedError:
            assert driver.closing
        except ScopeError:
            assert node.level
        except Exception as error:
            assert error in driver.world.raised
        else:
            assert not driver.closing
            assert not node.level
            driver.handed(value)

    @precondition(lambda self: self.is_quiet and self.driver.closed_at is not None)
    @rule()
    def enter_again(self):
        """A closed container that is entered again starts empty: nothing of the era before is handed over."""
        self.run(self.driver.reopen())

    def teardown(self):
        if hasattr(self, "driver"):
            try:
                self.run(self.driver.finish())
                self.driver.judge()
            finally:
                self.loop.close()


TestLife = Life.TestCase
TestLife.settings = examples(50)
