"""Click: a container around a command, async or not; with Click's own runner."""

import asyncio
import signal
import subprocess
import sys

import pytest
from helpers import Journal, fresh_app

from asyncmeta import AsyncDependencyError, Container, FinalizationErrors, From, GraphErrors, ScopeError, injected

from .shops import Pool, Session, shop, sync_shop

pytest.importorskip("click", reason="needs click")

import click
from click.testing import CliRunner

from asyncmeta.integrations.click import inject, setup, with_container


def commands(source):
    """Return the same command as a coroutine function and as a plain one."""

    @click.command()
    @click.argument("name")
    @click.option("--count", default=1, help="How many.")
    @with_container(source)
    async def waiting(name: str, session: From[Session], count: int) -> None:
        """Order something."""
        click.echo(f"{count} {name} {type(session).__name__}")

    @click.command()
    @click.argument("name")
    @click.option("--count", default=1, help="How many.")
    @with_container(source)
    def plain(name: str, session: From[Session], count: int) -> None:
        """Order something."""
        click.echo(f"{count} {name} {type(session).__name__}")

    return {"async": waiting, "sync": plain}


def run(command, *arguments, **options):
    return CliRunner().invoke(command, [*arguments], **options)


both = pytest.mark.parametrize("kind", ["async", "sync"])
APPS = {"async": shop, "sync": sync_shop}


@both
def test_a_command_runs_in_a_container(kind):
    """
    The container opens around the command and closes after it; marked parameters are filled, Click passes the others.
    """
    app, journal = APPS[kind]()

    result = run(commands(app)[kind], "tea", "--count", "2")

    assert (result.output, result.exit_code) == ("2 tea Session\n", 0)
    assert journal == ["+pool", "begin", "commit", "-pool"]


@both
def test_help_shows_what_click_declared(kind):
    """
    Help has the docstring and real options only, and opens nothing.
    """
    app, journal = APPS[kind]()

    result = run(commands(app)[kind], "--help")

    assert "Order something." in result.output and "How many." in result.output
    assert "session" not in result.output.lower()
    assert journal == []


@both
def test_usage_errors_open_nothing(kind):
    """
    A command line that Click refuses makes no container.
    """
    command = commands(lambda: pytest.fail("made a container"))[kind]

    result = run(command, "tea", "--count", "many")

    assert result.exit_code == 2


@pytest.mark.parametrize("below", [True, False], ids=["below", "above"])
def test_the_place_among_the_decorators(below):
    """
    It stands below Click's options, above them, or between.
    """
    app, _ = sync_shop()

    def body(name, session: From[Session]):
        click.echo(f"{name} {type(session).__name__}")

    option = click.option("--name")
    body = option(with_container(app)(body)) if below else with_container(app)(option(body))

    assert run(click.command()(body), "--name", "tea").output == "tea Session\n"


def raising(kind, app, error):
    """Return a command that has a session when it raises."""

    def fail(session: From[Session]):
        raise error

    async def fail_async(session: From[Session]):
        raise error

    return click.command()(with_container(app)(fail_async if kind == "async" else fail))


@both
@pytest.mark.parametrize(
    ("error", "code", "ended"),
    [
        (ValueError("no"), 1, "rollback ValueError"),
        (click.Abort(), 1, "rollback Abort"),
        (click.UsageError("no such tea"), 2, "rollback UsageError"),
        (click.exceptions.Exit(3), 3, "rollback Exit"),
        (click.exceptions.Exit(0), 0, "commit"),
        (SystemExit(4), 4, "rollback SystemExit"),
        (SystemExit(), 0, "commit"),
        (KeyboardInterrupt(), 1, "rollback KeyboardInterrupt"),
    ],
    ids=lambda value: repr(value) if isinstance(value, BaseException) else "",
)
def test_how_a_command_ends(kind, error, code, ended):
    """
    What a command raises reaches the finalizers, and gives Click's exit code; a well-meant exit commits.
    """
    app, journal = APPS[kind]()

    result = run(raising(kind, app, error))

    assert result.exit_code == code
    assert journal == ["+pool", "begin", ended, "-pool"]


