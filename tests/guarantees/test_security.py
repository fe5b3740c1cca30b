"""Bad input and security: names never become code, values never become text, live containers do not travel."""

import asyncio
import builtins
import copy
import gc
import linecache
import logging
import os
import pickle
import re
import sys
import traceback
import types
from typing import Annotated, Any

import pytest
from helpers import fresh_app, leaves, outcome, problems

import asyncmeta
from asyncmeta import (
    AsyncDependencyDescriptor,
    AsyncDependencyError,
    AsyncServiceBase,
    BuildTimeoutError,
    CircularDependencyError,
    ClosedError,
    Container,
    FinalizationErrors,
    GraphError,
    GraphErrors,
    Inject,
    MissingDependencyError,
    Token,
    inject_dependency,
    injected,
)

ATTACK = "__import__('builtins').asyncmeta_was_attacked=True"
NAMES = [
    "class",
    "None",
    "lambda",
    "two words",
    "",
    "a'b",
    'a"b',
    '"""',
    "'''",
    "line\nbreak",
    "carriage\rreturn",
    "back\\slash",
    "\\N{BULLET}",
    "{braces}",
    "%s %d",
    "# comment",
    "ünïcödé",
    "\u2028\u2029",
    "\x00",
    "名前",
    "x" * 5000,
    f"x): {ATTACK} #",
    f"x\n{ATTACK}\n",
    f"'+{ATTACK}+'",
    f'"+{ATTACK}+"',
    f"{{{ATTACK}}}",
    "s0",
    "f0",
    "UNSET",
    "self",
    "__class__",
    "os.system",
]


@pytest.fixture(autouse=True)
def not_attacked():
    """Fail when a name was executed."""
    yield
    assert not hasattr(builtins, "asyncmeta_was_attacked")


def sources():
    """Return the text of all generated functions."""
    ours = [entry for name, entry in linecache.cache.copy().items() if name.startswith("<asyncmeta") and len(entry) > 2]
    return "\n".join("".join(entry[2]) for entry in ours)


@pytest.mark.parametrize("name", NAMES, ids=ascii)
async def test_names_never_become_code(name):
    """
    Tokens, classes, functions and attributes of any name are built, shared and closed like all others.
    """
    app = type(AsyncServiceBase)("App", (AsyncServiceBase,), {"attribute": AsyncDependencyDescriptor(name)})
    plain = name.replace("\x00", "0")  # what type() and __name__ take
    Thing, closed = type(plain, (), {"__init__": lambda self: None}), []

    def function():
        yield object()
        closed.append(1)

    async def coroutine(text: Annotated[Any, Inject(name)], thing: Thing):
        await asyncio.sleep(0)
        return [text, thing]

    function.__name__ = function.__qualname__ = plain
    coroutine.__name__ = coroutine.__qualname__ = coroutine.__module__ = plain
    Thing.__module__ = Thing.__qualname__ = plain
    token = Token(name)
    app.register_dependency(name, function)
    app.register_dependency(Thing, Thing, lifetime="scoped")
    app.register_dependency(token, coroutine, lifetime="scoped")
    async with Container(app()) as container:
        instance = await container.get(app)
        for _ in range(3):
            async with container.scope() as scope:
                pair = await scope.get(token)
                again = await scope.getter(token)()
                text = await scope.get(name)
            async with container.request(token):
                pass
        attribute = await instance.attribute

    assert pair[0] is text is attribute
    assert type(pair[1]) is Thing
    assert again is pair
    assert closed == [1]
    if len(plain) > 8:
        assert plain not in sources()


@pytest.mark.parametrize("name", NAMES, ids=ascii)
async def test_names_never_become_files(name):
    """
    The files that tracebacks of generated code name are numbered, whatever the classes and tokens are called.
    """
    App, before = fresh_app(), set(linecache.cache)

    def boom(value):
        raise ValueError(traceback.extract_stack())

    boom.__name__ = boom.__qualname__ = plain = name.replace("\x00", "0")
    App.__name__ = App.__qualname__ = plain
    App.register_dependency("value", object, lifetime="scoped")
    App.register_dependency(name, boom, lifetime="scoped")

    @injected
    async def use(found: Annotated[Any, Inject(name)]): ...

    async with Container(App) as container:
        for _ in range(3):
            async with container.scope() as scope:
                end = await outcome(scope.get(name))
            await outcome(use())
    files = {*set(linecache.cache) - before, *(frame.filename for frame in end.args[0])}
    made = {file for file in files if "asyncmeta" in file and not file.startswith(os.sep)}

    assert made
    assert all(re.fullmatch(r"<asyncmeta #\d+>", file) for file in made)


