"""Named collections: a mapping to handles."""
# needs: asyncmeta.Named

from collections.abc import Mapping
from typing import Annotated, assert_type

from asyncmeta import All, AsyncDependencyDescriptor, AsyncServiceBase, Container, Inject, Lazy, Named, inject_dependency


class Model:
    def ask(self, text: str) -> str:
        return text


class Local(Model):
    pass


@inject_dependency(Model, multi="openai")
async def connect() -> Model:
    return Model()


inject_dependency(Model, multi=1)(Local)


class Chat(AsyncServiceBase):
    models = AsyncDependencyDescriptor(Named[Model])

    def __init__(self, named: Named[Model], tools: Annotated[Named[str], Inject("tool")]) -> None:
        self.named, self.tools = named, tools

    async def ask(self, which: str) -> str:
        assert_type(await self.models, Named[Model])
        assert_type(self.named[which], Lazy[Model])
        assert_type(await self.named[which], Model)
        assert_type(await self.tools["saw"], str)
        assert_type((await self.models)["local"].nowait(), Model)
        mapping: Mapping[str, Lazy[Model]] = self.named
        self.named["x"] = mapping["x"]  # E: read-only
        self.named[which].ask("x")  # E: has to be awaited
        return (await self.named[which]).ask("hello")


async def use(container: Container) -> None:
    assert_type(await container.get(Named[Model]), Named[Model])
    assert_type(await container.get(All[Model]), list[Model])
    async with container.override({Model: {"openai": Local()}}):
        pass


Chat.register_dependency(Model, Local, multi="local")
