"""Typer: a container around a command, async or not; with Typer's own runner."""

import asyncio
from typing import Annotated

import pytest
from helpers import fresh_app

from asyncmeta import AsyncDependencyError, Container, FinalizationErrors, From, GraphErrors, ScopeError, injected

from .shops import Pool, Session, shop, sync_shop

pytest.importorskip("typer", reason="needs typer")

import typer
from typer.testing import CliRunner

from asyncmeta.integrations.typer import with_container

both = pytest.mark.parametrize("kind", ["async", "sync"])
APPS = {"async": shop, "sync": sync_shop}


def program(function, name=None):
    """Return a Typer application with *function* as its command."""
    app = typer.Typer(add_completion=False)
    app.command(name)(function)
    return app


def run(app, *arguments, **options):
    return CliRunner().invoke(app, [*arguments], env={"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "100"}, **options)


def ordering(kind, source):
    """Return a program that orders something."""

    def plain(
        name: Annotated[str, typer.Argument(help="What to order.")],
        session: From[Session],
        count: Annotated[int, typer.Option("--count", "-c", help="How many.")] = 1,
    ) -> None:
        """Order something."""
        typer.echo(f"{count} {name} {type(session).__name__}")

    async def waiting(
        name: Annotated[str, typer.Argument(help="What to order.")],
        session: From[Session],
        count: Annotated[int, typer.Option("--count", "-c", help="How many.")] = 1,
    ) -> None:
        """Order something."""
        plain(name, session, count)

    return program(with_container(source)(waiting if kind == "async" else plain))


@both
def test_a_command_runs_in_a_container(kind):
    """
    The container opens around the command and closes after it; marked parameters are filled, Typer passes the others.
    """
    app, journal = APPS[kind]()

    result = run(ordering(kind, app), "tea", "-c", "2")

    assert (result.output, result.exit_code) == ("2 tea Session\n", 0)
    assert journal == ["+pool", "begin", "commit", "-pool"]


@both
def test_help_shows_real_parameters_only(kind):
    """
    Help has the docstring, arguments and options of the command, nothing of ours, and opens nothing.
    """
    app, journal = APPS[kind]()

    output = run(ordering(kind, app), "--help").output

    assert [text for text in ("Order something.", "What to order.", "--count", "-c", "How many.") if text not in output] == []
    assert [text for text in ("session", "asyncmeta", "context") if text in output.lower()] == []
    assert journal == []


@both
def test_usage_errors_open_nothing(kind):
    """
    A command line that Typer refuses makes no container.
    """
    result = run(ordering(kind, lambda: pytest.fail("made a container")), "tea", "-c", "many")

    assert result.exit_code == 2


def raising(kind, app, error):
    """Return a program that has a session when it raises."""

    def fail(session: From[Session]):
        raise error

    async def fail_async(session: From[Session]):
        raise error

    return program(with_container(app)(fail_async if kind == "async" else fail))


@both
@pytest.mark.parametrize(
    ("error", "code", "ended"),
    [
        (ValueError("no"), 1, "rollback ValueError"),
        (typer.Abort(), 1, "rollback Abort"),
        (typer.BadParameter("no such tea"), 2, "rollback BadParameter"),
        (typer.Exit(3), 3, "rollback Exit"),
        (typer.Exit(), 0, "commit"),
        (SystemExit(4), 4, "rollback SystemExit"),
        (SystemExit(), 0, "commit"),
    ],
    ids=lambda value: repr(value) if isinstance(value, BaseException) else "",
)
def test_how_a_command_ends(kind, error, code, ended):
    """
    What a command raises reaches the finalizers, and gives Typer's exit code; a well-meant exit commits.
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

    ended = [run(raising(kind, app, typer.Exit())), run(ordering(kind, app), "tea")]

    assert [(type(result.exception), result.exit_code) for result in ended] == [(FinalizationErrors, 1)] * 2


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

    run(program(with_container(app)(waiting if kind == "async" else plain)))

    assert seen == [True]
    assert journal == ["+pool", "begin", "commit", "-pool"]


@both
@pytest.mark.parametrize("own", [True, False], ids=["asked for", "not asked for"])
def test_the_context(kind, own):
    """
    A command may ask Typer for its context as ever; factories may, where the application declares it.
    """
    app, _ = APPS[kind](context=[typer.Context])

    def name_of(context: typer.Context) -> str:
        return context.info_name or ""

    app.register_dependency(str, name_of, lifetime="scoped")

    def plain(name: From[str]):
        typer.echo(name)

    async def waiting(name: From[str]):
        typer.echo(name)

    def plain_with(ctx: typer.Context, name: From[str]):
        typer.echo(f"{ctx.info_name} {name}")

    async def waiting_with(ctx: typer.Context, name: From[str]):
        typer.echo(f"{ctx.info_name} {name}")

    bodies = {"async": (waiting, waiting_with), "sync": (plain, plain_with)}[kind]

    assert run(program(with_container(app)(bodies[own]), "brew")).output == ("brew brew\n" if own else "brew\n")


@both
def test_a_callback_makes_the_container(kind):
    """
    A Container that a callback puts into its context comes before the command's own source.
    """
    app, journal = APPS[kind]()
    commands = typer.Typer(add_completion=False)

    @commands.callback()
    def options(ctx: typer.Context, session: str = ""):
        ctx.obj = Container(app, overrides={Session: session})

    def plain(session: From[Session], pool: From[Pool]):
        typer.echo(session)

    async def waiting(session: From[Session], pool: From[Pool]):
        typer.echo(session)

    commands.command("show")(with_container()(waiting if kind == "async" else plain))

    assert run(commands, "--session", "mine", "show").output == "mine\n"
    assert journal == ["+pool", "-pool"]


def test_a_command_without_a_container():
    """
    A command for which there is no container says what to do.
    """
    result = run(program(with_container()(lambda: None)))

    assert isinstance(result.exception, ScopeError)
    assert "this command has no container" in str(result.exception)


@both
def test_overrides_in_tests(kind):
    """
    A test passes a container of its own as the object of the context.
    """
    app, journal = APPS[kind]()

    result = run(ordering(kind, app), "tea", obj=Container(app, overrides={Session: "a fake"}))

    assert result.output == "1 tea str\n"
    assert journal == []


def test_what_a_command_asks_for_is_checked_before_it_runs():
    """
    All that a command asks for and nobody provides is told at once, with its line, and nothing is opened; help needs none of it.
    """
    app, journal = shop()

    class Rates: ...

    class Mailer: ...

    program = typer.Typer()

    @program.command()
    @with_container(app)
    async def order(count: int, rates: From[Rates], session: From[Session], mailer: From[Mailer]) -> None: ...

    result = run(program, "3")

    assert isinstance(result.exception, GraphErrors)
    text = str(result.exception)
    assert "order has 2 problems" in text and "order.rates (" in text and "order.mailer (" in text
    assert "test_typer.py:" in text
    assert journal == []
    assert run(program, "--help").exit_code == 0


def test_a_plain_command_needs_a_graph_without_awaiting():
    """
    A sync command that asks for something asynchronous is told so.
    """
    app, _ = shop()

    result = run(ordering("sync", app), "tea")

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

    async def body(session: From[Session]):
        pass

    assert run(program(with_container(app, run=counting)(body))).exit_code == 0
    assert len(runs) == 1
    assert "commit" in journal