@both
def test_a_commit_that_fails_fails_the_command(kind):
    """
    What a finalizer raises is the command's failure, also after a well-meant exit.
    """
    app = fresh_app()

    def open_session():
        yield Session()
        raise OSError("disk full")

    app.register_dependency(Session, open_session, lifetime="scoped")

    ended = [run(raising(kind, app, click.exceptions.Exit(0))), run(commands(app)[kind], "tea")]

    assert [(type(result.exception), result.exit_code) for result in ended] == [(FinalizationErrors, 1)] * 2


@both
def test_what_is_returned(kind):
    """
    With ``standalone_mode=False`` the caller gets what the function returns.
    """
    app, _ = APPS[kind]()

    def plain(session: From[Session]):
        return type(session)

    async def waiting(session: From[Session]):
        return type(session)

    command = click.command()(with_container(app)(waiting if kind == "async" else plain))

    assert run(command, standalone_mode=False).return_value is Session


@both
def test_one_scope_for_a_command(kind):
    """
    Injected functions that the command calls are filled from its scope.
    """
    app, journal = APPS[kind]()
    seen = []

    @injected
    def deeper(session: From[Session]):
        return session

    def plain(session: From[Session]):
        seen.append(deeper() is session)

    async def waiting(session: From[Session]):
        seen.append(deeper() is session)

    run(click.command()(with_container(app)(waiting if kind == "async" else plain)))

    assert seen == [True]
    assert journal == ["+pool", "begin", "commit", "-pool"]


@both
def test_the_context_is_given_where_declared(kind):
    """
    ``context=[click.Context]`` lets factories ask for it.
    """
    app, _ = APPS[kind](context=[click.Context])

    def program(context: click.Context) -> str:
        return context.info_name or ""

    app.register_dependency(str, program, lifetime="scoped")

    def plain(program: From[str]):
        click.echo(program)

    async def waiting(program: From[str]):
        click.echo(program)

    command = click.command("brew")(with_container(app)(waiting if kind == "async" else plain))

    assert run(command).output == "brew\n"


@both
def test_a_group_makes_the_container(kind):
    """
    A Container that a group puts into its context comes before the command's own source.
    """
    app, journal = APPS[kind]()

    @click.group()
    @click.option("--session")
    @click.pass_context
    def program(ctx, session):
        ctx.obj = Container(app, overrides={Session: session})

    def plain(session: From[Session], pool: From[Pool]):
        click.echo(session)

    async def waiting(session: From[Session], pool: From[Pool]):
        click.echo(session)

    program.command("show")(with_container()(waiting if kind == "async" else plain))

    assert run(program, "--session", "mine", "show").output == "mine\n"
    assert journal == ["+pool", "-pool"]


def test_a_command_without_a_container():
    """
    A command for which there is no container says what to do.
    """
    command = click.command()(with_container()(lambda session: None))

    result = run(command)

    assert isinstance(result.exception, ScopeError)
    assert "this command has no container" in str(result.exception)


@both
def test_overrides_in_tests(kind):
    """
    A test passes a container of its own as the object of the context.
    """
    app, journal = APPS[kind]()

    result = run(commands(app)[kind], "tea", obj=Container(app, overrides={Session: "a fake"}))

    assert result.output == "1 tea str\n"
    assert journal == []


def test_a_container_can_be_used_again():
    """
    A container that is given serves one command after another, async or not.
    """
    app, journal = sync_shop()
    container = Container(app)

    for kind in ("async", "sync", "async"):
        assert run(commands(container)[kind], "tea").exit_code == 0

    assert journal == ["+pool", "begin", "commit", "-pool"] * 3


def test_what_a_command_asks_for_is_checked_before_it_runs():
    """
    All that a command asks for and nobody provides is told at once, with its line, and nothing is opened; help needs none of it.
    """
    app, journal = shop()

    class Rates: ...

    class Mailer: ...

    @click.command()
    @click.argument("count")
    @with_container(app)
    async def order(count: int, rates: From[Rates], session: From[Session], mailer: From[Mailer]) -> None: ...

    program = order

    result = run(program, "3")

    assert isinstance(result.exception, GraphErrors)
    text = str(result.exception)
    assert "order has 2 problems" in text and "order.rates (" in text and "order.mailer (" in text
    assert "test_click.py:" in text
    assert journal == []
    assert run(program, "--help").exit_code == 0


