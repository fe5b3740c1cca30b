"""`override` and `overlay`: mappings give values, provider lists give factories."""
# needs: asyncmeta.Overrides
# needs: asyncmeta.Providers

from typing_extensions import assert_type

from asyncmeta import AsyncServiceBase, Container, Overrides, Providers, Token


class Database:
    pass


class Fake(Database):
    pass


class Shop(AsyncServiceBase):
    pass


DATABASE = Token[Database]("database")
made_before = {Database: Fake()}
by_name = {"database": Fake(), "cache": None}
providers: Providers = [Fake, {"provide": Database, "use_class": Fake}]
overrides: Overrides = {Database: Fake(), "dsn": "x", DATABASE: Fake()}


async def good(container: Container) -> str:
    Container(Shop, overrides={Database: Fake()})
    Container(Shop, overrides=providers)
    async with container.override({Database: Fake(), "dsn": "x"}) as overridden:
        assert_type(overridden, Container)
    async with container.override(made_before, everywhere=True):
        pass
    async with container.override(by_name, new=True):
        pass
    async with container.override(providers):
        pass
    async with container.override([Fake, {"provide": "x", "value": 1}]):
        pass
    with container.override(overrides) as at_once:
        assert_type(at_once, Container)
    async with container.overlay({Database: Fake()}) as tenant:
        assert_type(tenant, Container)
        assert_type(await tenant.get(Database), Database)
        return "done"


async def not_noticed(container: Container) -> None:
    """A provider dictionary alone is a mapping of values to checkers; at run time it is refused."""
    container.override({"provide": Database, "value": 1})


async def mistakes(container: Container) -> None:
    container.override(3)  # E: neither values nor providers
    container.override()  # E: of what?
    container.override(Database)  # E: a class alone is no list
    container.override({Database: Fake()}, everywere=True)  # E: no such keyword
    container.overlay({Database: Fake()}, everywhere=True)  # E: an overlay is seen through its handle
    container.override({Database: Fake()}, True)  # E: by name only
    container.override({"x": 1}, new="yes")  # E: no bool
