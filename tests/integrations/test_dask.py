"""Dask: a container for each worker of a real cluster of processes, a scope for each task."""

import collections
import importlib
import pickle
import sys
import time
from contextlib import contextmanager

import amount
import pytest
from distributed import Client, LocalCluster

from asyncmeta import ContainerError
from asyncmeta.integrations.dask import ContainerPlugin, scoped

LONG = 60.0  #: seconds after which something that does not come is given up

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default::ResourceWarning"),  # Dask's own, when clusters end
]

APP = "integrations.dask_shop:Shop"
TASKS = amount.of(1000, working=300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("dask")


@pytest.fixture(scope="module")
def shop(folder):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SHOP_FOLDER", str(folder))
        sys.modules.pop("integrations.dask_shop", None)
        yield importlib.import_module("integrations.dask_shop")
        sys.modules.pop("integrations.dask_shop", None)


@contextmanager
def a_cluster(**options):
    options = {"n_workers": 2, "threads_per_worker": 2, "dashboard_address": "127.0.0.1:0", "silence_logs": 50, **options}
    with LocalCluster(**options) as cluster, Client(cluster) as client:
        yield cluster, client


@pytest.fixture(scope="module")
def running(shop):
    """Two worker processes, each with its container."""
    with a_cluster() as (cluster, client):
        client.register_plugin(ContainerPlugin(APP))
        yield cluster, client


@pytest.fixture
def client(running, folder):
    (folder / "journal").write_text("")
    return running[1]


def journal_of(folder):
    return [(line.split()[0], int(line.split()[-1])) for line in (folder / "journal").read_text().splitlines()]


def until(there):
    end = time.monotonic() + LONG
    while not there():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_tasks_of_both_kinds_run_in_scopes(client, shop, folder):
    """
    Async ones on the worker's loop, plain ones in its threads; one container for each process, one scope for each task.
    """
    loops = client.gather(client.map(shop.on_the_loop, range(40)))
    threads = client.gather(client.map(shop.in_a_thread, range(40)))

    assert [number for number, *_ in loops] == [number for number, *_ in threads] == list(range(40))
    assert all(there for *_, there in loops)
    assert not any(there for *_, there in threads)
    processes = {process for _, process, _ in [*loops, *threads]}
    assert len(processes) == 2
    assert collections.Counter(what for what, _ in journal_of(folder)) == {"committed": 80}


def test_failure_reaches_finalizers(client, shop, folder):
    """
    What a task raises is raised by its future, and its scope has rolled back.
    """
    with pytest.raises(LookupError, match="no such order"):
        client.submit(shop.fail).result(LONG)

    assert [what for what, _ in journal_of(folder)] == ["failed:LookupError"]


def test_scope_is_ambient_and_knows_its_worker(client, shop):
    """
    Injected functions find it, and the application may ask for the worker.
    """
    assert client.submit(shop.ambient).result(LONG) is True


def test_function_that_travels_by_value_is_served(client):
    """
    A function of a notebook is sent with its code.
    """
    factor = 3

    def local(number: int, session: "From[Session]") -> int:  # what the names mean is said below
        return number * factor * session.database.rate

    from asyncmeta import From
    from integrations.dask_shop import Session

    local.__annotations__["session"] = From[Session]

    assert client.gather(client.map(scoped(local), range(5))) == [0, 6, 12, 18, 24]


def test_workers_that_come_later_or_again_have_theirs(client, running, shop, folder):
    """
    A cluster that grows, and a nanny that restarts its worker.
    """
    cluster, _ = running
    before = {process for _, process, _ in client.gather(client.map(shop.on_the_loop, range(20)))}
    cluster.scale(3)
    client.wait_for_workers(3, timeout=LONG)
    grown = {process for _, process, _ in client.gather(client.map(shop.on_the_loop, range(100, 160)))}
    until(lambda: sum(what == "open" for what, _ in journal_of(folder)) == 1)
    client.restart(timeout=LONG)
    after = {process for _, process, _ in client.gather(client.map(shop.on_the_loop, range(200, 260)))}
    opened = collections.Counter(process for what, process in journal_of(folder) if what == "open")

    assert before < grown
    assert len(grown) == 3
    assert not after & grown
    assert after <= set(opened)
    assert set(opened.values()) == {1}
    closed = collections.Counter(process for what, process in journal_of(folder) if what == "close")
    assert closed == collections.Counter(grown)  # each once, on the loop that it was opened on
    assert "elsewhere" not in {what for what, _ in journal_of(folder)}


def test_map_of_small_tasks(client, shop):
    """
    A thousand tasks, or 300, that ask a container for what others have in a module; ``benchmarks/scale`` tells what that costs.
    """
    ours, by_hand = client.map(shop.rated, range(TASKS)), client.map(shop.rated_by_hand, range(TASKS))

    assert client.gather(ours) == client.gather(by_hand) == [2 * number for number in range(TASKS)]


def test_application_that_cannot_be_served_fails_the_registration(shop):
    """
    Who registers the plugin hears why it does not work.
    """
    with a_cluster(n_workers=1) as (_, client), pytest.raises(Exception, match="did you mean Shop"):
        client.register_plugin(ContainerPlugin("integrations.dask_shop:Shopp"))


def test_task_without_a_plugin_says_what_to_do(shop):
    """
    A forgotten registration is told by the first task.
    """
    with a_cluster(n_workers=1) as (_, client), pytest.raises(ContainerError, match="register_plugin"):
        client.submit(shop.in_a_thread, 1).result(LONG)


def test_workers_in_one_process_have_a_container_each(shop, folder):
    """
    A cluster of threads, as for debugging: each worker opens and closes its own.
    """
    (folder / "journal").write_text("")
    with a_cluster(processes=False) as (_, client):
        client.register_plugin(ContainerPlugin(APP))
        client.gather(client.map(shop.on_the_loop, range(10)))
    counted = collections.Counter(what for what, _ in journal_of(folder))

    assert counted == {"open": 2, "close": 2, "committed": 10}


def test_worker_that_closes_ends_its_async_tasks_first(shop, folder):
    """
    What still runs has failed, and its scope is closed before what it stands on.
    """
    (folder / "journal").write_text("")
    with a_cluster(n_workers=1) as (_, client):
        client.register_plugin(ContainerPlugin(APP))
        running = client.submit(shop.slow)
        until(lambda: "sleeping" in (folder / "journal").read_text())
        del running
        client.close()
    lines = [what for what, _ in journal_of(folder)]

    assert lines[:2] == ["open", "sleeping"]
    assert lines[2].startswith("failed:")
    assert lines[3:] == ["close"]


def test_scoped_function_elsewhere_is_the_function(shop):
    """
    A test calls it with what it asks for.
    """
    database = type("Fake", (), {"rate": 5})

    assert shop.rated(3, database) == 15


def test_plugin_travels_as_names():
    """
    What is pickled is where the application is, not what was opened.
    """
    plugin = pickle.loads(pickle.dumps(ContainerPlugin(APP, jitter=1.5, level="scoped")))

    assert (plugin._facts, plugin.level) == ((APP, True, None, 1.5), "scoped")
