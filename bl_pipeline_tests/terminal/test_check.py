"""`bl status --check`: one line and an exit code for monitoring."""

from __future__ import annotations

import pytest

from bl_pipeline.sandbox import Fault, SandboxServer
from bl_pipeline.settings import load_settings
from bl_pipeline.stores_file import CREDENTIAL_VARIABLES
from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.terminal.conftest import NOWHERE, Bl, expect


def checked(bl: Bl, code: int, **changed: str) -> str:
    """The one line of the check, which must end with this exit code."""
    result = expect(bl("status", "--check", **changed), code)
    assert result.stderr == ""
    assert (result.stdout.count("\n"), result.stdout[-1:]) == (1, "\n"), result.stdout
    return result.stdout.rstrip()


@pytest.mark.timeout(900)
@pytest.mark.slow
def test_each_end_of_a_sync_has_its_code(bl: Bl, server: SandboxServer) -> None:
    """Planted: a run that makes calls while it looks; a reason on several lines; always exit code 0."""
    assert checked(bl, 1).startswith("main stale: No sync of this store was complete yet.")
    expect(bl("sync", BL_DAILY_CALL_LIMIT="10", BL_CALL_RESERVE="0"), 4)
    assert checked(bl, 4).startswith("main stale: The last sync stopped before its end.")
    expect(bl("sync"), 0)
    server.clear_requests()
    assert checked(bl, 0).startswith("main synced: Every order of BrickLink's lists is stored, as of ")
    assert server.requests == []
    expect(bl("sync", BRICKLINK_TOKEN_SECRET="wrong"), 5)
    assert "BrickLink refused the credentials" in checked(bl, 5)
    expect(bl("sync", BRICKLINK_API_URL="http://127.0.0.1:1/api"), 6)
    assert checked(bl, 6).startswith("main error: ")


def test_orders_that_failed(bl: Bl, server: SandboxServer) -> None:
    server.faults.on("/orders/", Fault.FORBIDDEN, times=1)
    expect(bl("sync"), 3)
    assert checked(bl, 3).startswith("main error: 1 order could not be fetched or read")


def test_a_running_sync_hides_nothing(synced_bl: Bl) -> None:
    """Planted: the word of `bl status`: a sync that hangs would be well for twelve hours."""
    expect(synced_bl("sync", BRICKLINK_TOKEN_SECRET="wrong"), 5)
    with open_warehouse(load_settings()) as warehouse:
        lock = SyncLock(warehouse)
        assert lock.try_acquire()
        assert synced_bl("status").stdout.startswith("● syncing")
        assert checked(synced_bl, 5).startswith("main error: ")
        lock.release()


def test_the_line_is_no_json(bl: Bl) -> None:
    """Caught: --json was not looked at, and no program could read what came."""
    assert "Ask for one of --check and --json at a time." in expect(bl("status", "--check", "--json"), 2).stderr


def test_what_cannot_be_checked_is_no_state_of_the_store(bl: Bl, empty_database_url: str) -> None:
    """Caught: a message of two lines, on standard error, of which monitoring shows none."""
    assert checked(bl, 6, BL_DATABASE_URL=NOWHERE).startswith("unknown: ")
    assert checked(bl, 2, BL_CALL_RESERVE="x").startswith("unknown: Settings to correct:")
    unset = dict.fromkeys(CREDENTIAL_VARIABLES, "")
    assert checked(bl, 2, BL_DATABASE_URL=empty_database_url, **unset).startswith("main not_connected: ")
    assert checked(bl, 1, BL_DATABASE_URL=empty_database_url).startswith("main stale: ")
