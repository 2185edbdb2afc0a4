"""What the tests stand on, all of it real: an embedded Postgres, a BrickLink over HTTP, jobs run by Dagster.

One Postgres serves all workers of a session; each test has a database of its own, copied from a template
that has the tables already. Time is the test's: `clock` stands still until it is moved, and nothing sleeps.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import hypothesis
import psycopg
import pytest

from bl_pipeline.postgres import embedded
from bl_pipeline.records import RunStatus, SyncRequest, SyncResult
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.settings import Settings, load_settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline_tests.support.servers import PASSWORD, TEMPLATE, Postgres, memory_folder

if TYPE_CHECKING:
    import dagster as dg

    from bl_pipeline.sync.session import ProgressListener, SyncSession

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
_HOME = pytest.StashKey[Path]()


def pytest_configure(config: pytest.Config) -> None:
    """Set hypothesis up; make the home of the session's Postgres, not below pytest's own folders: root closes these."""
    # On a busy machine an example takes any time.
    hypothesis.settings.register_profile("bl_pipeline", deadline=None)
    hypothesis.settings.load_profile("bl_pipeline")
    # A shell in the background lets its commands, and what these start, ignore Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    worker = getattr(config, "workerinput", None)
    if worker:
        config.stash[_HOME] = Path(worker["home"])
    else:
        config.stash[_HOME] = Path(tempfile.mkdtemp(prefix="bl-pipeline-tests-", dir=memory_folder()))
        config.stash[_HOME].chmod(0o711)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Give a worker of xdist the path of the home."""
    node.workerinput["home"] = str(node.config.stash[_HOME])


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the home once the last worker has let its Postgres go."""
    if hasattr(config, "workerinput"):
        return
    home = config.stash[_HOME]
    until = time.monotonic() + 60
    while list(home.glob("**/postmaster.pid")) and time.monotonic() < until:
        time.sleep(0.05)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres(pytestconfig: pytest.Config) -> Iterator[Postgres]:
    """The embedded Postgres, or the one in BL_TEST_POSTGRES: the URL of a database whose user may create others."""
    if url := os.environ.get("BL_TEST_POSTGRES"):
        server = Postgres(url)
        server.prepare()
        yield server
        return
    with embedded.acquire(pytestconfig.stash[_HOME] / "main") as lease:
        server = Postgres(lease.url)
        server.forget_at_a_crash()
        server.prepare()
        yield server


@pytest.fixture(scope="session")
def postgres_15(pytestconfig: pytest.Config) -> Iterator[Postgres]:
    """A server of the oldest Postgres that is supported: the one in BL_TEST_POSTGRES_15, or one that is installed.

    BL_TEST_POSTGRES_15 is the URL of a database whose user may create others.
    """
    if url := os.environ.get("BL_TEST_POSTGRES_15"):
        yield Postgres(url)
        return
    binaries = Path("/usr/lib/postgresql/15/bin")
    if not binaries.exists():
        pytest.skip(f"no Postgres 15: BL_TEST_POSTGRES_15 is not set, and there is no {binaries}")
    with embedded.acquire(pytestconfig.stash[_HOME] / "15", binaries=binaries) as lease:
        server = Postgres(lease.url)
        server.forget_at_a_crash()
        yield server


@pytest.fixture
def empty_database_url(postgres: Postgres) -> Iterator[str]:
    """A database without any tables."""
    with postgres.database() as url:
        yield url


@pytest.fixture
def database_url(request: pytest.FixtureRequest, postgres: Postgres) -> Iterator[str]:
    """A database of the test's own with the warehouse's tables: empty, or if the test asks for `synced`, filled."""
    synced = {"synced", "dagster_synced"} & set(request.fixturenames)
    template = request.getfixturevalue("synced_template") if synced else TEMPLATE
    with postgres.database(template) as url:
        yield url


"""That of each `weak_user`."""


@pytest.fixture
def weak_user(postgres: Postgres) -> Iterator[str]:
    """A user of the database who may log in and no more."""
    name = f"weak_{uuid4().hex}"
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
        yield name
        admin.execute(f"DROP ROLE {name}")


@pytest.fixture
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Neither the environment nor a `.env` file sets anything; the working directory is `tmp_path`."""
    for name in Settings.model_fields:
        monkeypatch.delenv(name.upper(), raising=False)
        monkeypatch.delenv(name, raising=False)
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    monkeypatch.chdir(tmp_path)
    return monkeypatch


