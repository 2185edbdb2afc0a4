"""A command that reads changes nothing: a dump of the whole database is the same before and after."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from typer.main import get_command

from bl_pipeline.postgres.binaries import installed
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.stores_file import CREDENTIAL_VARIABLES
from bl_pipeline.terminal.cli import app
from bl_pipeline.warehouse import database
from bl_pipeline.warehouse.connections import open_engine
from bl_pipeline_tests.terminal.conftest import Bl, expect, json_of

pytestmark = pytest.mark.slow

READING = [
    ["status"],
    ["status", "--json"],
    ["status", "--check"],
    ["stores"],
    ["stores", "--json"],
    ["orders"],
    ["orders", "--search", "x", "--json"],
    ["order", "ID"],
    ["messages", "ID"],
    ["feedback", "ID", "--json"],
    ["errors"],
    ["periods"],
    ["periods", "--json"],
    ["report"],
    ["report", "revenue_by_month"],
    ["report", "revenue_by_item", "--csv", "-"],
    ["report", "revenue_by_country", "--json"],
    ["report", "revenue_by_year", "--png", "picture.png"],
]
"""Every command that reads, in its ways."""
LOOKING = [
    ["backup", "warehouse.zip"],
    ["cancel"],
    ["cancel", "--json"],
    ["export", "accounts"],
    ["export", "xero", "--period", "2020-01"],
    ["import"],
    ["import", "refunds", "refunds.csv"],
    ["close", "2020-01"],
    ["reopen", "2020-01"],
    ["rename-store", "a", "b"],
    ["upgrade-postgres"],
]
"""Commands that change nothing if nothing is there."""
MAKING = {
    "sync",
    "refresh",
    "retry",
    "update",
    "drive-thru",
    "plan",
    "doctor",
    "rebuild",
    "restore",
    "desk",
    "up",
    "demo",
    "sandbox",
}
"""Those that store something, or count calls, and so make what they need; the last two elsewhere."""
_OF_ONE_ORDER = {"refresh": ["1"], "update": ["1", "--filed"], "drive-thru": ["1"]}
TOKYO = {"BL_TIMEZONE": "Asia/Tokyo"}


def dump() -> str:
    """The whole database, all of its schemas and rows."""
    (folder, _) = next(installed(None))
    done = subprocess.run(
        [str(folder / "pg_dump"), os.environ["BL_DATABASE_URL"]], capture_output=True, text=True, check=True
    )
    # A key against injection, new each time.
    return re.sub(r"^\\(un)?restrict .*$", "", done.stdout, flags=re.MULTILINE)


def migrated_to(revision: str) -> None:
    """Tables as an older release has made them."""
    config = Config()
    config.set_main_option("script_location", str(Path(database.__file__).parent / "migrations"))
    engine = open_engine(os.environ["BL_DATABASE_URL"])
    with engine.begin() as connection:
        connection.execute(text("CREATE SCHEMA IF NOT EXISTS sync"))
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def test_a_synced_store(synced_bl: Bl, store: Store) -> None:
    """Planted: the time zone of any command noted with the store."""
    before = dump()
    assert "CREATE VIEW reports.revenue_by_month" in before
    for arguments in READING:
        words = [str(max(store.sales)) if word == "ID" else word for word in arguments]
        expect(synced_bl(*words, **TOKYO), 0)
        assert dump() == before, arguments
    assert "Days in UTC" in synced_bl("report", "revenue_by_month").stdout


def test_an_empty_database(bl: Bl, empty_database_url: str, isolated: pytest.MonkeyPatch) -> None:
    """Planted: tables made by whoever comes first."""
    isolated.setenv("BL_DATABASE_URL", empty_database_url)
    before = dump()
    for arguments in READING:
        words = ["15646315" if word == "ID" else word for word in arguments]
        # Without tables there is neither an order nor a report; the list of the reports comes from the files.
        ended = int(
            arguments[0] in ("order", "messages", "feedback")
            or (arguments[0] == "report" and len(arguments) > 1)
            or "--check" in arguments
        )
        result = expect(bl(*words), ended)
        assert dump() == before, arguments
        if arguments[0] == "report" and ended:
            assert "nothing was synced yet. Fetch your sales with: bl sync" in result.stderr
    status = json_of(bl("status", "--json"))
    assert (status["indicator"], status["orders"], status["calls"]["used"]) == ("stale", 0, 0)
    assert json_of(bl("orders", "--json")) == []


@pytest.mark.parametrize("revision", ["0001", "0004"])
def test_a_warehouse_of_an_older_release(
    revision: str, bl: Bl, empty_database_url: str, isolated: pytest.MonkeyPatch, server: SandboxServer
) -> None:
    """Planted: tables brought up to date by a command that reads."""
    isolated.setenv("BL_DATABASE_URL", empty_database_url)
    migrated_to(revision)
    before = dump()
    for arguments in READING:
        words = ["15646315" if word == "ID" else word for word in arguments]
        result = expect(bl(*words), 0 if arguments == ["report"] else 1)
        assert dump() == before, arguments
        if arguments != ["report"]:
            # What a program reads is one line of standard output.
            said = result.stdout if "--check" in arguments else result.stderr
            assert "Bring it up to date with: bl doctor" in said
    expect(bl("doctor"), 0)
    expect(bl("status"), 0)


def test_reports_of_another_release(synced_bl: Bl) -> None:
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        connection.execute("UPDATE sync.report_views SET digest = 'other'")
    before = dump()
    assert "bl doctor" in expect(synced_bl("report", "revenue_by_month"), 1).stderr
    assert dump() == before
    expect(synced_bl("doctor"), 0)
    expect(synced_bl("report", "revenue_by_month"), 0)


@pytest.mark.parametrize("name", get_command(app).commands)  # type: ignore[attr-defined]
def test_no_folder_is_made_to_read_from(name: str, bl: Bl, isolated: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Whoever looks at a BL_HOME that is not there makes none. Caught: `bl backup` and `bl cancel` started a server."""
    home = tmp_path / "nowhere"
    isolated.setenv("BL_DATABASE_URL", "")
    isolated.setenv("BL_HOME", str(home))
    if name in MAKING:
        # Without credentials most of these have nothing to make.
        changed, cases = dict.fromkeys(CREDENTIAL_VARIABLES, ""), [[name, *_OF_ONE_ORDER.get(name, [])]]
        cases = [] if name in ("desk", "doctor", "rebuild", "restore", "demo", "sandbox") else cases
    else:
        changed, cases = {}, [words for words in [*READING, *LOOKING] if words[0] == name]
        assert cases, "neither among the commands that read, nor among those that make what they need"
    for words in cases:
        result = bl(*(word.replace("ID", "15646315") for word in words), **changed)
        assert result.exit_code in ((2,) if name in MAKING else (0, 1)), (words, result.stderr)
        assert "Traceback" not in result.stderr
        assert not list(tmp_path.iterdir()), words


