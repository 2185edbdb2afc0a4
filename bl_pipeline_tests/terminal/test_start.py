"""How long a command takes is what it imports and opens: this is the same on every machine, seconds are not."""

from __future__ import annotations

import subprocess
import sys

import psycopg
import pytest

from bl_pipeline_tests.support.slow import some_slow
from bl_pipeline_tests.terminal.conftest import Bl, expect, json_of

RUN = """
import sys
from bl_pipeline.terminal.cli import main
sys.argv = ["bl", *sys.argv[1:]]
try:
    main()
finally:
    print("\\n".join(sys.modules), file=sys.stderr)
"""

FRAMES = {"pandas", "numpy", "pyarrow", "matplotlib"}
READING = FRAMES | {"dagster", "alembic", "requests", "fastapi", "rich.markdown"}
WITHOUT = {
    "--help": READING | {"pydantic", "sqlalchemy", "psycopg", "msgspec"},
    "status": READING,
    "orders": READING,
    "sync": FRAMES,  # of a store in which nothing has changed
}
"""Command → what it does not import."""


@pytest.mark.parametrize("command", some_slow(WITHOUT, ["--help"]))
def test_a_command_imports_only_what_it_needs(synced_bl: Bl, command: str) -> None:
    """Planted: each of these imported by a module that the command needs."""
    # A process: this one has imported them all. It gets the variables that `synced_bl` has set.
    done = subprocess.run([sys.executable, "-c", RUN, command], capture_output=True, text=True, check=True)
    assert done.stdout
    imported = set(done.stderr.splitlines())
    assert "bl_pipeline.terminal.cli" in imported
    assert sorted(imported & WITHOUT[command]) == []


def test_a_sync_without_changes_stores_few_events_and_opens_few_sessions(synced_bl: Bl, database_url: str) -> None:
    """Planted: Dagster's storage opens sessions for each event, as it does by default: 172 of them."""
    count = "SELECT sessions FROM pg_stat_database WHERE datname = current_database()"
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("TRUNCATE dagster.event_logs")
        (before,) = connection.execute(count).fetchone() or (0,)

        assert json_of(expect(synced_bl("sync", "--json"), 0))["orders_skipped"] > 0

        runs = connection.execute("SELECT count(*) FROM dagster.event_logs GROUP BY run_id").fetchall()
        (after,) = connection.execute(count).fetchone() or (0,)
    assert len(runs) == 1
    assert runs[0][0] < 150
    assert 0 < after - before < 40
