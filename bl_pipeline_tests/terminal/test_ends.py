"""Every command ends by itself, with the true reason, whatever it runs into; and the next sync is whole.

The commands are real processes. A gate in the database keeps them at a stage until the fault has come.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from bl_pipeline.postgres import embedded
from bl_pipeline.sandbox import Fault, SandboxServer, Store, move_on
from bl_pipeline.settings import load_settings
from bl_pipeline.terminal.cli import app
from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline_tests.conftest import _HOME
from bl_pipeline_tests.support.ends import (
    Ended,
    Process,
    bl_process,
    end_session_of_lock,
    end_sessions,
    remove_gate,
    restart_server,
    stopped_at,
    wait_until_none_is_idle,
)
from bl_pipeline_tests.support.sales_rows import assert_in_step
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.terminal.conftest import Bl, expect, free_port, grow_store, json_of

pytestmark = pytest.mark.slow

ORDER = max(key for key, order in grow_store().sales.items() if not order.is_purged)
"""An order that failed before, so that there is something to retry."""
STORED = min(key for key, order in grow_store().sales.items() if not order.is_purged)

ARGUMENTS = {
    "close": ["close", "2020-01"],
    "reopen": ["reopen", "2020-01"],
    "export": ["export", "accounts"],
    "refresh": ["refresh", str(ORDER)],
    "update": ["update", str(ORDER), "--remarks", "x"],
    "drive-thru": ["drive-thru", str(ORDER)],
    "report": ["report", "revenue_by_month"],
    "order": ["order", str(ORDER)],
    "messages": ["messages", str(STORED)],
    "feedback": ["feedback", str(STORED)],
    "backup": ["backup", "new.zip"],
    "restore": ["restore", "--replace", "backup.zip"],
    "rename-store": ["rename-store", "main", "renamed"],
    "desk": ["desk", "--port", str(free_port())],
    "up": ["up", "--port", str(free_port()), "--desk-port", str(free_port())],
}
EVERY = get_command(app).commands  # type: ignore[attr-defined]
JSON = [
    (name, "json") for name, command in EVERY.items() if any("--json" in parameter.opts for parameter in command.params)
]
WRITING = [
    *(("sync", stage) for stage in ("lists", "plan", "fetch", "load", "finish", "history")),
    *(("refresh", stage) for stage in ("plan", "fetch", "load", "finish")),
    *(("retry", stage) for stage in ("plan", "fetch", "load", "finish")),
    ("plan", "lists"),
    ("rebuild", "load"),
    *(("update", stage) for stage in ("fetch", "write", "finish")),
    ("drive-thru", "write"),
]
READING = [
    *((name, "sync.runs") for name in ("status", "doctor")),
    *((name, "sales.orders") for name in ("report", "orders", "backup", "restore")),
    *((name, f"sales.order_{name}") for name in ("messages", "feedback")),
    ("errors", "sync.order_state"),
    ("cancel", "sync.full_syncs"),
]
"""A restore reads first what it would replace."""
PLANTS = [
    *(("sync", f"bl_pipeline.{place}") for place in (
        "sync.listing:list_orders", "sync.planning:plan_changes", "sync.fetching:fetch_batch", "sync.finishing:finish",
        "defs.metadata:plan_metadata",
    )),
    ("refresh", "bl_pipeline.sync.fetching:fetch_batch"),
    ("retry", "bl_pipeline.sync.planning:plan_changes"),
    ("plan", "bl_pipeline.sync.planning:plan_fetches"),
    ("rebuild", "bl_pipeline.sync.rebuild:load_replays"),
    ("update", "bl_pipeline.sync.writing:plan_writes"),
    ("drive-thru", "bl_pipeline.sync.settling:settle"),
    ("messages", "bl_pipeline.warehouse.sales:read_part"),
    ("status", "bl_pipeline.sync.status:read_status"),
    ("doctor", "bl_pipeline.warehouse.sales:count_rows"),
    ("report", "bl_pipeline.terminal.reports:report_view"),
    ("orders", "bl_pipeline.warehouse.orders_list:read_orders"),
    ("errors", "bl_pipeline.warehouse.state:failed_orders"),
    ("cancel", "bl_pipeline.sync.canceling:cancel_store"),
    ("backup", "bl_pipeline.warehouse.backup:back_up"),
    ("restore", "bl_pipeline.warehouse.backup:restore"),
]  # fmt: skip


def grow_changed_store() -> Store:
    """The store that the template `bl_failed` is in step with, but for one order."""
    store = grow_store()
    store.set_payment_status(ORDER, "Bounced")
    return store


def make_failed(server: Postgres, template: str, home: Path) -> str:
    """Make a template of a warehouse with an order that failed, from one without it."""

    def fill(url: str) -> None:
        with SandboxServer(grow_changed_store(), timestamp_lifetime=10**9) as bricklink:
            bricklink.faults.on(f"/orders/{ORDER}$", Fault.FORBIDDEN)
            variables = {**bricklink.environment(), "BL_DATABASE_URL": url, "BL_HOME": str(home)}
            expect(CliRunner().invoke(app, ["sync"], env=variables), 3)

    server.make_template("bl_failed", template, fill)
    return "bl_failed"


@pytest.fixture(scope="session")
def failed(postgres: Postgres, templates: tuple[str, str], tmp_path_factory: pytest.TempPathFactory) -> str:
    """The template, on the server of all tests."""
    return make_failed(postgres, templates[1], tmp_path_factory.mktemp("home"))


@pytest.fixture
def database_url(postgres: Postgres, failed: str) -> Iterator[str]:
    """A copy of it."""
    with postgres.database(failed) as url:
        yield url


@pytest.fixture
def store() -> Store:
    """The store of it, which has moved on."""
    store = grow_changed_store()
    move_on(store, new=2, changed=2)
    return store


@pytest.fixture
def run(bl: Bl, tmp_path: Path) -> Callable[..., Process]:
    """Start a command, with the arguments that it has here."""

    def start(command: str, *more: str, **changed: str) -> Process:
        return bl_process(tmp_path, *ARGUMENTS.get(command, [command]), *more, **changed)

    return start


@pytest.fixture(autouse=True)
def backup_to_restore(request: pytest.FixtureRequest, bl: Bl) -> None:
    """Make the backup that `bl restore` reads."""
    if request.node.callspec.params["command"] == "restore":
        expect(bl("backup", "backup.zip"), 0)


def assert_whole(command: str, bl: Bl, store: Store) -> None:
    """The next sync and what it leaves are as if nothing had happened."""
    changing = ("sync", "refresh", "retry", "update", "drive-thru", "plan", "rebuild", "restore", "rename-store")
    if command not in changing:
        return
    remove_gate(os.environ["BL_DATABASE_URL"])
    expect(bl("sync"), 0)
    assert json_of(bl("status", "--json"))["indicator"] == "synced"
    with open_warehouse(load_settings()) as warehouse:
        assert_in_step(warehouse, store)


@pytest.fixture
def meet(run: Callable[..., Process]) -> Callable[..., Ended]:
    """How a command ends that meets a fault at a stage, or `early`, before it."""

    def meet_at(
        command: str, stage: str, fault: Callable[[str], None], *, early: bool = False, **changed: str
    ) -> Ended:
        url = os.environ["BL_DATABASE_URL"]
        with stopped_at(stage, url, lambda: run(command, **changed)) as process:
            assert early or process.process.is_alive(), process.end()
            fault(url)
        return process.end()

    return meet_at


@pytest.mark.parametrize(("command", "plant"), PLANTS)
def test_an_unexpected_error(command: str, plant: str, run: Callable[..., Process], bl: Bl, store: Store) -> None:
    """Caught: `bl sync`, `refresh` and `retry` never ended, and Ctrl-C was all that was shown.

    Planted: a message that shows the error's own words, which quote a buyer.
    """
    ended = run(command, plant=plant).end()

    ended.assert_says(1, "ZeroDivisionError: a fault of bl_pipeline itself.")
    assert "in _broken" in ended.err
    assert "jane@example.com" not in ended.err + ended.out
    assert_whole(command, bl, store)


@pytest.mark.parametrize(("command", "stage"), [*WRITING, *READING])
def test_sessions_ended_by_an_administrator(
    command: str, stage: str, meet: Callable[..., Ended], bl: Bl, store: Store
) -> None:
    # Postgres's own word, "terminating connection due to administrator command", is lost with a socket now and then.
    meet(command, stage, end_sessions).assert_says(6, "The connection to the warehouse was lost")
    assert_whole(command, bl, store)


def has_nothing_to_lose(command: str, stage: str) -> bool:
    """Whether a command has stored all by then, or stores nothing."""
    return stage in ("load", "finish") or command not in ("sync", "refresh", "retry", "rebuild", "update", "drive-thru")


@pytest.mark.parametrize(("command", "stage"), WRITING)
def test_the_session_of_the_lock_ended(
    command: str, stage: str, meet: Callable[..., Ended], bl: Bl, store: Store
) -> None:
    """Without its lock a run loads nothing more; after its load, or if it loads nothing, it has nothing to lose."""
    ended = meet(command, stage, end_session_of_lock)

    if has_nothing_to_lose(command, stage):
        assert (ended.exit_code, "Error" in ended.err) == (0, False), ended
    else:
        ended.assert_says(6, "The connection to the warehouse was lost, and with it the sync's lock.")
    assert_whole(command, bl, store)


@pytest.mark.parametrize(("command", "stage"), [*WRITING, *READING])
def test_an_idle_session_timeout(command: str, stage: str, meet: Callable[..., Ended], bl: Bl, store: Store) -> None:
    """Set by the user's own URL: elsewhere it is set aside. On a busy machine it comes before the stage is reached."""
    idle = f"{os.environ['BL_DATABASE_URL']}?options=-c%20idle_session_timeout%3D1500"
    ended = meet(command, stage, wait_until_none_is_idle, early=True, BL_DATABASE_URL=idle)

    if ended.exit_code:
        ended.assert_says(6, "The connection to the warehouse was lost")
    assert ended.exit_code or has_nothing_to_lose(command, stage), ended
    assert_whole(command, bl, store)


