"""What is wrong in a declaration is said where it is written, or when the container is made."""

import copy
import functools
import inspect
import os
import pickle
import re
import uuid
from dataclasses import dataclass
from typing import Annotated, Any

import pytest

from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncMetaError,
    AsyncServiceBase,
    Container,
    DeclarationError,
    GraphError,
    GraphErrors,
    Inject,
    Token,
    inject_dependency,
    injected,
)

HERE = os.path.basename(__file__)
#: Said at the line, or when the container is made.
SAID = (DeclarationError, GraphError)


def saying(text):
    """Return a check that an error's whole text, that of a group included, holds *text*."""
    return lambda error: text in str(error)


class Database:
    """A plain class to be provided."""


def fresh_app(**keywords):
    """Return a service class of its own."""

    class App(AsyncServiceBase, **keywords):
        pass

    return App


def make():
    return "made"


# --- tokens of the wrong kind --------------------------------------------------------------------


class Unhashable:
    __hash__ = None


WRONG_TOKENS = {
    "number": 3,
    "bytes": b"name",
    "list": [],
    "dictionary": {},
    "object": object(),
    "unhashable": Unhashable(),
    "marker": Inject("name"),
    "module": os,
    "true": True,
}


@pytest.mark.parametrize("token", WRONG_TOKENS.values(), ids=WRONG_TOKENS)
def test_the_decorator_refuses_a_token_of_the_wrong_kind(token):
    """
    The decorator takes types, strings, Tokens and Annotated with Inject; anything else is told at its line.
    """
    App = fresh_app()

    with pytest.raises(DeclarationError) as caught:
        inject_dependency(token, on=App)(make)

    assert HERE in caught.value.where


@pytest.mark.parametrize("token", WRONG_TOKENS.values(), ids=WRONG_TOKENS)
def test_a_descriptor_refuses_a_token_of_the_wrong_kind(token):
    """
    A descriptor with a token of the wrong kind makes no container.
    """
    with pytest.raises(SAID):

        class App(AsyncServiceBase):
            attribute = AsyncDependencyDescriptor(token)

        Container(App)


@pytest.mark.parametrize("token", [[], {}, Unhashable()], ids=["list", "dictionary", "unhashable"])
def test_a_call_refuses_what_cannot_be_hashed(token):
    """
    A registration by call takes any hashable, and refuses the rest in our words.
    """
    App = fresh_app()

    with pytest.raises(DeclarationError):
        App.register_dependency(token, make)
    with pytest.raises(DeclarationError):
        App.register_value(token, "value")
    with pytest.raises(DeclarationError):
        inject_dependency("name", on=App, also=[token])(make)

    assert App.get_dependency("name") is None


@pytest.mark.parametrize("token", [[], {}, Unhashable()], ids=["list", "dictionary", "unhashable"])
def test_inject_refuses_what_cannot_be_hashed(token):
    """
    A marker whose token cannot be a key is refused where it is written or when it is read.
    """
    App = fresh_app()

    with pytest.raises(SAID):

        def uses(value: Annotated[Any, Inject(token)]): ...

        App.register_dependency("thing", uses)
        Container(App)


@pytest.mark.parametrize("token", [[], {}, Unhashable()], ids=["list", "dictionary", "unhashable"])
async def test_a_get_refuses_what_cannot_be_hashed(token):
    """
    Asking for what cannot be a key is an error of ours, not of a dictionary.
    """
    with pytest.raises((AsyncMetaError, TypeError)) as caught:
        await Container(fresh_app()).get(token)

    assert isinstance(caught.value, AsyncMetaError)


def test_a_token_has_a_name_that_is_a_string():
    """
    A Token without a string for a name is refused.
    """
    with pytest.raises(TypeError):
        Token(3)


# --- factories that cannot be called -------------------------------------------------------------


NO_FACTORIES = {
    "number": 3,
    "none": None,
    "text": "module:function",
    "object": object(),
    "list": [make],
    "property": property(make),
    "class method": classmethod(make),
}


