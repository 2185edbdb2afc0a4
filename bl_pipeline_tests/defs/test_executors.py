"""Runs whose steps are in processes of their own, as Dagster launches them, and in one beside them."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from sqlalchemy import text

from bl_pipeline.defs.instance import open_instance
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.settings import Executor, Settings
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lock import is_syncing
from bl_pipeline_tests.conftest import NOW, MakeSettings
from bl_pipeline_tests.support.distributed import expire_lease
from bl_pipeline_tests.support.processes import Task, contents
from bl_pipeline_tests.support.sales_rows import assert_in_step
from bl_pipeline_tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

REDIS = shutil.which("redis-server")
LAUNCH = [sys.executable, "-m", "bl_pipeline_tests.support.launched_run"]
WORKER = [sys.executable, "-m", "celery", "-A", "bl_pipeline.defs.celery_worker", "worker"]
SPREAD = ["multiprocess", pytest.param("celery", marks=pytest.mark.skipif(not REDIS, reason="no Redis"))]
"""Executors with each step in a process of its own."""
PATIENCE = 400.0
"""Seconds; each step begins with a new process that imports Dagster."""


@dataclass
class Place:
    """Where runs are launched, with one executor."""

    settings: Settings
    environment: dict[str, str]
    folder: Path

    @contextmanager
    def launched(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A run that goes on meanwhile; what is left of it is killed afterwards."""
        with subprocess.Popen(
            [*LAUNCH, *arguments], env=self.environment, cwd=self.folder, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, text=True,
        ) as run:  # fmt: skip
            try:
                yield run
            finally:
                kill(run.pid)

    def terminate(self, run: subprocess.Popen[str]) -> None:
        """As the UI does it."""
        with open_instance(self.settings) as instance:
            instance.report_run_canceling(instance.get_run_records(limit=1)[0].dagster_run)
        run.send_signal(signal.SIGTERM)

    @property
    def distributed(self) -> bool:
        """Whether each step is in a process of its own."""
        return self.settings.bl_executor is not Executor.IN_PROCESS

    def status(self) -> str:
        """What Dagster says of the newest run."""
        with open_instance(self.settings) as instance:
            return instance.get_run_records(limit=1)[0].dagster_run.status.value


def kill(pid: int, signum: signal.Signals = signal.SIGKILL) -> None:
    """Send a signal to a process and to all that it has started."""
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(pid)
        for each in [*process.children(recursive=True), process]:
            with suppress(psutil.NoSuchProcess):
                each.send_signal(signum)


