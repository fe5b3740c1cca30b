"""The rooms of the package lie on floors, and imports point down only."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest

#: The package that is tested: of the checkout, or installed from a wheel.  It is found without being imported.
PACKAGE = Path(find_spec("asyncmeta").origin).parent

# Bottom to top. A room may import from its own floor (without circles) and from those below it.
FLOORS: list[set[str]] = [
    {"_compat"},
    {"_lock"},
    {"_names"},
    {"errors"},
    {"_declare"},
    {"_solve"},
    {"report", "diagrams"},
    {"_run"},
    {"_run.state"},
    {"_run.teardown"},
    {"_run.observe"},
    {"_run.build"},
    {"_run.compiled"},
    {"_run.scope"},
    {"_run.container"},
    {"_descriptor"},
    {"_service"},
    {"_decorators"},
    {"__init__"},
    {"ascender", "testing", "workers"},
    {"integrations"},
    {"cli", "development"},
    {"pytest_plugin", "__main__"},
]
FLOOR_OF = {room: number for number, floor in enumerate(FLOORS) for room in floor}

LONGEST = 500  # lines

#: Rooms that are loaded when they are first needed, by an import in a function, and why a program may never need them.
#: `import asyncmeta` loads none of them; see the docstring of _run.
LAZY_IMPORTS = {
    "_declare.adapters": "only for factories that are called as another kind",
    "_declare.handed": "only for generics",
    "_declare.hooks": "only for services that have life-cycle methods",
    "_declare.misread": "only where pydantic reads a mark",
    "_declare.guarded": "only where a name is missing that checkers may know",
    "_declare.members": "only where a registration says into=",
    "_declare.passing": "only for constructors with **kwargs",
    "_declare.providers": "registrations are mostly written with decorators",
    "_declare.repeated": "only where a key is registered more than once, or with others",
    "_declare.unread": "only where a text cannot be read at once",
    "_declare.yields": "only for factories that yield",
    "_descriptor": "only where a class has attributes that are awaited",
    "_run.build.ready": "only where an attribute has been fetched",
    "_run.build.handles": "only where a parameter is Lazy, Named or Factory",
    "_run.build.concurrent": "only for registrations with concurrent=True",
    "_solve.arguments": "only where something lacks what a Factory's caller may hand in",
    "_solve.bindings": "only for generics",
    "_solve.missing": "only where nothing provides a key",
    "_solve.opened": "only for generics",
    "_solve.overrides": "overrides are for tests, tenants and experiments",
    "_solve.ways": "only where a factory fails",
    "_solve.wording": "only where something is wrong",
    "_run.container.check": "only check() reports what is no problem",
    "_run.container.health": "only health() asks",
    "_run.scope.answering": "overrides are for tests, tenants and experiments",
    "_run.scope.injection": "only where functions are filled",
    "_run.container.container": "a module that declares needs nothing that holds",
    "_run.compiled.load": "code is made for what is asked for twice in a scope",
    "_run.observe.middleware": "only where something stands around builds",
    "_run.observe.watch": "only where builds are observed, wrapped or timed",
    "_run.teardown.undone": "only where a container closes around what is still open",
    "_run.teardown.unwinding": "only where a container closes around what is still open",
    "_run.compiled.one_shot": "only request() opens a scope for one value",
    "_run.compiled.in_flight": "only where a container closes that has had code for calls without a scope",
    "_run.container.override": "overrides are for tests, tenants and experiments",
    "_run.observe.slow": "only with slow=, or in asyncio's debug mode",
    "_run.container.spanning": "only where an application has levels, and a scope opens several at once",
    "_run.container.start": "only start() reports",
    "_run.build.threads": "only for in_thread=True and timeout=",
}

#: What the front door promises.
FACE = """
    All AmbiguousDependencyError AsyncDependencyDescriptor AsyncDependencyError AsyncMeta AsyncMetaError
    AsyncServiceBase Build BuildTimeoutError CaptiveDependencyError CheckReport CircularDependencyError ClosedError
    Container ContainerError DeclarationError Event Factory FactoryError FinalizationErrors From GraphError
    GraphErrors HealthReport INJECTED Inject Lazy Lifetime Middleware MissingDependencyError Named Next Observation
    Observer Overrides Provider ProviderGroup Providers Scope ScopeError StartReport Timing Token WrongLoopError inject_dependency
    injected
