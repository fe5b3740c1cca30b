"""What holds is loaded when somebody asks for it, and nobody can tell."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

PACKAGE = Path(find_spec("asyncmeta").origin).parent


def printed(program, *options):
    """Return what *program* prints in a process of its own."""
    command = [sys.executable, *options, "-c", program]
    environment = os.environ | {"PYTHONPATH": str(PACKAGE.parent)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


def test_what_was_loaded_beside_a_stub_is_what_is_loaded_later():
    """
    ``mock.patch.dict(sys.modules)`` takes away what its block has imported; containers, overrides and services go on as one.
    """
    program = """
import asyncio, pickle, sys
from unittest import mock
from asyncmeta import AsyncServiceBase, From, injected

class Database: ...
class Fake(Database): ...
class App(AsyncServiceBase):
    def __init__(self, database: Database): ...
App.register_dependency(Database, Database)

with mock.patch.dict(sys.modules, {"boto3": mock.Mock()}):
    from asyncmeta import Container
    from asyncmeta import AsyncDependencyDescriptor

class Page(App):
    database = AsyncDependencyDescriptor(Database)
    def __init__(self): ...

@injected
async def handle(database: From[Database]):
    return type(database).__name__

async def main():
    async with Container(App) as container:
        async with container.override({Database: Fake()}):
            print(type(await container.get(Database)).__name__, await handle())
    async with Page() as page:
        print(type(await page.database).__name__, sorted(vars(pickle.loads(pickle.dumps(page)))))

asyncio.run(main())
print(Container is sys.modules["asyncmeta._run.container.container"].Container)
"""
    assert printed(program) == ["Fake", "Fake", "Database", "[]", "True"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_child_loads_what_its_parent_was_loading():
    """
    Forked while another thread is in the middle of it, a child begins anew and waits for nobody.
    """
    program = """
import os, signal, sys, threading
import asyncmeta

there, go = threading.Event(), threading.Event()

def load():
    sys.setprofile(hold_up)
    asyncmeta.Container

def hold_up(frame, event, _):
    if frame.f_globals.get("__name__") == "asyncmeta._solve.graph":
        sys.setprofile(None)
        there.set()
        go.wait()

thread = threading.Thread(target=load)
thread.start()
there.wait()
child = os.fork()
if child == 0:
    signal.alarm(20)
    asyncmeta.Container()
    os._exit(0)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
go.set()
thread.join()
"""
    assert printed(program, "-W", "ignore::DeprecationWarning") == ["0"]


def test_a_star_for_checkers_brings_what_is_loaded_late(tmp_path):
    """
    A name that only checkers import, by a star and not by its own name, is the front door's.
    """
    program = """
import asyncio
from typing import TYPE_CHECKING
import asyncmeta

if TYPE_CHECKING:
    from asyncmeta import *

def name_of_scope(scope: "Scope") -> str:
    return type(scope).__name__

class App(asyncmeta.AsyncServiceBase): ...

App.register_dependency("name", name_of_scope, lifetime="scoped")

async def main():
    async with asyncmeta.Container(App) as container, container.scope() as scope:
        print(await scope.get("name"))

asyncio.run(main())
"""
    (tmp_path / "stars.py").write_text(program)

    assert printed(f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import stars") == ["Scope"]