@pytest.mark.parametrize(("command", "output"), [*((name, "text") for name in EVERY), *JSON])
def test_standard_output_is_full(
    command: str, output: str, run: Callable[..., Process], bl: Bl, store: Store, tmp_path: Path
) -> None:
    """Every command there is. Caught: the result of a sync that found no room, and the sandbox, were tracebacks.

    Planted: nobody says whether the run was done.
    """
    changed = {}
    if command == "upgrade-postgres":
        data = tmp_path / "home" / "postgres" / "data"
        data.mkdir(parents=True)
        (data / "PG_VERSION").write_text("18")
        changed = {"BL_DATABASE_URL": ""}
    if command == "reopen":
        expect(bl("close", "2020-01"), 0)
    ended = run(command, *(["--json"] if output == "json" else []), stdout="/dev/full", **changed).end()

    ended.assert_says(1, "There is no room left for the output.")
    is_run = command in ("sync", "refresh", "retry", "update", "drive-thru")
    assert ("The run itself has ended, and what it did is stored." in " ".join(ended.err.split())) == is_run, ended
    if command == "rename-store":
        expect(bl("rename-store", "renamed", "main"), 0)
    assert_whole(command, bl, store)


@pytest.fixture(scope="session")
def restarted(pytestconfig: pytest.Config, worker_id: str) -> Iterator[Path]:
    """The home of a server of this worker's own, which may be restarted, with the template."""
    home = pytestconfig.stash[_HOME] / f"restarted-{worker_id}"
    with embedded.acquire(home) as lease:
        make_failed(Postgres(lease.url), "template1", home)
        yield home


@pytest.mark.parametrize(("command", "stage"), [*WRITING, *READING])
def test_the_server_is_restarted(
    command: str, stage: str, restarted: Path, meet: Callable[..., Ended], bl: Bl, store: Store,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """As by an upgrade of the system while a sync runs."""
    with embedded.acquire(restarted) as lease, Postgres(lease.url).database("bl_failed") as url:
        monkeypatch.setenv("BL_DATABASE_URL", url)
        ended = meet(command, stage, lambda url: restart_server(restarted, url))

        ended.assert_says(6, "The connection to the warehouse was lost")
        assert_whole(command, bl, store)
