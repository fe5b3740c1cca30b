"""Names that a module imports for type checkers only, and names of local classes in texts."""

import importlib
import sys
from typing import Annotated

import pytest
from helpers import fresh_app, problems

from asyncmeta import INJECTED, Container, From, GraphErrors, inject_dependency, injected

ENGINES = """
class Engine: ...
class Inner:
    class Part: ...
"""

#: How the name Engine comes into the module for checkers, and how it is then written.
IMPORTS = {
    "from": ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from parts.engines import Engine", "Engine"),
    "renamed": ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from parts.engines import Engine as E", "E"),
    "typing.": ("import typing\nif typing.TYPE_CHECKING:\n    from parts.engines import Engine", "Engine"),
    "aliased": ("import typing as t\nif t.TYPE_CHECKING:\n    from parts.engines import Engine", "Engine"),
    "relative": ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .engines import Engine", "Engine"),
    "module": ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import parts.engines", "parts.engines.Engine"),
    "module as": ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import parts.engines as p", "p.Engine"),
    "module from": ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from . import engines", "engines.Engine"),
    "star": ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .engines import *", "Engine"),
    "handed on": ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .between import Engine", "Engine"),
    "and": ("import sys\nfrom typing import TYPE_CHECKING\nif TYPE_CHECKING and sys:\n    from .engines import Engine", "Engine"),
    "else": ("from typing import TYPE_CHECKING\nif not TYPE_CHECKING:\n    pass\nelse:\n    from .engines import Engine", "Engine"),
    "another name": ("from typing import TYPE_CHECKING as TC\nif TC:\n    from .engines import Engine", "Engine"),
    "never": ("if False:\n    from .engines import Engine", "Engine"),
    "elif": ("import typing\nif 0 > 1:\n    pass\nelif typing.TYPE_CHECKING:\n    from .engines import Engine", "Engine"),
    "by version": (
        "import sys, typing\nif typing.TYPE_CHECKING:\n    if sys.version_info > (3, 5):\n        from .engines import Engine\n"
        "    else:\n        from .older import Engine",
        "Engine",
    ),
    "fallback": (
        "import typing\nif typing.TYPE_CHECKING:\n    try:\n        from .faster import Engine\n"
        "    except ImportError:\n        from .engines import Engine",
        "Engine",
    ),
    "false": ("TYPE_CHECKING = False\nif TYPE_CHECKING:\n    from .engines import Engine", "Engine"),
}
BETWEEN = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .engines import Engine"

#: Forms around the name.
AROUND = ["{}", "{} | None", "list[{}]", "Annotated[{}, 'main']", "'{}'", "From[{}]"]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Return what writes a package `parts` of a few modules, and imports one of them."""
    monkeypatch.syspath_prepend(tmp_path)
    folder = tmp_path / "parts"
    folder.mkdir()
    (folder / "__init__.py").write_text("")

    def written(asked="store", **modules):
        for name, text in modules.items():
            (folder / f"{name}.py").write_text(text)
        importlib.invalidate_caches()
        return importlib.import_module(f"parts.{asked}")

    yield written
    for name in [name for name in sys.modules if name.partition(".")[0] == "parts"]:
        del sys.modules[name]


def store(imports, form):
    """Return the text of a module with a class that asks for *form*."""
    return f"""from __future__ import annotations
from typing import Annotated
from asyncmeta import From
{imports}
class Store:
    def __init__(self, engine: {form}) -> None:
        self.engine = engine
def make(engine: {form}) -> {form}:
    return engine
