"""Registrations whose code runs again: a file under two names, a reload, a cell; and loops, which are no second time."""

import subprocess
import sys
import textwrap
from typing import Annotated

import pytest
from helpers import fresh_app

from asyncmeta import AmbiguousDependencyError, AsyncServiceBase, Container, GraphErrors, Inject, inject_dependency


def run_files(folder, **files):
    """Run main.py of *files*, written into *folder*, as a program; return what it prints."""
    for name, source in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(source))
    done = subprocess.run([sys.executable, "main.py"], cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def run_code(source, file, /, module="notebook", **names):
    """Run *source* as code of *file*, compiled anew, in a module of that name."""
    exec(compile(textwrap.dedent(source), file, "exec"), {"__name__": module, "inject_dependency": inject_dependency, **names})


def values(app, key):
    """Return what *app* has under the multi *key*."""
    return Container(app, check=False).get_nowait(Annotated[list, Inject(key)])


TWO_NAMES = """
    import sys
    from typing import Annotated
    from asyncmeta import AsyncServiceBase, Container, Inject, inject_dependency

    class Plugin: ...

    @inject_dependency("database")
    async def first(): return "overwritten"

    @inject_dependency("database")
    def database(): return "db"

    @inject_dependency("plugin", multi=True)
    def plugin(): return "csv"

    @inject_dependency("plugin", multi=True)
    class Named(Plugin): ...

    for name in ("a", "b"):
        AsyncServiceBase.register_dependency("plugin", lambda name=name: name, multi=True)

    class Shop(AsyncServiceBase):
        def __init__(self, database, plugins: Annotated[list, Inject("plugin")]):
            self.seen = database, [plugin if isinstance(plugin, str) else "class" for plugin in plugins]
"""


def test_a_file_under_two_names_registers_once(tmp_path):
    """
    A file that runs as a program and is imported by its name has each registration once, multi ones in their order.
    """
    printed = run_files(
        tmp_path,
        main=TWO_NAMES
        + """
    if __name__ == "__main__":
        import main
        for shop in Shop, main.Shop:
            container = Container(shop)
            print(*container.get_nowait(shop).seen)
            assert not container.check().replaced[1:], container.check().replaced
    """,
    )

    assert printed.splitlines() == ["db ['csv', 'class', 'a', 'b']"] * 2


def test_a_spawned_process_imports_the_program(tmp_path):
    """
    In a process that multiprocessing spawns, the program's file has a third name and is still one file.
    """
    printed = run_files(
        tmp_path,
        main=TWO_NAMES
        + """
    def work():
        import main
        print(*Container(main.Shop).get_nowait(main.Shop).seen, flush=True)

    if __name__ == "__main__":
        import multiprocessing
        process = multiprocessing.get_context("spawn").Process(target=work)
        process.start()
        process.join()
    """,
    )

    assert printed == "db ['csv', 'class', 'a', 'b']"


def test_a_reload_takes_its_own_places(tmp_path):
    """
    What a reloaded module registers takes the place of what it registered before: by decorator, by call and by list.
    """
    printed = run_files(
        tmp_path,
        base="from asyncmeta import AsyncServiceBase\nclass App(AsyncServiceBase): ...\n",
        plugins="""
            from asyncmeta import inject_dependency
            from base import App

            def add(name):
                App.register_dependency("plugin", lambda: name, multi=True)

            @inject_dependency("plugin", multi=True, on=App)
            def one(): return "one"
            add("two")
            App.register_providers([{"provide": "plugin", "value": "three", "multi": True}])
            add("four")
            for name in ("five", "six"):
                @inject_dependency("plugin", multi=True, on=App)
                def made(name=name): return name
        """,
        main="""
            import importlib
            from typing import Annotated
            from asyncmeta import Container, Inject
            import base, plugins
            base.App.register_dependency("plugin", lambda: "last", multi=True)
            for _ in range(2):
                print(*Container(base.App).get_nowait(Annotated[list, Inject("plugin")]))
                importlib.reload(plugins)
            print(*Container(base.App).get_nowait(Annotated[list, Inject("plugin")]))
        """,
    )

    assert printed.splitlines() == ["one two three four five six last"] * 3


def test_a_cell_that_is_edited_and_run_again():
    """
    A cell of a notebook goes by another file name each time: what it defines under a name replaces the former one.
    """
    app = fresh_app()
    cell = "@inject_dependency('plugin', multi=True, on=App)\ndef csv(): return {}"

    run_code(cell.format(1), "<ipython-input-1-aa>", "__main__", App=app)
    run_code(cell.format(2), "<ipython-input-2-bb>", "__main__", App=app)

    assert values(app, "plugin") == [2]


def test_two_cells_with_a_lambda_each():
    """
    What has no name is not taken for another cell's.
    """
    app = fresh_app()

    run_code("App.register_dependency('plugin', lambda: 1, multi=True)", "<ipython-input-1-aa>", "__main__", App=app)
    run_code("App.register_dependency('plugin', lambda: 2, multi=True)", "<ipython-input-2-bb>", "__main__", App=app)

    assert values(app, "plugin") == [1, 2]


def test_a_cell_that_is_run_again_as_it_is():
    """
    The same text is the same cell, whatever the count of runs in its name: also what has no name counts once.
    """
    app = fresh_app()
    cell = "for n in (1, 2): App.register_dependency('plugin', lambda n=n: n, multi=True)\n"
    cell += "App.register_providers([{'provide': 'plugin', 'value': 3, 'multi': True}])"

    for count in (1, 2, 7):
        run_code(cell, f"<ipython-input-{count}-9f86d081>", "__main__", App=app)
    run_code(cell, "<ipython-input-8-60303ae2>", "__main__", App=app)

    assert values(app, "plugin") == [1, 2, 3, 1, 2, 3]


def test_two_functions_that_register_the_same_factory():
    """
    Code of two functions is not one code run twice, whatever it registers.
    """
    app = fresh_app()
    source = """
        def make(): return 1
        def here(): App.register_dependency("plugin", make, multi=True)
        def there(): App.register_dependency("plugin", make, multi=True)
        here(), there()
    """

    run_code(source, __file__, App=app)

    assert values(app, "plugin") == [1, 1]


def test_a_loop_registers_each_round():
    """
    Functions and classes that a loop makes under one name all count, in the order of writing.
    """
    app = fresh_app()
    for name in ("csv", "pdf"):

        @inject_dependency("exporter", multi=True, on=app)
        def export(name=name):
            return name

        @inject_dependency("exporter", multi=True, on=app)
        class Exporter:
            kind = name

    assert [getattr(one, "kind", one) for one in values(app, "exporter")] == ["csv", "csv", "pdf", "pdf"]


def test_two_files_stay_two():
    """
    A function of the same name in another module is no second time: it is ambiguous.
    """
    app = fresh_app()
    source = "@inject_dependency('name', on=App)\ndef make(): ..."
    run_code(source, "one.py", "one", App=app)
    run_code(source, "two.py", "two", App=app)

    with pytest.raises(GraphErrors) as caught:
        Container(app)

    assert [type(one) for one in caught.value.exceptions] == [AmbiguousDependencyError]


def test_a_helper_in_a_third_file():
    """
    Two modules that decorate through a helper of a third one are two modules.
    """
    app = fresh_app()
    helper = {"inject_dependency": inject_dependency, "App": app, "__name__": "helper"}
    exec(compile("def register(make): inject_dependency('name', on=App)(make)", "helper.py", "exec"), helper)
    run_code("def make(): ...\nregister(make)", "one.py", "one", register=helper["register"])
    run_code("def make(): ...\nregister(make)", "two.py", "two", register=helper["register"])

    with pytest.raises(GraphErrors, match="more than one module"):
        Container(app)


def test_a_class_body_is_made_anew():
    """
    A cell that defines the application again defines its body's registrations again, each once.
    """
    cell = "class App(AsyncServiceBase, providers=[{'provide': 'p', 'value': 1, 'multi': True}]):\n    pass\nkept.append(App)"
    kept = []

    for number in range(2):
        run_code(cell, f"<ipython-input-{number}>", "__main__", AsyncServiceBase=AsyncServiceBase, kept=kept)

    assert [values(app, "p") for app in kept] == [[1], [1]]


def test_a_helper_of_another_file_called_by_a_file_under_two_names(tmp_path):
    """
    What a function of another file registers is done again where the file that calls it runs again: under two names, reloaded.
    """
    printed = run_files(
        tmp_path,
        helper="""
            from asyncmeta import AsyncServiceBase, inject_dependency

            def add(name):
                AsyncServiceBase.register_dependency("plugin", lambda: name, multi=True)

            def decorated(name):
                @inject_dependency("plugin", multi=name)
                def make(): return name
        """,
        main="""
            import importlib
            from typing import Annotated
            from asyncmeta import AsyncServiceBase, Container, Inject
            from helper import add, decorated

            class Shop(AsyncServiceBase): ...

            add("a")
            decorated("b")
            for name in "cd":
                add(name)

            if __name__ == "__main__":
                import main
                importlib.reload(main)
                print(*Container(main.Shop, check=False).get_nowait(Annotated[list, Inject("plugin")]))
        """,
    )

    assert printed == "a b c d"


def test_a_helper_called_by_two_files():
    """
    Two modules that call one function of a third are two, whatever it registers.
    """
    app = fresh_app()
    helper = {"App": app, "__name__": "helper"}
    exec(compile("def add(name): App.register_dependency('plugin', lambda: name, multi=True)", "helper.py", "exec"), helper)

    for file in ("one.py", "two.py"):
        run_code(f"add({file!r}), add({file!r})", file, add=helper["add"])

    assert values(app, "plugin") == ["one.py", "one.py", "two.py", "two.py"]


@pytest.mark.parametrize("kept", [0, 1], ids=["outermost", "within"])
def test_a_cell_that_stands_around_a_value_is_run_again(kept):
    """
    What a cell puts around a value takes the place of its former self, and leaves what stands around that, or within.
    """
    app = fresh_app()
    app.register_dependency("word", lambda: "word")
    cells = [
        f"@inject_dependency('word', around=True, on=App)\ndef around_{number}(word): return said + word" for number in range(2)
    ]
    for number, said in enumerate("ab"):
        run_code(cells[number], f"<ipython-input-{number}-0>", "__main__", App=app, said=said)

    run_code(cells[1 - kept], "<ipython-input-2-0>", "__main__", App=app, said="c")

    assert Container(app).get_nowait("word") == ("caword", "bcword")[kept]
