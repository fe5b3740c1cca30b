"""Decorators of integrations: what they decorate keeps its parameters and what it returns."""

from collections.abc import AsyncIterator, Coroutine
from typing import Any

from typing_extensions import assert_type

from asyncmeta import INJECTED, AsyncServiceBase, From
from asyncmeta.integrations import click, mcp, starlette, strawberry, typer


class App(AsyncServiceBase): ...


class Session: ...


async def order(name: str, amount: int = 1, *, session: From[Session] = INJECTED) -> list[str]:
    return [name] * amount


def count(name: str, *, session: From[Session] = INJECTED) -> int:
    return len(name)


async def follow(name: str, *, session: From[Session] = INJECTED) -> AsyncIterator[int]:
    yield len(name)


async def use() -> None:
    # A command is called plainly, whatever it is.
    assert_type(click.with_container(App)(order)("tea", 2), list[str])
    assert_type(click.with_container(App)(count)("tea"), int)
    assert_type(typer.with_container()(order)("tea"), list[str])
    click.with_container(App)(order)(1)  # E: no name
    typer.with_container(App)(count)()  # E: its name is missing

    # Handlers and tools are awaited, whatever they are.
    assert_type(await starlette.inject(order)("tea", 2), list[str])
    assert_type(await starlette.inject(count)("tea"), int)
    assert_type(await mcp.inject(order)("tea"), list[str])
    assert_type(await mcp.inject(count)("tea"), int)
    await starlette.inject(order)(1)  # E: no name
    await mcp.inject(count)()  # E: its name is missing

    # Strawberry looks at the resolver itself.
    assert_type(await strawberry.inject(order)("tea"), list[str])
    assert_type(strawberry.inject(count)("tea"), int)
    assert_type(strawberry.inject(follow)("tea"), AsyncIterator[int])
    strawberry.inject(count)(1)  # E: no name


def run(coroutine: Coroutine[Any, Any, object]) -> None: ...


run(starlette.inject(count)("tea"))  # not any awaitable: asyncio.run takes it