@pytest.mark.parametrize("written", [None, "", "abc"])
@pytest.mark.parametrize("command", [["status"], ["orders"], ["sync"], ["upgrade-postgres"]])
def test_damaged_data_are_named(command: list[str], written: str | None, bl: Bl, home: Path) -> None:
    """Caught: without the file a store was said to be empty, and with another content it was a fault of bl_pipeline."""
    file = home / "postgres" / "data" / "PG_VERSION"
    file.parent.mkdir(parents=True)
    if written is not None:
        file.write_text(written)
    said = expect(
        bl(*command, BL_DATABASE_URL="", BL_HOME=str(home)), 1 if command == ["upgrade-postgres"] else 6
    ).stderr
    assert f"The data of the embedded Postgres are damaged: {file} is missing, or is no version of Postgres." in said
    assert "restore your last backup: bl restore FILE. Without a backup: bl sync" in said


def test_a_home_that_is_a_file_is_named(bl: Bl, tmp_path: Path) -> None:
    """Caught: the file in it that was looked for, and not what to do."""
    home = tmp_path / "file"
    home.touch()
    said = expect(bl("status", BL_DATABASE_URL="", BL_HOME=str(home)), 2).stderr
    assert f"{home}/postgres: Not a directory. Nothing was started.\nSet BL_HOME to a folder" in said


def test_a_sync_sets_the_time_zone_and_says_so(bl: Bl, store: Store) -> None:
    """Planted: a time zone that stays when the setting is gone; lists in UTC."""
    assert "Days in" not in expect(bl("sync"), 0).stderr
    result = expect(bl("sync", **TOKYO), 0)
    assert (
        "Days in reports and times in lists are in Asia/Tokyo from now on; until now they were in UTC." in result.stderr
    )
    assert "Days in Asia/Tokyo" in bl("report", "revenue_by_month").stdout
    order_id = max(key for key, order in store.sales.items() if not order.is_purged)
    assert "Asia/Tokyo" in expect(bl("order", str(order_id)), 0).stdout
    assert "Asia/Tokyo" in expect(bl("status"), 0).stdout
    assert json_of(bl("order", str(order_id), "--json"))["order_date"].endswith("+00:00")
    assert "in UTC from now on" in expect(bl("sync"), 0).stderr
    assert "UTC" in expect(bl("status"), 0).stdout
