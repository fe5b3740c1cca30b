"""Decorators of integrations: a command is called plainly, and keeps its parameters and what it returns."""

from typing_extensions import assert_type

from asyncmeta import From
from asyncmeta.integrations.commands import Decorator


class Session:
    pass


def use(with_container: Decorator) -> None:
    @with_container
    async def order(name: str, amount: int = 1, *, session: From[Session] | None = None) -> list[str]:
        return [name] * amount

    @with_container
    def count(name: str) -> int:
        return len(name)

    assert_type(order("tea"), list[str])
    assert_type(count("tea"), int)
    order(1)  # E: no name
    count()  # E: its name is missing
