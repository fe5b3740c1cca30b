"""`Factory[T]` and `All[T]`, as parameters, attributes and tokens."""

from typing import Annotated

from typing_extensions import assert_type

from asyncmeta import All, AsyncDependencyDescriptor, AsyncServiceBase, Factory, Inject, Scope, inject_dependency


class Report:
    def __init__(self, month: int) -> None: ...


class Plugin:
    pass


class App(AsyncServiceBase):
    make_report = AsyncDependencyDescriptor(Factory[Report])
    plugins = AsyncDependencyDescriptor(All[Plugin])

    async def run(self) -> None:
        make = await self.make_report
        assert_type(make, Factory[Report])
        assert_type(await make(month=3), Report)
        assert_type(make.nowait(month=3), Report)
        assert_type(await self.plugins, list[Plugin])


@inject_dependency()
async def printer(make: Factory[Report], plugins: All[Plugin], named: Annotated[list[Plugin], Inject("plugins")]) -> int:
    assert_type(await make(month=3), Report)
    assert_type(plugins, list[Plugin])
    assert_type(named, list[Plugin])
    await make(3)  # E: arguments by name
    plugins.first()  # E: a list
    wrong: Plugin = await make()  # E: makes reports
    print(wrong)
    return 3


@inject_dependency(Plugin, multi=True)
class One(Plugin):
    pass


async def get(scope: Scope) -> None:
    assert_type(await scope.get(Factory[Report]), Factory[Report])
    assert_type(await scope.get(All[Plugin]), list[Plugin])
    assert_type(scope.get_nowait(All[Plugin]), list[Plugin])
    async with scope.request(All[Plugin]) as plugins:
        assert_type(plugins, list[Plugin])
    plugin: Plugin = await scope.get(All[Plugin])  # E: a list
    print(plugin)