@pytest.mark.parametrize("factory", NO_FACTORIES.values(), ids=NO_FACTORIES)
def test_what_cannot_be_called_is_no_factory(factory):
    """
    A factory that cannot be called is refused at its line, and nothing is registered.
    """
    App = fresh_app()

    with pytest.raises(DeclarationError) as caught:
        inject_dependency("thing", on=App)(factory)
    with pytest.raises(DeclarationError):
        App.register_dependency("thing", factory)

    assert HERE in caught.value.where
    assert App.get_dependency("thing") is None


async def test_a_coroutine_is_no_factory():
    """
    Whoever calls the async factory instead of naming it is told.
    """

    async def make_later(): ...

    coroutine = make_later()
    try:
        with pytest.raises(DeclarationError, match="coroutine"):
            inject_dependency("thing", on=fresh_app())(coroutine)
    finally:
        coroutine.close()


def test_a_property_in_a_body_is_no_factory():
    """
    A property under the decorator is refused, and the class is not made.
    """
    with pytest.raises(DeclarationError):

        class App(AsyncServiceBase):
            @inject_dependency("thing")
            @property
            def make(self): ...


def test_a_method_without_self_is_told():
    """
    A plain function in a body that takes no argument could not be called as a method.
    """
    with pytest.raises(SAID, check=saying("make")) as caught:

        class App(AsyncServiceBase):
            @inject_dependency("thing")
            def make(): ...

        Container(App)

    assert "staticmethod" in str(caught.value) or "self" in str(caught.value)


def test_too_many_bound_arguments_are_told():
    """
    A partial that binds what its function does not take cannot be called.
    """
    App = fresh_app()

    with pytest.raises(SAID):
        App.register_dependency("thing", functools.partial(make, 1, 2, 3))
        Container(App)


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize("lifetime", ["scopd", "Singleton", "session", ""])
def test_an_unknown_lifetime_is_told(lifetime):
    """
    A lifetime that nobody knows is told with the registration or class that has it.
    """
    App = fresh_app()
    with pytest.raises(SAID) as by_decorator:
        inject_dependency("thing", on=App, lifetime=lifetime)(make)
        Container(App)
    with pytest.raises(SAID) as by_keyword:

        class Users(AsyncServiceBase, lifetime=lifetime):
            pass

        Container(fresh_app(providers=[Users]))

    assert repr(lifetime) in str(by_decorator.value) or f'"{lifetime}"' in str(by_decorator.value)
    assert '"thing"' in str(by_decorator.value) or f"{HERE}:" in str(by_decorator.value)
    assert "Users" in str(by_keyword.value) or f"{HERE}:" in str(by_keyword.value)


@pytest.mark.parametrize("lifetime", [3, object(), [], int])
def test_a_lifetime_that_is_no_word_is_told(lifetime):
    """
    A lifetime is a string; anything else is refused at its line.
    """
    App = fresh_app()

    with pytest.raises(DeclarationError):
        inject_dependency("thing", on=App, lifetime=lifetime)(make)
    with pytest.raises(DeclarationError):

        class Users(AsyncServiceBase, lifetime=lifetime):
            pass

    assert App.get_dependency("thing") is None


@pytest.mark.parametrize("on", [int, Database, Database(), "App", 3, None, AsyncServiceBase.__class__])
def test_on_takes_a_service_class(on):
    """
    What on= names has to be a service class.
    """
    with pytest.raises(DeclarationError, match="on"):
        inject_dependency(f"bad {uuid.uuid4()}", on=on)(make)


def test_on_takes_no_instance():
    """
    An instance of a service is not its class.
    """
    with pytest.raises(DeclarationError):
        inject_dependency("thing", on=fresh_app()())(make)


@pytest.mark.parametrize("also", ["name", Database, 3])
def test_also_takes_several(also):
    """
    A single token under also= is refused, a string above all: its letters would be keys.
    """
    App = fresh_app()

    with pytest.raises(DeclarationError, match="also"):
        inject_dependency("thing", on=App, also=also)(make)

    assert App.get_dependency("thing") is None
    assert App.get_dependency("n") is None


