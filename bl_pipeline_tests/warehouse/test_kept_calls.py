"""The calls of the last day stay spent when another warehouse takes the place of this one, of whatever release."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

import pytest
from sqlalchemy import Connection, text

from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.kept_calls import KeptCalls

CALLS, RESERVATIONS, SALT = "sync.api_calls", "sync.call_reservations", "sync.api_key_salt"
ALL = (CALLS, RESERVATIONS, SALT)


@pytest.mark.parametrize(
    ("there", "restored", "keeps", "with_keys"),
    [
        (ALL, ALL, True, True),
        ((), ALL, False, False),
        (ALL, (), False, False),
        ((CALLS,), ALL, True, False),
        (ALL, (CALLS,), True, False),
        ((CALLS, SALT), (CALLS, SALT), True, True),
    ],
)
def test_what_an_older_release_has_is_kept(
    there: Collection[str], restored: Collection[str], keeps: bool, with_keys: bool
) -> None:
    kept = KeptCalls(there, restored)
    assert bool(kept.keep) is bool(kept.bring_back) is keeps
    for statements in (kept.keep, kept.bring_back):
        assert ("method, path, outcome, key_hash" in statements) is with_keys
        assert ("salt" in statements) is with_keys
    assert (RESERVATIONS in kept.keep) is (keeps and RESERVATIONS in there)
    assert (RESERVATIONS in kept.bring_back) is (keeps and RESERVATIONS in restored)


def execute(connection: Connection, statements: str) -> None:
    connection.connection.driver_connection.execute(statements)  # type: ignore[union-attr]


def test_calls_and_reservations_are_brought_back_once(warehouse: Warehouse) -> None:
    """Planted: all calls, or none, taken for known; calls of the day before kept; the old salts forgotten."""
    kept = KeptCalls(ALL, ALL)
    with warehouse.engine.begin() as connection:
        now: datetime = connection.execute(text("SELECT now()")).scalar_one()

        def call(path: str, ago: timedelta = timedelta(0)) -> None:
            connection.execute(
                text(
                    """
                    INSERT INTO sync.api_calls (store, run_id, started_at, method, path, outcome, key_hash)
                    VALUES ('main', 'run', :at, 'GET', :path, 'ok', 'key')
                    """
                ),
                {"at": now - ago, "path": path},
            )

        def reserve(run_id: str, calls: int) -> None:
            connection.execute(
                text(
                    """
                    INSERT INTO sync.call_reservations (key_hash, store, run_id, calls, usable_until)
                    VALUES ('key', 'main', :run_id, :calls, :until)
                    """
                ),
                {"run_id": run_id, "calls": calls, "until": now},
            )

        def set_salt(salt: str) -> None:
            connection.execute(text("UPDATE sync.api_key_salt SET salt = :salt"), {"salt": salt})

        call("/known")
        call("/lost")
        call("/old", timedelta(days=1))
        reserve("known", 2)
        reserve("lost", 3)
        set_salt("a b")
        execute(connection, kept.keep)

        # The backup has some of it.
        connection.execute(text("DELETE FROM sync.api_calls WHERE path <> '/known'"))
        connection.execute(text("DELETE FROM sync.call_reservations WHERE run_id = 'lost'"))
        set_salt("b c")
        execute(connection, kept.bring_back)

        calls = connection.execute(
            text("SELECT run_id, path, key_hash, count(*) FROM sync.api_calls GROUP BY 1, 2, 3 ORDER BY 1, 2")
        ).all()
        assert [tuple(row) for row in calls] == [
            ("lost", "unknown", "key", 3), ("run", "/known", "key", 1), ("run", "/lost", "key", 1),
        ]  # fmt: skip
        assert connection.scalar(text("SELECT salt FROM sync.api_key_salt")) == "b c a"