async def test_parameters_may_have_any_name():
    """
    Parameters named as the generated code's own variables, or as builtins, receive what they ask for.
    """
    App = fresh_app()
    names = "s v r s0 s1 f0 f1 a0 a1 p0 UNSET self print len root scope exits".split()
    for name in names:
        App.register_value(name, f"value of {name}")
    space = {}
    exec(f"async def make({', '.join(names)}):\n    return [{', '.join(names)}]", space)
    exec(f"def keywords(*, {', '.join(names)}):\n    return [{', '.join(names)}]", space)
    exec(f"def positions({', '.join(names)}, /):\n    return [{', '.join(names)}]", space)
    for kind in ("make", "keywords", "positions"):
        App.register_dependency(f"as {kind}", space[kind], lifetime="scoped")
    async with Container(App) as container:
        for _ in range(3):
            async with container.scope() as scope:
                values = await scope.gather("as make", "as keywords", "as positions")

    assert values == tuple([[f"value of {name}" for name in names]] * 3)


@pytest.mark.parametrize("token", ["os.system", "builtins:print", "__class__", "a.b.c", "subprocess", "{0.__class__}"])
async def test_string_tokens_are_keys_and_nothing_else(token):
    """
    A string token is looked up as it is: never imported, split, formatted or evaluated.
    """
    App = fresh_app()
    App.register_value("a", object())
    async with Container(App) as container:
        with pytest.raises(MissingDependencyError) as caught:
            await container.get(token)
        App.register_value(token, "value")
        value = await container.get(token)

    assert caught.value.key == f'"{token}"'
    assert value == "value"


def module(name, text, monkeypatch):
    """Return a module that is there for one test."""
    made = types.ModuleType(name)
    made.__dict__["asyncmeta"] = asyncmeta
    monkeypatch.setitem(sys.modules, name, made)
    exec(text, made.__dict__)
    return made


def test_string_annotations_see_no_other_module(monkeypatch):
    """
    A text in one module does not reach what the application's module, another one, or this package calls so.
    """
    there = module("there_of_a_test", "class Secret: ...", monkeypatch)
    for text in ("Secret", "App", "Registry", "fresh_app", "make_errors"):
        here = module("here_of_a_test", f"def make(it: {text!r}): ...", monkeypatch)
        App = fresh_app()
        App.__module__ = "there_of_a_test"
        App.register_value(there.Secret, "secret")
        App.register_dependency("made", here.make)

        with pytest.raises(GraphErrors, match=r'the annotation of "made"\.it cannot be read'):
            Container(App)


@pytest.mark.parametrize("text", ["Thing", "builtins.object", "os:system", "asyncmeta.Container", "print"])
@pytest.mark.parametrize("key", ["use_class", "use_factory", "class", "factory", "useClass"])
def test_strings_in_provider_lists_never_become_classes(key, text):
    """
    Where a provider has to name a class or a function, a string is refused by the key, and imports nothing.
    """
    before = set(sys.modules)
    with pytest.raises(asyncmeta.DeclarationError, match="provider 0") as caught:
        fresh_app().register_providers([{"provide": "x", key: text}])

    assert key in str(caught.value)
    assert set(sys.modules) == before


async def test_a_long_unknown_token_is_cut():
    """
    An unknown token is shown cut to 80 characters, and only registered names are suggested.
    """
    App = fresh_app()
    App.register_value("database", "value")
    async with Container(App) as container:
        with pytest.raises(MissingDependencyError) as caught:
            await container.get("x" * 10_000)
        with pytest.raises(MissingDependencyError) as close:
            await container.get("databas")

    assert len(str(caught.value)) < 1000
    assert "x" * 81 not in str(caught.value)
    assert close.value.close_to == ('"database"',)


async def test_a_tokens_line_breaks_do_not_break_the_text():
    """
    A token with line breaks cannot write lines of its own into an error.
    """
    App = fresh_app()
    async with Container(App) as container:
        with pytest.raises(MissingDependencyError) as caught:
            await container.get("x\nMissingDependencyError: forged")

    assert not any(line.startswith("MissingDependencyError: forged") for line in str(caught.value).splitlines())