""".split()
#: Promised for a later version; each name leaves this line when it is there.
LATER: set[str] = set()


class Import(NamedTuple):
    """One place where a module of the package imports another one of it."""

    module: str  #: "_run.container"; the front door is "__init__"
    line: int
    target: str  #: a module too, never a name in one
    in_function: bool

    def __str__(self) -> str:
        return f"{self.module.replace('.', '/')}.py:{self.line} imports {self.target}"


def module_name(file: Path) -> str:
    """Return "_run.container" for _run/container.py, "_run" for _run/__init__.py, "__init__" for the front door."""
    parts = file.relative_to(PACKAGE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" and len(parts) > 1 else parts)


FILES = {module_name(file): file for file in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(file.read_bytes(), str(file)) for name, file in FILES.items()}


def resolved(module: str, level: int, dotted: str) -> str | None:
    """Return what an import statement in *module* names, as a dotted path inside the package; "" is the front door."""
    if level == 0:
        return dotted.partition(".")[2] if dotted.split(".")[0] == "asyncmeta" else None
    package = module.split(".") if FILES[module].name == "__init__.py" else module.split(".")[:-1]
    if module == "__init__":
        package = []
    base = package[: len(package) - (level - 1)]
    return ".".join([*base, *([dotted] if dotted else [])])


def targets(module: str, node: ast.AST) -> Iterator[str]:
    """Yield the modules of the package that the statement or call *node* imports."""
    if isinstance(node, ast.Import):
        for alias in node.names:
            path = resolved(module, 0, alias.name)
            if path is not None:
                yield path or "__init__"
    elif isinstance(node, ast.ImportFrom):
        path = resolved(module, node.level, node.module or "")
        if path is None:
            return
        for alias in node.names:
            inner = f"{path}.{alias.name}" if path else alias.name
            yield inner if inner in FILES else path or "__init__"
    elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
        called = getattr(node.func, "attr", getattr(node.func, "id", ""))
        name = node.args[0].value
        if called in {"import_module", "__import__"} and isinstance(name, str):
            dots = len(name) - len(name.lstrip("."))
            path = resolved(module, dots, name.lstrip("."))
            if path is not None:
                yield path or "__init__"


def imports_of(module: str) -> Iterator[Import]:
    """Yield every import of the package's own modules in *module*, those under TYPE_CHECKING and in functions too."""
    waiting: list[tuple[ast.AST, bool]] = [(TREES[module], False)]
    while waiting:
        node, in_function = waiting.pop()
        for target in targets(module, node):
            yield Import(module, getattr(node, "lineno", 0), target, in_function)
        inside = in_function or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        waiting.extend((child, inside) for child in ast.iter_child_nodes(node))


IMPORTS = [found for module in FILES for found in imports_of(module)]


def floor(module: str) -> int:
    wing = ".".join(module.split(".")[:2])
    return FLOOR_OF.get(wing, FLOOR_OF[module.split(".")[0]])


def calls_of(module: str) -> Iterator[tuple[int, str]]:
    """Yield line and name of every plain call in *module*, as in ``compile(...)``; ``re.compile(...)`` is none."""
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            yield node.lineno, node.func.id


def brought(module: str) -> set[str]:
    """Return the dotted path of everything that *module* imports from elsewhere, with every part of the way."""
    found: set[str] = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            paths = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and not node.level:
            paths = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        found.update(path.rsplit(".", cut)[0] for path in paths for cut in range(path.count(".") + 1))
    return found


def words(module: str) -> set[str]:
    """Return every name and attribute that the code of *module* reads."""
    nodes = list(ast.walk(TREES[module]))
    names = {node.id for node in nodes if isinstance(node, ast.Name)}
    return names | {node.attr for node in nodes if isinstance(node, ast.Attribute)}


def test_every_room_has_its_floor():
    """
    A new room is given a floor here before anything can import it.
    """
    assert {module.split(".")[0] for module in FILES} <= set(FLOOR_OF)


def test_imports_point_down_only():
    """
    No module imports from a floor above its own, not even for type checkers.
    """
    assert [str(found) for found in IMPORTS if floor(found.target) > floor(found.module)] == []


def test_no_circles_between_modules():
    """
    Modules of one floor may import each other, but never in a circle, not even for type checkers.
    """
    needs: dict[str, set[str]] = {module: set() for module in FILES}
    for found in IMPORTS:
        needs[found.module].add(found.target)

    try:
        TopologicalSorter(needs).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_no_import_hides_in_a_function():
    """
    The package's own modules are imported at the top, but for those named in LAZY_IMPORTS, each of which is used.
    """
    hidden = [found for found in IMPORTS if found.in_function]

    assert [str(found) for found in hidden if found.target not in LAZY_IMPORTS] == []
    assert {found.target for found in hidden} == set(LAZY_IMPORTS)


#: A service with an attribute that is awaited, and one that takes the same as a parameter.
ATTRIBUTE = ("from asyncmeta import AsyncDependencyDescriptor", 'name = AsyncDependencyDescriptor("name")', "await app.name")
PARAMETER = ("", "def __init__(self, name): self.name = name", "app.name")