"""


@pytest.mark.parametrize("way", IMPORTS)
def test_a_name_for_checkers_is_found_where_its_import_says(package, way):
    """
    However it is imported under TYPE_CHECKING, the name is what the loaded module has, for a class and for a function.
    """
    imports, name = IMPORTS[way]
    engines = package("engines", engines=ENGINES, between=BETWEEN)
    package("between")
    module = package(store=store(imports, name))
    App = fresh_app()
    App.register_value(engines.Engine, "engine")
    App.register_dependency(module.Store, module.Store)
    App.register_dependency("made", module.make)
    container = Container(App)

    assert container.get_nowait(module.Store).engine == container.get_nowait("made") == "engine"


@pytest.mark.parametrize("around", AROUND)
def test_a_name_for_checkers_inside_of_a_form(package, around):
    """
    It is read inside of every form.
    """
    engines = package("engines", engines=ENGINES)
    imports, name = IMPORTS["from"]
    module = package(store=store(imports, around.format(name)))
    App = fresh_app()
    App.register_value(list[engines.Engine] if "list" in around else engines.Engine, "engine")
    App.register_dependency(module.Store, module.Store)

    assert Container(App).get_nowait(module.Store).engine == "engine"


def test_a_return_annotation_for_checkers(package):
    """
    A factory without a token is registered for what its return annotation names, also where only checkers import it.
    """
    engines = package("engines", engines=ENGINES)
    text = store(*IMPORTS["from"]) + "def open_engine() -> Engine: return 1"
    module = package(store=text)
    App = fresh_app()
    inject_dependency(on=App)(module.open_engine)

    assert Container(App).get_nowait(engines.Engine) == 1


def test_nothing_is_imported(package):
    """
    A module that is not loaded stays so; the check says which import it is, its line and what to do.
    """
    module = package(store=store(*IMPORTS["from"]), engines=ENGINES)
    App = fresh_app()
    App.register_dependency(module.Store, module.Store)

    with pytest.raises(GraphErrors) as caught:
        Container(App)

    (problem,) = problems(caught.value)
    assert "parts.engines" not in sys.modules
    assert "name 'Engine' is not defined" in str(problem)
    assert "under TYPE_CHECKING only (line 6: from parts.engines import Engine)" in str(problem)
    assert "Annotated[..., Inject(...)]" in str(problem)


def test_what_is_loaded_later_is_found_later(package):
    """
    A module that was not loaded at the check may be at the next one.
    """
    module = package(store=store(*IMPORTS["from"]), engines=ENGINES)
    App = fresh_app()
    App.register_dependency(module.Store, module.Store)
    with pytest.raises(GraphErrors):
        Container(App)
    engines = package("engines")

    App.register_value(engines.Engine, "engine")

    assert Container(App).get_nowait(module.Store).engine == "engine"


def test_what_is_defined_for_checkers_is_told(package):
    """
    A name that the module defines itself under TYPE_CHECKING is told with its line.
    """
    module = package(store=store("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    class Engine: ...", "Engine"))
    App = fresh_app()
    App.register_dependency(module.Store, module.Store)

    with pytest.raises(GraphErrors, match=r"defined under TYPE_CHECKING only \(line 6\)"):
        Container(App)


AROUND = """from typing import TYPE_CHECKING, Annotated, Optional, TypeVar
from asyncmeta import From, injected
if TYPE_CHECKING:
    from .engines import Engine
T = TypeVar("T")
Pair, Maybe, Named, Wide = tuple[T, int], Optional[T], Annotated[T, "named"], list[int] | T
"""
EARLY = sys.version_info >= (3, 14)


@pytest.mark.parametrize("head", ["from __future__ import annotations\n", pytest.param("", marks=pytest.mark.skipif(
    not EARLY, reason="annotations are evaluated where they stand before Python 3.14"
))])  # fmt: skip
@pytest.mark.parametrize(("form", "key"), [
    ("From[Engine]", "Engine"),
    ("From[Engine | None]", "Engine"),
    ("From[Pair[Engine]]", "tuple[Engine, int]"),
    ("From[list[int] | Engine]", "list[int] | Engine"),
    ("Pair[Engine]", "tuple[Engine, int]"),
    ("Pair[Maybe[Engine]]", "tuple[Engine | None, int]"),
    ("Maybe[Engine]", "Engine"),
    ("Named[Engine]", "Annotated[Engine, 'named']"),
    ("Wide[Engine]", "list[int] | Engine"),
    ("list[int] | Engine", "list[int] | Engine"),
])  # fmt: skip
def test_forms_around_a_name_of_checkers(package, head, form, key):
    """
    A mark or a generic alias around a name that only checkers import is read, however late annotations are evaluated.
    """
    uses = f"def make(engine: {form}): return engine\nclass Made:\n    def __init__(self, engine: {form}): self.engine = engine"
    module = package(engines="class Engine: ...", store=head + AROUND + uses)
    engines = importlib.import_module("parts.engines")
    App = fresh_app()
    App.register_value(eval(key, {"Annotated": Annotated, "Engine": engines.Engine}), "engine")
    App.register_dependency("function", module.make)
    App.register_dependency("class", module.Made)
    container = Container(App)

    assert (container.get_nowait("function"), container.get_nowait("class").engine) == ("engine", "engine")
    if form.startswith("From"):
        assert container.inject(module.make)() == "engine"


STANDING = {
    "a name": "E = Engine",
    "of its module": "from . import engines as all_of_them\n    E = all_of_them.Engine",
    "annotated": "from typing import TypeAlias\n    E: TypeAlias = Engine",
    "a text": "E = \"Engine\"",
    "of another": "E = F\n    F = Engine",
    "optional": "E = Engine | None",
}
if sys.version_info >= (3, 12):
    STANDING["a statement"] = "type E = Engine"


@pytest.mark.parametrize("written", STANDING.values(), ids=STANDING)
def test_what_stands_for_a_type_for_checkers_is_read(package, written):
    """
    A name that the module gives a type under TYPE_CHECKING, by assignment, is that type.
    """
    guarded = f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .engines import Engine\n    {written}"
    module = package(engines="class Engine: ...", store=store(guarded, "E"))
    engines = importlib.import_module("parts.engines")
    App = fresh_app()
    App.register_dependency(module.Store, module.Store)
    App.register_value(engines.Engine, "engine")

    assert Container(App).get_nowait(module.Store).engine == "engine"


@pytest.mark.parametrize(("written", "missed"), [("E = E | None", "E"), ("E = Engine | None", "Engine"), ("E = print(1)", "E")])
def test_what_stands_for_nothing_is_told(package, capsys, written, missed):
    """
    What stands for itself, for what is not loaded or for no type is told by its name; no function is called for it.
    """
    guarded = f"from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from nowhere import Engine\n    {written}"
    module = package(store=store(guarded, "E"))
    App = fresh_app()
    App.register_dependency(module.Store, module.Store)

    with pytest.raises(GraphErrors, match=f"NameError: name '{missed}' is not defined"):
        Container(App)
    assert capsys.readouterr().out == ""


MARKED = """from __future__ import annotations
from typing import TYPE_CHECKING, Annotated
from asyncmeta import From, Inject, Token
if TYPE_CHECKING:
    from nowhere import Ghost