class Clock:
    """A clock that stands still until the test moves it; what sleeps on it moves it too."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.slept: list[float] = []

    def __call__(self) -> datetime:
        return self.now

    def advance(self, **by: float) -> None:
        """Move on by a timedelta's arguments."""
        self.now += timedelta(**by)

    def sleep(self, seconds: float) -> None:
        """Note the wait instead of waiting."""
        self.slept.append(seconds)


class TickingClock(Clock):
    """A clock that moves on by a step each time it is looked at, in whatever thread."""

    def __init__(self, now: datetime, step: timedelta) -> None:
        super().__init__(now)
        self._step = step
        self._lock = threading.Lock()

    def __call__(self) -> datetime:
        with self._lock:
            self.now += self._step
            return self.now


@pytest.fixture
def clock() -> Clock:
    """The time of the pipeline, to begin with that of the store."""
    return Clock(NOW)


@pytest.fixture
def store() -> Store:
    """A small store of every kind of order in two currencies, the same each time."""
    return grow_store()


def grow_store() -> Store:
    """The store of the fixture."""
    return Store.grow(orders=24, seed=7, now=NOW, filed=8, purged=4, unknown=1, currencies=("EUR", "USD"))


@pytest.fixture
def server(store: Store) -> Iterator[SandboxServer]:
    """BrickLink, serving `store`."""
    # The pipeline's clock is the test's, so its signatures are of any time.
    with SandboxServer(store, timestamp_lifetime=10**9) as server:
        yield server


def sandbox_settings(server: SandboxServer, database_url: str, **overrides: Any) -> Settings:
    """Settings of a sandbox and a database, whatever the environment says."""
    fields = {name.lower(): value for name, value in server.environment().items()}
    return load_settings(
        **{**fields, "env_file": None, "bl_store": "main", "bl_database_url": database_url, **overrides}
    )


MakeSettings = Callable[..., Settings]


@pytest.fixture
def make_settings(isolated: pytest.MonkeyPatch, server: SandboxServer, database_url: str) -> MakeSettings:
    """Settings of the sandbox and the test's database, except the fields given."""

    def make(**overrides: Any) -> Settings:
        fields = {name.lower(): value for name, value in server.environment().items()}
        return load_settings(**{**fields, "bl_database_url": database_url, "bl_request_timeout": 10, **overrides})

    return make


@pytest.fixture
def settings(make_settings: MakeSettings) -> Settings:
    """Settings of the sandbox and the test's database."""
    return make_settings()


@pytest.fixture
def warehouse(settings: Settings) -> Iterator[Warehouse]:
    """The test's warehouse."""
    with open_warehouse(settings) as warehouse:
        yield warehouse


OpenSession = Callable[..., "SyncSession"]


@pytest.fixture
def open_test_session(settings: Settings, clock: Clock) -> Iterator[OpenSession]:
    """Open sessions on the test's clock, which wait for nothing; each is closed at the end of the test."""
    from bl_pipeline_tests.support.sessions import session_at

    with ExitStack() as stack:

        def open_one(settings: Settings = settings, progress: ProgressListener | None = None) -> SyncSession:
            return stack.enter_context(session_at(settings, clock, sleep=clock.sleep, progress=progress))

        yield open_one


@pytest.fixture
def session(open_test_session: OpenSession) -> SyncSession:
    """One session, whose lock is free."""
    return open_test_session()


@dataclass
class Sync:
    """Runs syncs of the engine, each in a session of its own, as the jobs of Dagster ask for them."""

    settings: Settings
    clock: Clock

    def __call__(
        self,
        job: str = "sync_orders",
        *,
        settings: Settings | None = None,
        progress: ProgressListener | None = None,
        order_ids: Sequence[str] | None = None,
        **request: Any,
    ) -> SyncResult:
        """One run of this request; `job` says which orders it is about."""
        from bl_pipeline.sync.run import run_sync
        from bl_pipeline_tests.support.sessions import session_at

        with session_at(settings or self.settings, self.clock, sleep=self.clock.sleep, progress=progress) as session:
            asked = SyncRequest(
                order_ids=tuple(order_ids) if order_ids else None, only_failed=job == "retry_failed_orders", **request
            )
            return run_sync(session, asked, run_id=uuid4().hex, job=job)