# --- secrets -------------------------------------------------------------------------------------

SECRET = "s3cr3t-hunter2"


class Telling:
    """A value that tells its secret to whoever asks for its text."""

    def __init__(self):
        self.password = SECRET

    def __repr__(self):
        return f"Telling({self.password})"

    __str__ = __repr__


def texts_of(error):
    """Return all texts of an exception and of what hangs on it, but for its own frames' variables."""
    found = []
    for one in leaves(error):
        found += [str(one), repr(one), *getattr(one, "__notes__", ())]
        found += [repr(value) for name, value in vars(one).items() if name != "__notes__"]
    return found


async def test_values_never_become_text(caplog):
    """
    A secret that is registered in every way appears in no repr, error, note, log or report of ours.
    """
    caplog.set_level(logging.DEBUG)
    App, texts = fresh_app(context=["given"]), []

    class Service(AsyncServiceBase, lifetime="scoped"):
        secret = AsyncDependencyDescriptor("value")
        made = AsyncDependencyDescriptor("made")

        def __init__(self, default=SECRET):
            self.password = SECRET

        def __repr__(self):
            return f"Service({self.password})"

    async def make(secret: Annotated[Any, Inject("value")], other=SECRET):
        return Telling()

    async def failing(secret: Annotated[Any, Inject("value")], made, given, text):
        raise ValueError("failing")

    async def closing_badly(made):
        yield Telling()
        raise ValueError("closing")

    App.register_value("value", Telling())
    App.register_value("text", SECRET)
    App.register_dependency("made", make)
    App.register_dependency("failing", failing, lifetime="scoped")
    App.register_dependency("closing badly", closing_badly)
    App.register_dependency("fallback", lambda x: x)
    App.register_dependency("looping", lambda: container.get_nowait("looping"))
    App.register_value("x", SECRET)
    container = Container(App)
    report = await container.start("made")
    texts += [repr(report), str(report), *map(repr, report.builds)]
    texts += [repr(container.check()), str(container.check())]
    async with container.scope({"given": Telling()}) as scope:
        service = await scope.get(Service)
        await scope.gather("value", "text", "made", "given")
        await service.secret
        texts += [repr(container), str(container), repr(scope), str(scope), repr(scope.getter("value"))]
        texts += [repr(App), repr(service.secret), repr(service.made), repr(App.get_dependency("made"))]
        texts += [repr(vars(Service)["secret"]), repr(container.request("text")), repr(Inject("x", fallback=SECRET))]
        for name in ("failing", "absent", "looping"):
            texts += texts_of(await outcome(scope.get(name)))
        await container.get("closing badly")
    texts += texts_of(await outcome(container.aclose()))
    texts += texts_of(await outcome(container.get("value")))
    texts += [record.getMessage() for record in caplog.records if record.name.startswith("asyncmeta")]
    texts.append(sources())

    assert not [text for text in texts if SECRET in text]


def test_values_do_not_appear_in_graph_errors():
    """
    Nor in what making a container refuses: neither values nor defaults nor fallbacks.
    """
    App = fresh_app()
    App.register_value("databaze", Telling())

    def make(database, fine: Annotated[Any, Inject("absent", fallback=SECRET)] = SECRET, *, other=Telling): ...

    App.register_dependency("made", make)
    with pytest.raises(GraphErrors) as caught:
        Container(App)

    assert not [text for text in texts_of(caught.value) if SECRET in text]
    assert not [text for problem in problems(caught.value) for text in texts_of(problem) if SECRET in text]


# --- what does not travel ------------------------------------------------------------------------


@pytest.mark.parametrize("act", [pickle.dumps, copy.copy, copy.deepcopy], ids=["pickle", "copy", "deepcopy"])
async def test_live_things_refuse_pickle_and_copy(act):
    """
    Containers and scopes refuse to be pickled and copied, open or closed, and say what to do instead.
    """
    App = fresh_app()
    App.register_value("value", "value")
    container = Container(App)
    async with container, container.scope() as scope:
        for live in (container, scope):
            with pytest.raises(TypeError) as caught:
                act(live)
            assert len(str(caught.value)) > 20
    with pytest.raises(TypeError):
        act(container)


class Traveller(AsyncServiceBase):
    """A service that is copied and pickled."""

    value = AsyncDependencyDescriptor("value")