@pytest.mark.parametrize("timeout", [-1, "5", float("nan"), object()])
def test_a_timeout_is_a_number_of_seconds(timeout):
    """
    A timeout that is no number of seconds is refused.
    """
    App = fresh_app()

    with pytest.raises(DeclarationError, match="timeout"):
        inject_dependency("thing", on=App, timeout=timeout)(make)

    assert App.get_dependency("thing") is None


def test_an_unknown_option_is_a_type_error():
    """
    An option that does not exist is refused as Python does it.
    """
    with pytest.raises(TypeError):
        inject_dependency("thing", lifetim="scoped")
    with pytest.raises(TypeError):
        fresh_app().register_dependency("thing", make, lifetim="scoped")


def test_a_function_is_never_a_token():
    """
    The bare form takes no options: a function in the place of the token is refused.
    """
    App = fresh_app()

    with pytest.raises(DeclarationError):
        inject_dependency(make, on=App)(make)
    with pytest.raises(DeclarationError):
        inject_dependency(make, lifetime="scoped")(make)


# --- class keywords ------------------------------------------------------------------------------


def test_a_keyword_that_nobody_takes_is_told():
    """
    A class keyword that neither we nor another base takes is told at the class, which is not made.
    """
    with pytest.raises(DeclarationError, match="contxt") as caught:
        fresh_app(contxt=[Database])

    assert "context" in str(caught.value)
    assert HERE in caught.value.where


@pytest.mark.parametrize("context", ["request", Database, 3, [[]]])
def test_a_context_is_a_list_of_tokens(context):
    """
    A context that is a single token, or holds what cannot be a key, is refused.
    """
    with pytest.raises(DeclarationError, match="context"):
        fresh_app(context=context)


@pytest.mark.parametrize("providers", [Database, "Database", 3, [3], [None], [make], ["Database"]])
def test_providers_are_a_list_of_classes(providers):
    """
    Providers that are no list, or hold what is no provider, are refused with the keyword's name.
    """
    with pytest.raises(SAID, check=saying("provider")):
        Container(fresh_app(providers=providers))


@pytest.mark.parametrize("root", [int, Database, "App", 3, AsyncServiceBase.__class__, Database()])
def test_a_container_is_made_of_a_service_class(root):
    """
    What is no service class and no service makes no container.
    """
    with pytest.raises(TypeError):
        Container(root)


# --- annotations, descriptors, bodies ------------------------------------------------------------


def test_an_unreadable_annotation_is_told():
    """
    An annotation that cannot be read is told with its parameter, its text and its place.
    """
    App = fresh_app()

    def uses(value: "NoSuchName"): ...  # noqa: F821

    App.register_dependency("thing", uses)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = caught.value.exceptions
    text = str(problem)
    assert "NoSuchName" in text
    assert "value" in text
    assert f"{HERE}:{inspect.getsourcelines(uses)[1]}" in text


@pytest.mark.parametrize("annotation", ["1 +", "os.nowhere", "[][0]", "1 / 0", "x" * 5000, "lambda: (", "\x00"], ids=ascii)
def test_whatever_an_annotation_raises_is_told(annotation):
    """
    However an annotation in a string goes wrong, it is a problem of the check.
    """
    App = fresh_app()

    def uses(value): ...

    uses.__annotations__["value"] = annotation
    App.register_dependency("thing", uses)

    with pytest.raises(GraphErrors, check=saying("value")) as caught:
        Container(App)

    assert len(str(caught.value)) < 2000


@pytest.mark.parametrize("annotation", [3, [], {}, object(), [Database], Unhashable()], ids=lambda value: type(value).__name__)
def test_an_annotation_that_is_no_type_is_told(annotation):
    """
    An annotation that is no type and no string is a problem of the check, not an accident.
    """
    App = fresh_app()

    def uses(value): ...

    uses.__annotations__["value"] = annotation
    App.register_dependency("thing", uses)

    with pytest.raises(GraphErrors, check=saying("thing")):
        Container(App)