@pytest.mark.parametrize(
    ("service", "needed"), [(PARAMETER, set()), (ATTRIBUTE, {"_descriptor", "_run.build.ready"})], ids=["parameter", "attribute"]
)
def test_what_is_late_is_not_loaded_before(service, needed):
    """
    A program that declares a service and classes, and gets them, loads no room of LAZY_IMPORTS but those of attributes it has.
    """
    imported, declared, used = service
    program = f"""
import asyncio, sys
sys.path.insert(0, sys.argv[1])
from asyncmeta import AsyncServiceBase, Container, inject_dependency
{imported}

@inject_dependency("name")
async def name():
    return "Ada"

class Settings:
    pass

class Session:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings

class App(AsyncServiceBase):
    {declared}

    @inject_dependency("greeting")
    def greeting(self) -> str:
        return "Hello"

App.register_dependency(Settings, Settings)
App.register_dependency(Session, Session, lifetime="scoped")

async def main():
    async with Container(App) as container:
        app = await container.get(App)
        async with container.scope() as scope:
            assert {used} == "Ada"
            assert (await scope.get(Session)).settings is await container.get(Settings)
            assert await scope.get("greeting") == "Hello"

asyncio.run(main())
print(*sys.modules)
"""

    done = subprocess.run([sys.executable, "-I", "-c", program, str(PACKAGE.parent)], capture_output=True, text=True, check=True)

    loaded = {name.removeprefix("asyncmeta.") for name in done.stdout.split() if name.startswith("asyncmeta.")}
    assert loaded & {*LAZY_IMPORTS, "report"} == needed | {"_run.container.container"}


def test_a_module_that_declares_loads_nothing_that_holds():
    """
    To import the package, to make services and to register factories takes neither solving nor running.
    """
    program = """
import sys
sys.path.insert(0, sys.argv[1])
import asyncmeta

@asyncmeta.inject_dependency("name")
def name() -> str:
    return "Ada"

class App(asyncmeta.AsyncServiceBase):
    def __init__(self, name: asyncmeta.Named[str]) -> None:
        self.name = name

App.register_dependency(int, lambda: 1)
print(*sys.modules)
"""
    done = subprocess.run([sys.executable, "-I", "-c", program, str(PACKAGE.parent)], capture_output=True, text=True, check=True)

    wings = {name.split(".")[1] for name in done.stdout.split() if name.startswith("asyncmeta.")}
    assert wings & {"_solve", "_run"} == set()
    assert "_declare" in wings


def test_integrations_see_only_the_front_door():
    """
    What an integration needs is public (the front door, `asyncmeta.workers`), so that a stranger could have written it; one
    may stand on another.
    """
    assert [
        str(found) for found in IMPORTS
        if found.module.startswith("integrations.") and found.target not in ("__init__", "workers")
        and not found.target.startswith("integrations")
    ] == []  # fmt: skip


#: Both may only fall.
PARAMETERS_ANY = 7.0  # percent of those in _run that are annotated Any; opaque values are object
IGNORED = 10  # lines of _run on which a checker is silenced, each with a reason


def test_seams_are_typed():
    """
    What one room of _run hands to another has a type: few parameters are Any, few lines are hidden from checkers.
    """
    rooms = [module for module in FILES if module.startswith("_run.")]
    annotated = [
        None if parameter.annotation is None else ast.unparse(parameter.annotation)
        for module in rooms
        for node in ast.walk(TREES[module])
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        for parameter in ast.walk(node.args)
        if isinstance(parameter, ast.arg) and parameter.arg not in {"self", "cls"}
    ]
    lines = [line for module in rooms for line in FILES[module].read_text(encoding="utf-8").splitlines()]
    ignored = [line for line in lines if "# type: ignore" in line]

    assert 100 * annotated.count("Any") / len(annotated) <= PARAMETERS_ANY
    assert len(ignored) <= IGNORED


def test_no_room_is_too_long():
    """
    A room answers one question, in 500 lines at most.
    """
    lengths = {module: len(file.read_text(encoding="utf-8").splitlines()) for module, file in FILES.items()}

    assert {module: n for module, n in lengths.items() if n > LONGEST} == {}