GHOST = Token("ghost")
def by_name(ghost: Annotated[Ghost, Inject("ghost")] = None): return ghost
def by_token(ghost: Annotated[Ghost, GHOST] = None): return ghost
def optional(ghost: Annotated[Ghost, Inject("ghost")] | None = None): return ghost
def inside(ghost: Annotated[list[Ghost], Inject("ghost")] = None): return ghost
def empty(ghost: From[Ghost] = None): return ghost
def plain(ghost: Ghost = None): return ghost
"""


@pytest.mark.parametrize("name", ["by_name", "by_token", "optional", "inside"])
def test_a_mark_that_names_a_token_needs_no_type(package, name):
    """
    What a mark names is found, whether or not the type beside it can be read.
    """
    module = package(store=MARKED)
    App = fresh_app()
    App.register_value(module.GHOST if name == "by_token" else "ghost", "the ghost")
    App.register_dependency("made", getattr(module, name))

    assert Container(App).get_nowait("made") == "the ghost"


def test_a_marked_parameter_never_falls_to_its_default_for_that(package):
    """
    An empty mark around a type that cannot be read is a problem, whatever the default.
    """
    module = package(store=MARKED)
    App = fresh_app()
    App.register_dependency("made", module.empty)

    with pytest.raises(GraphErrors, match="from nowhere import Ghost"):
        Container(App)


def test_an_unmarked_parameter_that_falls_to_its_default_is_listed(package):
    """
    One without a mark takes its default, and the report of the check says so, with the reason.
    """
    module = package(store=MARKED)
    App = fresh_app()
    App.register_dependency("made", module.plain)
    container = Container(App)

    (said,) = container.check().unread

    assert container.get_nowait("made") is None
    assert said.startswith('"made".ghost (')
    assert "from nowhere import Ghost" in said
    assert "Ghost" in str(container.check())


def test_an_injected_function_that_cannot_be_read_is_told(package):
    """
    The marked parameter of an injected function is told at its call, not handed INJECTED.
    """
    module = package(store=MARKED + "from asyncmeta import INJECTED\ndef use(ghost: From[Ghost] = INJECTED): return ghost\n")

    with Container(fresh_app()), pytest.raises(Exception, match="from nowhere import Ghost"):
        injected(module.use)()


def test_a_local_class_in_a_quoted_mark():
    """
    A local class is seen by name in the function that runs, also by an injected function.
    """

    class Local: ...

    App = fresh_app()
    App.register_value(Local, "local")

    @injected
    def use(local: "From[Local]" = INJECTED):
        return local

    with Container(App):
        assert use() == "local"


FIELDS = """from __future__ import annotations
import dataclasses
from typing import TYPE_CHECKING, NamedTuple
if TYPE_CHECKING:
    from .ghosts import Ghost
@dataclasses.dataclass
class Fields:
    ghost: Ghost{0}
class Row(NamedTuple):
    ghost: Ghost{0}
class Plain:
    def __init__(self, ghost: Ghost{0}): ...
"""


@pytest.mark.parametrize("kind", ["Fields", "Row", "Plain"])
def test_an_entry_of_a_list_says_why_too(package, kind):
    """
    In a provider list a name may be that of a class; where none is called so, the cause is told, and a default is listed.
    """
    required = package(store=FIELDS.format(""))
    defaulted = package("other", other=FIELDS.format(" = None"))

    with pytest.raises(GraphErrors) as caught:
        Container(fresh_app(providers=[getattr(required, kind)]))
    report = Container(fresh_app(providers=[getattr(defaulted, kind)])).check()

    (problem,) = problems(caught.value)
    said = "its annotation cannot be read: NameError: name 'Ghost' is not defined. It is imported under TYPE_CHECKING"
    assert said in str(problem)
    (unread,) = report.unread
    assert unread.startswith(f"{kind}.ghost (")


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there is no type statement before Python 3.12")
def test_a_type_statement_that_names_what_only_checkers_import(package):
    """
    An alias is read in the source where Python cannot say its value, and stands for what it names.
    """
    module = package(
        engines=ENGINES,
        store="from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from .engines import Engine\ntype Motor = Engine\n"
        "def use(motor: Motor): return motor",
    )
    engines = importlib.import_module("parts.engines")
    App = fresh_app(providers=[engines.Engine])
    App.register_dependency("use", module.use)

    assert type(Container(App).get_nowait("use")) is engines.Engine