def test_a_descriptor_that_a_dataclass_would_swallow_is_told():
    """
    A dataclass that makes a field of a descriptor is told to write ClassVar.
    """
    with pytest.raises(SAID, check=saying("ClassVar")):

        @dataclass
        class App(AsyncServiceBase):
            thing: AsyncDependencyDescriptor[Database] = AsyncDependencyDescriptor(Database)  # noqa: RUF009  # the mistake

        App.register_dependency(Database, Database)
        Container(App)


async def test_a_swallowed_descriptor_is_told_when_it_is_awaited():
    """
    The same is told when the attribute of an instance made by hand is awaited.
    """

    @dataclass
    class App(AsyncServiceBase):
        thing: AsyncDependencyDescriptor[Database] = AsyncDependencyDescriptor(Database)  # noqa: RUF009  # the mistake

    App.register_dependency(Database, Database)

    with pytest.raises(SAID, check=saying("ClassVar")):
        await App().thing


def test_a_registration_in_a_plain_class_is_told():
    """
    In the body of a class that is no service the decorator raises at its line.
    """
    with pytest.raises(DeclarationError) as caught:

        class Plain:
            @inject_dependency("thing")
            def make(self): ...

    assert re.search(rf"{re.escape(HERE)}:\d+", caught.value.where)


def test_a_failed_class_leaves_nothing():
    """
    A class body that raises registers nothing anywhere.
    """
    name = f"bad {uuid.uuid4()}"

    with pytest.raises(DeclarationError):

        class App(AsyncServiceBase):
            @inject_dependency(name)
            def make(self): ...

            @inject_dependency(3)
            def make_other(self): ...

    assert AsyncServiceBase.get_dependency(name) is None


def test_bare_on_a_class_is_told():
    """
    A class whose decorator lost its parentheses says so, by name, when it is used.
    """

    @inject_dependency
    class Mailer:
        pass

    with pytest.raises(DeclarationError, match="Mailer"):
        Mailer()


def test_bare_on_a_service_class_is_told():
    """
    The same holds for a service class.
    """

    @inject_dependency
    class Users(AsyncServiceBase):
        pass

    with pytest.raises(DeclarationError, match="Users"):
        Users()


# --- what cannot be copied -----------------------------------------------------------------------


@pytest.mark.parametrize("twin", [copy.copy, copy.deepcopy, pickle.dumps], ids=["copy", "deepcopy", "pickle"])
async def test_containers_and_scopes_refuse_to_be_copied(twin):
    """
    A living container or scope is neither copied nor pickled, and says so.
    """
    async with Container(fresh_app()) as container, container.scope() as scope:
        for thing in (container, scope):
            with pytest.raises((TypeError, AsyncMetaError), match=r"(?i)container|scope"):
                twin(thing)


# --- what contradicts itself, and what is nearly right ---------------------------------------------


def _register(*given, **options):
    return lambda: fresh_app().register_dependency(*given, **options)


SAID_AT_ONCE = {
    "no token": (_register(None, make), "register_dependency takes a token; None is none"),
    "an optional that is no bool": (
        lambda: AsyncDependencyDescriptor("thing", optional=1),
        "optional is True or False, not int",
    ),
    "a member's name that is False": (
        lambda: inject_dependency("own", on=fresh_app(), into={"plugins": False})(make),
        "into= gives a member a name, or True for none",
    ),
    "a timeout of a value": (
        lambda: fresh_app(providers=[{"provide": "thing", "use_value": 1, "timeout": 1}]),
        "a value is there already: timeout and in_thread have nothing to do",
    ),
    "an option of what exists": (
        lambda: fresh_app(providers=[{"provide": "thing", "use_existing": "other", "timeout": 1}]),
        "timeout has nothing to do beside use_existing: what exists is made elsewhere",
    ),
    "a context of a level that is no list": (
        lambda: fresh_app(scopes=["request"], context={"request": "user"}),
        "context is a list of tokens, or a mapping from a level's name to one",
    ),
    "an override of several values by one": (
        lambda: Container(fresh_app(providers=[{"provide": "thing", "use_value": 1, "multi": True}]), overrides={"thing": 2}),
        '"thing" is registered with multi=True: override it with a list',
    ),
}