def test_a_plain_command_needs_a_graph_without_awaiting():
    """
    A sync command that asks for something asynchronous is told, and what was built is closed.
    """
    app, _ = shop()

    result = run(commands(app)["sync"], "tea")

    assert isinstance(result.exception, AsyncDependencyError)


def test_the_runner_can_be_chosen():
    """
    ``run`` runs the coroutine, once for a command.
    """
    app, journal = shop()
    runs = []

    def counting(coroutine):
        runs.append(coroutine)
        return asyncio.run(coroutine)

    @click.command()
    @with_container(app, run=counting)
    async def command(session: From[Session]):
        pass

    assert run(command).exit_code == 0
    assert len(runs) == 1
    assert "commit" in journal


INTERRUPTED = """
import asyncio, click
from collections.abc import AsyncIterator
from asyncmeta import AsyncServiceBase, From, inject_dependency
from asyncmeta.integrations.click import inject, setup, with_container

class Session: ...
class Shop(AsyncServiceBase):
    @inject_dependency(lifetime="scoped")
    @staticmethod
    async def open_session() -> AsyncIterator[Session]:
        try:
            yield Session()
        except BaseException as error:
            print("rollback", type(error).__name__, flush=True)
            raise

@click.command()
@with_container(Shop)
async def wait(session: From[Session]):
    print("ready", flush=True)
    await asyncio.Event().wait()

wait()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal as a terminal does")
def test_an_interrupt_rolls_back():
    """
    Ctrl-C cancels the command, its finalizers run, and Click reports "Aborted!".
    """
    program = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", INTERRUPTED], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with program:
        journal = Journal([program.stdout.readline()])
        program.send_signal(signal.SIGINT)
        try:
            output, errors = program.communicate(timeout=30)
        finally:
            program.kill()  # only one that did not hear is still there, and must not hold up everything after it

    assert [*journal, output] == ["ready\n", "rollback CancelledError\n"]
    assert errors.strip() == "Aborted!"
    assert program.returncode == 1


ORDERS = {
    "above": lambda ours: lambda function: ours(click.pass_context(function)),
    "below": lambda ours: lambda function: click.pass_context(ours(function)),
    "above pass_obj": lambda ours: lambda function: ours(click.pass_obj(function)),
    "among options": lambda ours: lambda function: click.option("--count", default=1)(
        click.pass_context(ours(click.option("--size", default=2)(function)))
    ),
}


@pytest.mark.parametrize("way", ["with_container", "inject"])
@pytest.mark.parametrize("order", ORDERS)
@both
def test_any_place_among_the_decorators(kind, order, way):
    """
    It stands above or below what passes parameters by itself, and among options.
    """
    app, journal = APPS[kind]()

    def body(first, session, more):
        return f"{type(first).__name__} {type(session).__name__} {sorted(more.items())}"

    if kind == "async":

        async def command(first, session: From[Session], **more):
            click.echo(body(first, session, more))
    else:

        def command(first, session: From[Session], **more):
            click.echo(body(first, session, more))

    decorated = click.command()(ORDERS[order](with_container(app) if way == "with_container" else inject)(command))
    if way == "inject":
        setup(decorated, app)

    result = run(decorated)

    first = "Context" if "obj" not in order else "Container" if way == "inject" else "NoneType"
    more = [("count", 1), ("size", 2)] if order == "among options" else []
    assert (result.output, result.exit_code) == (f"{first} Session {more}\n", 0), result.exception
    assert journal == ["+pool", "begin", "commit", "-pool"]


async def test_a_command_where_a_loop_is_running():
    """
    A coroutine function cannot begin a loop inside of one that runs: the error says what to do, and nothing is left behind.
    """
    app, journal = shop()

    result = run(commands(app)["async"], "tea")

    assert isinstance(result.exception, RuntimeError)
    assert "asyncio.to_thread" in str(result.exception)
    assert journal == []