@contextmanager
def celery(folder: Path, environment: dict[str, str], port: int) -> Iterator[None]:
    """A broker, and two workers in folders of their own."""
    assert REDIS is not None
    broker = [REDIS, "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    options = ["--concurrency", "1", "--loglevel", "INFO"]
    with ExitStack() as stack:

        def start(command: list[str], name: str) -> Path:
            (folder / name).mkdir()
            log = folder / name / "log"
            with log.open("wb") as output:
                process = stack.enter_context(
                    subprocess.Popen(
                        command, env=environment, cwd=folder / name, stdout=output, stderr=subprocess.STDOUT
                    )
                )
            stack.callback(kill, process.pid)
            return log

        redis = start(broker, "redis")
        wait_until(lambda: b"Ready to accept connections" in redis.read_bytes(), PATIENCE)
        workers = [start([*WORKER, *options, "--hostname", f"{name}@%h"], name) for name in ("one", "two")]
        wait_until(lambda: all(b" ready." in log.read_bytes() for log in workers), PATIENCE)
        yield


@pytest.fixture(params=["in_process", *SPREAD])
def place(
    request: pytest.FixtureRequest, make_settings: MakeSettings, tmp_path: Path, isolated: pytest.MonkeyPatch
) -> Iterator[Place]:
    with ExitStack() as stack:
        broker = {}
        if request.param == "celery":
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", 0))
                port = probe.getsockname()[1]
            broker["bl_celery_broker"] = f"redis://127.0.0.1:{port}/0"
        settings = make_settings(
            bl_executor=request.param,
            bl_max_parallel_requests=2,
            bl_request_timeout=PATIENCE,
            bl_home=tmp_path,
            **broker,
        )
        environment = {**os.environ, **settings.as_environment(), "DAGSTER_HOME": str(tmp_path / "dagster")}
        for name, value in environment.items():
            isolated.setenv(name, value)
        folder = tmp_path / "launched"
        folder.mkdir()
        if request.param == "celery":
            stack.enter_context(celery(tmp_path, environment, port))
        yield Place(settings, environment, folder)


@contextmanager
def unanswered(server: SandboxServer, call: int) -> Iterator[Callable[[], None]]:
    """From this call on BrickLink answers only when it is let go."""
    go_on = threading.Event()

    def hold(_request: object) -> None:
        if len(server.requests) >= call:
            go_on.wait(PATIENCE)

    def let_go() -> None:
        server.on_request = None
        go_on.set()

    server.on_request = hold
    try:
        yield let_go
    finally:
        let_go()


def working_process(server: SandboxServer) -> int:
    """The process that waits for an answer."""
    ends = [found for found in psutil.net_connections("tcp") if found.raddr and found.raddr.port == server.port]
    [pid] = {found.pid for found in ends if found.pid not in (None, os.getpid())}
    return int(pid)


def statuses(warehouse: Warehouse) -> list[str]:
    with warehouse.engine.connect() as connection:
        return list(connection.scalars(text("SELECT status FROM sync.runs ORDER BY started_at DESC, run_id")))


def is_syncing_now(warehouse: Warehouse) -> bool:
    with warehouse.engine.connect() as connection:
        return is_syncing(connection, warehouse.store)


def test_a_whole_sync_and_an_intruder_at_every_boundary(place: Place, warehouse: Warehouse, store: Store) -> None:
    """Caught: with the multiprocess executor an intruder between two steps was let in, and ended the living run.

    In one process the lock is there until the run has ended, a lease until its last step has.
    """
    with place.launched("intrude") as run:
        out, _ = run.communicate(timeout=PATIENCE)

    assert out.split("\n")[:-1] == [
        "sync.list_orders 1",
        "sync.plan_changes 1",
        "sync.fetch_orders[batch_0001] 1",
        f"sync.finish_sync {0 if place.distributed else 1}",
    ]
    assert (run.returncode, place.status()) == (0, "SUCCESS")
    assert statuses(warehouse) == ["succeeded"] * (2 if place.distributed else 1)
    assert_in_step(warehouse, store)


def test_terminated_in_a_batch(place: Place, warehouse: Warehouse, store: Store, server: SandboxServer) -> None:
    """Planted: a step on a worker that does not look whether its run is being terminated."""
    with unanswered(server, 5) as let_go, place.launched() as run:
        wait_until(lambda: len(server.requests) == 6, PATIENCE)
        assert statuses(warehouse) == ["started"]

        place.terminate(run)
        run.wait(PATIENCE)
        # On a worker of Celery a step sees it when it next renews its lease.
        wait_until(lambda: statuses(warehouse) == ["canceled"], PATIENCE)

        assert place.status() == "CANCELED"
        assert not is_syncing_now(warehouse)
        assert len(server.requests) == 6
        let_go()
    assert Task(place.settings, NOW).run().success
    assert_in_step(warehouse, store)


def test_a_worker_killed_in_a_batch(place: Place, warehouse: Warehouse, store: Store, server: SandboxServer) -> None:
    with unanswered(server, 9) as let_go, place.launched():
        wait_until(lambda: len(server.requests) == 10, PATIENCE)
        os.kill(working_process(server), signal.SIGKILL)
        if place.distributed:
            assert is_syncing_now(warehouse)
            expire_lease(warehouse)
        else:
            wait_until(lambda: not is_syncing_now(warehouse))
        let_go()

        assert Task(place.settings, NOW).run().success

        assert statuses(warehouse).count("succeeded") == 1
        assert_in_step(warehouse, store)
        answers = text("SELECT count(*), count(DISTINCT (platform_order_id, kind)) FROM landing.documents")
        with warehouse.engine.connect() as connection:
            [(landed, different)] = connection.execute(answers).all()
        assert landed == different, "what had landed was fetched again"


# In one process it cannot lose its lock: a process that is stopped keeps it.
@pytest.mark.parametrize("place", SPREAD, indirect=True)
def test_a_worker_that_stops_and_comes_back(place: Place, warehouse: Warehouse, server: SandboxServer) -> None:
    """Planted: a load, a landing, or a call that does not look whether the run still has its lease."""
    with unanswered(server, 9) as let_go, place.launched() as run:
        wait_until(lambda: len(server.requests) == 10, PATIENCE)
        worker = working_process(server)
        os.kill(worker, signal.SIGSTOP)
        try:
            expire_lease(warehouse)
            server.on_request = None
            assert Task(place.settings, NOW).run().success
            stored, asked = contents(warehouse), len(server.requests)
            let_go()
        finally:
            os.kill(worker, signal.SIGCONT)
        run.wait(PATIENCE)

        assert len(server.requests) == asked, "it made a call"
        assert contents(warehouse) == stored
        assert sorted(statuses(warehouse)) == ["failed", "succeeded"]
        assert place.status() == "FAILURE"