_COMPOSING = threading.Lock()
"""Dagster makes the graphs of a process on one stack, of which two threads would take each other's."""


@dataclass
class DagsterSync:
    """Runs jobs as Dagster runs them, each in a session of its own."""

    settings: Settings
    clock: Clock
    instance: dg.DagsterInstance
    last: dg.ExecuteInProcessResult | None = None

    def __call__(
        self,
        job: str = "sync_orders",
        *,
        settings: Settings | None = None,
        partition: str | None = None,
        progress: ProgressListener | None = None,
        **config: Any,
    ) -> SyncResult:
        """Run a job with this config; `last` is what Dagster says of it."""
        from bl_pipeline.dagster_names import names_of
        from bl_pipeline.defs.installation import of_store
        from bl_pipeline.defs.resources import OpenedSession
        from bl_pipeline_tests.support.sessions import session_at

        asked: dict[str, Any] = {"config": config}
        with session_at(settings or self.settings, self.clock, sleep=self.clock.sleep, progress=progress) as session:
            names = names_of(session.store)
            of_job = {names.graph: asked} if job == "sync_orders" else asked
            with _COMPOSING:
                definition = of_store(session.store).resolve_job_def(names.of(job))
            self.last = definition.execute_in_process(
                run_config={"ops": of_job} if config else None,
                resources={names.resource: OpenedSession(session)},
                instance=self.instance,
                partition_key=partition,
                raise_on_error=False,
            )
            return self.result(session.warehouse, self.last.run_id, succeeded=self.last.success)

    @staticmethod
    def result(warehouse: Warehouse, run_id: str, *, succeeded: bool) -> SyncResult:
        """The SyncResult as stored in sync.runs."""
        from bl_pipeline.sync.finishing import read_result

        result = read_result(warehouse, run_id)
        assert succeeded is (result.run_status is not RunStatus.FAILED), "Dagster says otherwise"
        return result


@pytest.fixture(scope="session")
def dagster_instance() -> Iterator[dg.DagsterInstance]:
    """Dagster's history, in memory, of all runs of this worker: to make one takes longer than a run."""
    import dagster as dg

    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def sync(settings: Settings, clock: Clock) -> Sync:
    """Run a sync without Dagster: `sync(full_sync=True)`, `sync("refresh_order", order_ids=["1"])`."""
    return Sync(settings, clock)


@pytest.fixture
def dagster_sync(settings: Settings, clock: Clock, dagster_instance: dg.DagsterInstance) -> DagsterSync:
    """Run a job of Dagster with its config: `dagster_sync("refresh_order", order_ids=["1"])`."""
    return DagsterSync(settings, clock, dagster_instance)


@pytest.fixture(scope="session")
def synced_template(postgres: Postgres) -> str:
    """The name of a template in which the fixture `store` has been synced once: copied faster than synced."""
    name = f"{TEMPLATE}_synced"

    def fill(url: str) -> None:
        with SandboxServer(grow_store(), timestamp_lifetime=10**9) as server:
            assert Sync(sandbox_settings(server, url), Clock(NOW))().success

    postgres.make_template(name, TEMPLATE, fill)
    return name


@pytest.fixture
def synced(sync: Sync, clock: Clock) -> Sync:
    """The same as `sync`, but `store` has been synced once already, an hour ago."""
    clock.advance(hours=1)
    return sync


@pytest.fixture
def order_id(synced: Sync, store: Store, server: SandboxServer) -> int:
    """A new order that is not paid, and is in the warehouse."""
    order_id = store.place_order()
    assert synced().success
    server.clear_requests()
    return order_id


@pytest.fixture
def dagster_synced(dagster_sync: DagsterSync, clock: Clock) -> DagsterSync:
    """The same as `dagster_sync`, but `store` has been synced once already, an hour ago."""
    clock.advance(hours=1)
    return dagster_sync