@pytest.mark.parametrize("declare, text", SAID_AT_ONCE.values(), ids=SAID_AT_ONCE)
def test_what_contradicts_itself_is_said(declare, text):
    """
    Options that cannot go together, or are of another kind than they have to be, are refused in a sentence that says why.
    """
    with pytest.raises(DeclarationError) as caught:
        declare()

    assert text in str(caught.value)


FORGOTTEN = {
    "asked for an attribute": (lambda mark: mark.fetch, "was asked for .fetch"),
    "used as a base": (lambda mark: type("Thing", mark.__mro_entries__(()), {}), "was used as a base class"),
}


@pytest.mark.parametrize("token", [None, "clock"])
@pytest.mark.parametrize("use, text", FORGOTTEN.values(), ids=FORGOTTEN)
def test_a_decorator_that_decorates_nothing_is_told_when_it_is_used(use, text, token):
    """
    What `inject_dependency` returns is a decorator: who takes it for a value or a class is told that its factory is missing.
    """
    mark = inject_dependency(token) if token else inject_dependency()

    with pytest.raises(DeclarationError, match=re.escape(text)) as caught:
        use(mark)

    assert "decorates a factory, which is missing" in str(caught.value)
    assert not hasattr(mark, "__deepcopy__")  # what copy and inspect probe for is no use of it


def test_a_body_registers_what_can_be_called():
    """
    In a class body, too, a factory has to be callable, and no class is made with one that is not.
    """
    with pytest.raises(DeclarationError, match="a factory has to be callable; int is not"):

        class App(AsyncServiceBase):
            port = inject_dependency("port")(8080)


@pytest.mark.parametrize("function", [print, functools.partial(make)], ids=["built-in", "partial"])
def test_injected_says_nothing_of_what_has_no_code(function):
    """
    What is no function of Python's comes back as it is, without a warning: nobody could have marked its parameters.
    """
    assert injected(function) is function


def test_a_value_is_got_back_as_a_factory():
    """
    What `register_value` has kept is what a factory of no arguments returns.
    """
    App = fresh_app()
    App.register_value("port", 8080)

    assert App.get_dependency("port")() == 8080


def test_a_provider_that_is_no_list_is_read_later():
    """
    A list that is read at once, as an override is, has no later: what a function makes has to be defined by then.
    """

    def make_later() -> "NotDefinedYet":  # noqa: F821  # the subject
        ...

    with pytest.raises(DeclarationError, match=r"provider 0 \(make_later\): the return annotation of make_later cannot be read"):
        Container(fresh_app(), overrides=[make_later])


async def test_deps_may_be_left_out_by_none():
    """
    ``deps`` of None is none: the parameters of the factory are read.
    """

    def make_pair(one: Annotated[str, Inject("one")]):
        return one, one

    App = fresh_app(providers=[{"provide": "pair", "use_factory": make_pair, "deps": None}, {"provide": "one", "use_value": 1}])

    assert await Container(App).get("pair") == (1, 1)


@pytest.mark.parametrize("name, meant", [("DATABASE", "database"), ("Database_url", "DATABASE_URL")])
def test_another_case_is_as_near_as_a_letter(name, meant):
    """
    A name that differs from one that there is by its case only is the one that was meant.
    """
    App = fresh_app()
    App.register_value(meant, 1)

    with pytest.raises(GraphError, match=f'Did you mean "{meant}"'):
        Container(App).get_nowait(name)


@pytest.mark.parametrize("factory", [print, functools.partial(print, "a")], ids=["built-in", "partial"])
def test_what_says_nothing_of_what_it_makes_needs_a_token(factory):
    """
    A function that is written in C has no annotation that could be its token.
    """
    with pytest.raises(SAID, match="does not say what it makes"):
        App = fresh_app()
        inject_dependency(on=App)(factory)
        Container(App)


async def test_a_partial_of_a_class_makes_that_class():
    """
    What is bound is no other class: the token is the class itself.
    """

    class Sized:
        def __init__(self, size):
            self.size = size

    App = fresh_app()
    inject_dependency(on=App)(functools.partial(Sized, 3))

    assert (await Container(App).get(Sized)).size == 3
