"""The names that an Ascender program imports."""
# needs: asyncmeta.ascender

from typing import Annotated, Any

from typing_extensions import assert_type

from asyncmeta import CircularDependencyError, MissingDependencyError, Token
from asyncmeta.ascender import (
    CyclicDependency,
    Inject,
    Injectable,
    Injector,
    LifecycleService,
    NoneInjectorException,
    Provider,
    Providers,
    Service,
    create_injector,
    create_root_injector,
    forget_root,
    inject,
    provideLifecycle,
)


class Config:
    pass


@Injectable
class Bare:
    pass


@Injectable()
class Users(Service):
    def __init__(self, config: Annotated[dict[str, Any], Inject("AppConfig")]) -> None:
        assert_type(config, dict[str, Any])


@Injectable(provided_in="root")
class Root:
    pass


@Injectable(provided_in=Config, provided_as={"provide": "old", "use_class": Root})
class Elsewhere:
    pass


class Lifecycle(LifecycleService):
    async def on_startup(self) -> None: ...


COUNT = Token[int]("count")
providers: Providers = [Config, Users, {"provide": "AppConfig", "value": {"debug": True}}]
one: Provider = {"provide": Users, "use_class": Users}


async def good() -> None:
    root = create_root_injector(providers)
    assert_type(root, Injector)
    assert_type(create_injector([Bare, provideLifecycle([Lifecycle])], parent=root), Injector)
    assert_type(root.get(Users), Users)
    assert_type(root.get(COUNT), int)
    assert_type(root.get("AppConfig"), Any)
    assert_type(root.get(Users, None), Users | None)
    assert_type(root.get(Users, options={"only_self": True}), Users)
    assert_type(await root.aget(Users), Users)
    assert_type(await root.aget(Users, None), Users | None)
    assert_type(await root.aget("AppConfig"), Any)
    assert_type(inject(Users), Users)
    assert_type(inject(COUNT), int)
    assert_type(inject("AppConfig"), Any)
    assert_type(inject(Users, None), Users | None)
    assert_type(Bare(), Bare)
    assert_type(Root(), Root)
    forget_root()


def errors(missing: NoneInjectorException, cyclic: CyclicDependency) -> tuple[MissingDependencyError, CircularDependencyError]:
    return missing, cyclic


async def mistakes(root: Injector) -> None:
    root.get(3)  # E: no token
    root.get(Users, options={"only_sef": True})  # E: no such option
    inject(3)  # E: no token
    create_injector([3])  # E: provides nothing
    create_injector(providers, 3)  # E: no parent
    config: Config = inject(Users)  # E: other type
    Injectable(provided_in="rot")  # E: root or a class
    print(config)
