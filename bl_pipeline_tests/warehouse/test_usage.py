"""Calls that are dated in the future count from now, and no others; what a run has sent is counted by its id."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.usage import CLOCKS_DIFFER, correct_future_calls, count_run_calls, last_write_at

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)


@pytest.fixture
def connection(warehouse: Warehouse) -> Iterator[Connection]:
    with warehouse.engine.begin() as connection:
        yield connection


def call(
    connection: Connection,
    path: str,
    at: datetime = NOW,
    *,
    key: str | None = "key",
    counted_at: datetime | None = None,
    run_id: str = "run",
    method: str = "GET",
) -> None:
    connection.execute(
        text(
            """
            INSERT INTO sync.api_calls (store, run_id, started_at, method, path, key_hash, counted_at)
            VALUES ('main', :run_id, :at, :method, :path, :key, :counted_at)
            """
        ),
        {"path": path, "at": at, "key": key, "counted_at": counted_at, "run_id": run_id, "method": method},
    )


def test_only_what_is_further_in_the_future_than_clocks_differ_is_corrected(connection: Connection) -> None:
    """Planted: each limit moved; what was corrected before corrected once more; the calls of another key."""
    latest, ahead, corrected = NOW + CLOCKS_DIFFER, NOW + timedelta(days=3), NOW - timedelta(hours=1)
    call(connection, "now")
    call(connection, "latest", latest)
    call(connection, "ahead", latest + MOMENT)
    call(connection, "of no key", ahead, key=None)
    call(connection, "of another key", ahead, key="another")
    call(connection, "corrected", ahead, counted_at=corrected)
    call(connection, "corrected to the latest", ahead, counted_at=latest)
    call(connection, "corrected to the future", ahead, counted_at=latest + MOMENT)
    for run_id, until in (("latest", latest), ("ahead", latest + MOMENT)):
        connection.execute(
            text(
                """
                INSERT INTO sync.call_reservations (key_hash, store, run_id, calls, usable_until)
                VALUES ('key', 'main', :run_id, 1, :until)
                """
            ),
            {"run_id": run_id, "until": until},
        )

    correct_future_calls(connection, ["key"], NOW)

    found = connection.execute(text("SELECT path, counted_at FROM sync.api_calls")).all()
    assert {row.path: row.counted_at for row in found} == {
        "now": None,
        "latest": None,
        "ahead": NOW,
        "of no key": NOW,
        "of another key": None,
        "corrected": corrected,
        "corrected to the latest": latest,
        "corrected to the future": NOW,
    }
    reserved = connection.execute(text("SELECT run_id, counted_at FROM sync.call_reservations")).all()
    assert {row.run_id: row.counted_at for row in reserved} == {"latest": None, "ahead": NOW}


def test_the_calls_of_a_run(connection: Connection) -> None:
    call(connection, "1", NOW, method="PUT")
    call(connection, "2", NOW + timedelta(seconds=1), method="POST")
    call(connection, "3", NOW + timedelta(seconds=2))
    call(connection, "4", NOW + timedelta(seconds=3), run_id="another")
    assert [count_run_calls(connection, run_id) for run_id in ("run", "another", "none")] == [3, 1, 0]
    assert last_write_at(connection, "run") == NOW + timedelta(seconds=1)
    assert last_write_at(connection, "another") is None