def through_pickle(service):
    """Return the copy that arrives at another process."""
    return pickle.loads(pickle.dumps(service))


@pytest.mark.parametrize("act", [copy.copy, copy.deepcopy, through_pickle])
async def test_copies_of_services_drop_what_was_awaited(act):
    """
    A copied or pickled service carries its own attributes and nothing that was injected.
    """
    Traveller.register_dependency("value", Telling)
    service = Traveller()
    service.name = "name"
    value = await service.value

    other = act(service)

    assert other.name == "name"
    assert not any(held is value for held in vars(other).values())
    assert len(vars(other)) <= len(vars(service))
    other_value = await other.value
    assert other_value is not value
    gc.collect()


def make_errors():
    """Return one of each of our errors, as the package raises them."""
    App = fresh_app()
    App.register_dependency("a", lambda b: b)
    App.register_dependency("b", lambda a: a)
    App.register_dependency("c", lambda absent: absent)
    App.register_dependency("session", object, lifetime="scoped")
    App.register_dependency("d", lambda session: session)
    try:
        Container(App)
    except GraphErrors as errors:
        yield errors
        yield from errors.exceptions


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
async def test_errors_travel(protocol):
    """
    Each error can be pickled, and its copy says the same and has the same facts.
    """
    App = fresh_app()

    async def slow():
        await asyncio.Event().wait()

    async def closing_badly():
        yield "value"
        raise ValueError("closing")

    App.register_dependency("slow", slow, timeout=0.001)
    App.register_dependency("bad", closing_badly)
    App.register_dependency("looping", lambda: container.get_nowait("looping"))
    App.register_dependency("session", object, lifetime="scoped")
    container = Container(App)
    await container.get("bad")
    errors = [await outcome(container.get(name)) for name in ("slow", "absent", "looping", "session")]
    try:
        container.get_nowait("slow")
    except AsyncDependencyError as error:
        errors.append(error)
    errors += [await outcome(container.aclose()), await outcome(container.get("bad")), *make_errors()]
    try:
        inject_dependency([])(slow)
    except asyncmeta.DeclarationError as error:
        errors.append(error)

    kinds = {type(error) for error in errors}
    assert {BuildTimeoutError, CircularDependencyError, ClosedError, FinalizationErrors, GraphErrors} <= kinds
    for error in errors:
        other = pickle.loads(pickle.dumps(error, protocol))
        assert type(other) is type(error)
        assert str(other) == str(error)
        for fact in ("key", "path", "close_to", "seconds", "where"):
            assert getattr(other, fact, None) == getattr(error, fact, None)


# --- what is read of the user's ------------------------------------------------------------------


class Untouchable:
    """A class attribute that must not be looked at."""

    def __get__(self, instance, owner):
        raise AssertionError("the attribute was read")

    def _fail(self, *args):
        raise AssertionError("the attribute was compared or tested")

    __eq__ = __bool__ = __len__ = __hash__ = __call__ = _fail


async def test_only_annotations_are_read():
    """
    Making a service class, an instance and a container reads no property and compares no class attribute.
    """

    class App(AsyncServiceBase):
        untouchable = Untouchable()
        value = AsyncDependencyDescriptor("value")

        @property
        def password(self):
            raise AssertionError("the property was read")

        @inject_dependency("value")
        @staticmethod
        def make():
            return "value"

    async with App() as app:
        assert await app.value == "value"
    async with Container(App) as container:
        app = await container.get(App)
        assert await app.value == "value"


@pytest.mark.parametrize("token", [[], {}, set(), bytearray()], ids=repr)
def test_unhashable_tokens_are_told(token):
    """
    What cannot be a key is told where it is used, with its type and without its text.
    """
    App = fresh_app()
    with pytest.raises(asyncmeta.AsyncMetaError):
        App.register_dependency(token, object)
    with pytest.raises(asyncmeta.AsyncMetaError):
        App.register_value(token, object)
    with pytest.raises(asyncmeta.AsyncMetaError):
        Inject(token)


async def test_a_type_with_a_hostile_text_is_named_safely():
    """
    A metaclass whose repr fails does not make our errors fail.
    """

    class Meta(type):
        def __repr__(cls):
            raise RuntimeError("repr")

    class Thing(metaclass=Meta):
        pass

    App = fresh_app()
    async with Container(App) as container:
        with pytest.raises(GraphError) as caught:
            await container.get(Thing)

    assert "Thing" in str(caught.value)
