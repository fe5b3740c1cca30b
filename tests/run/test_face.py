"""What a user's hand finds on a scope, a container, a service: the face, and nothing else."""

import pytest
from helpers import fresh_app

from asyncmeta import AsyncServiceBase, Container, Scope
from asyncmeta.ascender import create_injector

SCOPE = set(
    "aclose adopt ambient close closed container gather get get_nowait getter inject level of request scope takes".split()
)
CONTAINER = SCOPE | set("check health observe overlay override start".split())


def shown(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def test_classes_show_their_face():
    """
    What is not promised begins with an underscore.
    """
    assert shown(Scope) == SCOPE
    assert shown(Container) == CONTAINER
    assert shown(AsyncServiceBase) == {"on_shutdown", "on_startup"}


async def test_what_is_handed_out_shows_the_same():
    """
    Scopes, overlays, their scopes and injectors' containers show no more than their classes promise.
    """
    App = fresh_app(scopes=("session", "request"))
    App.register_dependency("value", lambda: 1, lifetime="request")

    async with Container(App) as container, container.overlay({"value": 2}) as overlay:
        async with container.scope(level="session") as outer, outer.scope() as inner, overlay.scope() as view:
            scopes = [shown(one) for one in (outer, inner, view)]
        with container.scope() as plain:
            scopes.append(shown(plain))
        containers = [shown(one) for one in (container, overlay, create_injector([]).container)]

    assert scopes == [SCOPE] * 4
    assert containers == [CONTAINER] * 3


@pytest.mark.parametrize("name", ["home", "unit", "has", "at", "bind", "graph", "name", "state", "loop", "built", "watch", "owns"])
async def test_a_subclass_may_have_any_other_name(name):
    """
    A user's own class of container may call its members as it likes: none of them is ours by accident.
    """
    Own = type("Own", (Container,), {name: lambda self: "mine"})
    App = fresh_app()
    App.register_dependency("shared", object)
    App.register_dependency("scoped", lambda shared: [shared], lifetime="scoped")

    async with Own(App) as container:
        shared = await container.get("shared")
        async with container.scope() as scope:
            assert (await scope.get("scoped"))[0] is shared
        async with container.override({"shared": 2}):
            assert await container.get("shared") == 2

    assert getattr(container, name)() == "mine"