def test_solving_is_pure():
    """
    _solve awaits nothing, executes nothing and reads no clock.
    """
    found = []
    for module in FILES:
        if floor(module) != FLOOR_OF["_solve"]:
            continue
        for node in ast.walk(TREES[module]):
            impure = isinstance(node, ast.Await | ast.AsyncFunctionDef | ast.AsyncFor | ast.AsyncWith)
            if isinstance(node, ast.Import):
                impure = any(alias.name.split(".")[0] in {"asyncio", "threading", "time"} for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                impure = (node.module or "").split(".")[0] in {"asyncio", "threading", "time"}
            if impure:
                found.append(f"{module}:{node.lineno}")
        found += [f"{module}:{line} {name}" for line, name in calls_of(module) if name in {"compile", "eval", "exec"}]

    assert found == []


def test_only_load_makes_code_of_text():
    """
    There is one place that compiles, _run/load.
    """
    found = {module for module in FILES for _, name in calls_of(module) if name in {"compile", "exec"}}

    assert found <= {"_run.compiled.load"}


#: Who imports what a text names, and whose text it is.
BY_NAME = {
    "__init__": "rooms of our own, when their names are first used",
    "integrations._applications": "rooms of our own",
    "integrations.faststream": "a room of our own",
    "cli.application": "what is named on the command line",
    "workers.sources": "the path that a program gives to WorkerContainer",
    "pytest_plugin": "the line asyncmeta_root of an ini file",
}
IMPORTERS = {"import_module", "__import__", "resolve_name", "run_module", "run_path", "exec_module", "load_module"}


def test_nothing_is_imported_by_a_text_but_what_a_program_names_itself():
    """
    Tokens, annotations and provider lists import nothing: who imports by name does so for the few that are listed.
    """
    found = {module for module in FILES if IMPORTERS & words(module)}

    assert found == set(BY_NAME)


#: Modules of the standard library that listen, connect or fetch, and functions of asyncio that do.
NETWORK = {
    *("socket", "socketserver", "ssl", "http.server", "http.client", "urllib.request", "wsgiref", "xmlrpc"),
    *("smtplib", "ftplib", "poplib", "imaplib", "webbrowser"),
}
CALLS = {
    *("start_server", "start_unix_server", "create_server", "create_unix_server", "open_connection", "open_unix_connection"),
    *("create_connection", "create_unix_connection", "create_datagram_endpoint", "sock_connect", "sock_accept", "urlopen"),
}


def test_nothing_listens_and_nothing_fetches():
    """
    No room opens a socket, serves or calls anybody: what a page or a probe shows, the program's own server sends.
    """
    found = {module: NETWORK & brought(module) | CALLS & words(module) for module in FILES}

    assert not {module: names for module, names in found.items() if names}
    assert {"urllib", "urllib.parse"} <= brought("cli.findings")  # what is looked for would be seen
    assert "import_module" in words("workers.sources")


def test_only_compat_asks_which_python_this_is():
    """
    What differs between versions of Python is decided in one room.
    """
    asking = {
        module
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"version_info", "hexversion", "implementation"}
        and isinstance(node.value, ast.Name) and node.value.id == "sys"
    }  # fmt: skip

    assert asking <= {"_compat"}


def test_the_front_door_brings_only_typing_extensions():
    """
    Importing asyncmeta imports no other package than typing-extensions, from CPython 3.14 on none, and not dataclasses.
    """
    program = (
        "import sys; before = set(sys.modules); import asyncio, inspect; standard = set(sys.modules) - before;"
        "sys.path.insert(0, sys.argv[1]); import asyncmeta;"
        # What asyncio itself brings: the first since CPython 3.14, the second where Debian made it.
        "standard &= {'dataclasses', '_missing_stdlib_info'}; print(*sorted(set(sys.modules) - before - standard))"
    )

    done = subprocess.run([sys.executable, "-I", "-c", program, str(PACKAGE.parent)], capture_output=True, text=True, check=True)

    brought = done.stdout.split()
    assert "asyncmeta" in brought
    assert "dataclasses" not in brought
    others = {name.split(".")[0] for name in brought} - sys.stdlib_module_names - {"asyncmeta"}
    assert others == (set() if sys.version_info >= (3, 14) else {"typing_extensions"})


def test_the_front_door_shows_what_is_promised():
    """
    __all__ is sorted, is exactly what is promised by now, and each name in it is there.
    """
    import asyncmeta

    assert sorted(set(FACE) - LATER) == asyncmeta.__all__
    assert [name for name in asyncmeta.__all__ if not hasattr(asyncmeta, name)] == []


def test_the_front_door_loads_late_what_checkers_see_at_once():
    """
    A name that is loaded when it is asked for is the one that type checkers are shown, and `dir` shows it before.
    """
    import asyncmeta

    shown = {
        name.name: f"asyncmeta.{node.module}"
        for block in TREES["__init__"].body
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }

    late = {name: f"asyncmeta.{room}" for room, names in asyncmeta._LATE.items() for name in names}
    assert late == shown
    assert {name: getattr(asyncmeta, name) for name in late} == {
        name: getattr(sys.modules[room], name) for name, room in late.items()
    }
    assert set(asyncmeta.__all__) <= set(dir(asyncmeta))
    with pytest.raises(AttributeError, match=r"module 'asyncmeta' has no attribute 'Obserer'"):
        asyncmeta.Obserer
