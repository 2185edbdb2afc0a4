"""Faults of our own code and a full disk, as the terminal and Dagster's log show them: where, and no value."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DataError

from bl_pipeline.bricklink import Order
from bl_pipeline.postgres.embedded import acquire
from bl_pipeline.rules import normalise
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.sync import fetching, loading, writing
from bl_pipeline.warehouse.database import unreachable
from bl_pipeline_tests.support.clusters import fill, is_stopped, small_disk
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.support.waiting import wait_until
from bl_pipeline_tests.terminal.conftest import Bl, expect, json_of

pytestmark = pytest.mark.slow


def break_normalisation(monkeypatch: pytest.MonkeyPatch, order_ids: set[int]) -> None:
    """A defect whose own message shows a value."""
    whole = normalise.order_row

    def broken(order: Order, **keywords: object) -> object:
        if order.order_id in order_ids:
            raise ZeroDivisionError(order.buyer_email)
        return whole(order, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(loading, "order_row", broken)


def dagsters_log() -> str:
    """Every event of every run, as stored."""
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        return "\n".join(event for (event,) in connection.execute("SELECT event FROM dagster.event_logs"))


def test_orders_that_meet_a_fault_of_ours_say_where(bl: Bl, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the terminal and in the log of the run, once for all of them; the others are stored.

    Caught: "please report this" and a class name were all there was.
    """
    two = [order for order in store.sales.values() if not order.is_purged][:2]
    break_normalisation(monkeypatch, {order.order_id for order in two})

    result = expect(bl("sync"), 3)

    said, logged = result.stderr, dagsters_log()
    for text in (said, logged):
        assert text.count("unexpected ZeroDivisionError at") == 1
        assert "bl_pipeline/sync/loading.py:" in text
        assert "bl_pipeline_tests/terminal/test_unexpected.py:" in text
        assert "in broken" in text
        assert "and 1 more" in text
    for order in two:
        assert order.buyer.email not in said + logged + result.stdout
    assert "a fault of bl_pipeline itself" in bl("errors").stdout.replace("\n", " ").replace("  ", " ")
    rebuilt = bl("rebuild")
    assert rebuilt.exit_code == 0
    monkeypatch.undo()


def test_a_rebuild_says_where_too(synced_bl: Bl, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of an answer in an unusual form, which is read for itself."""
    order = max(store.sales.values(), key=lambda order: order.order_id)
    break_normalisation(monkeypatch, {order.order_id})
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        connection.execute(
            "UPDATE landing.documents "
            "SET body = jsonb_set(body::jsonb, '{total_count}', to_jsonb(body->>'total_count'))::json "
            "WHERE kind = 'order' AND platform_order_id = %s",
            [str(order.order_id)],
        )

    result = expect(synced_bl("rebuild"), 1)

    assert f"Order {order.order_id}: unexpected ZeroDivisionError at" in result.stderr
    assert "in broken" in result.stderr
    assert order.buyer.email not in result.stderr


def test_what_ends_a_run_is_stored_without_its_own_words(
    synced_bl: Bl, store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """And without those of the errors behind it, or of a value that Postgres refuses.

    Caught: Dagster stored the message of each of them with the event of the step that failed.
    """
    caplog.set_level(logging.DEBUG)
    email = next(order.buyer.email for order in store.sales.values())
    store.place_order(paid=True)
    raised = [ZeroDivisionError(email), DataError("INSERT ...", {}, psycopg.DataError(f'invalid "{email}"'))]

    for error in raised:

        def broken(*_arguments: object, error: Exception = error) -> None:
            try:
                raise KeyError(email)
            except KeyError as behind:
                raise error from behind

        monkeypatch.setattr(fetching, "load_prepared", broken)
        result = expect(synced_bl("sync"), 1)

        printed = capfd.readouterr()
        logged = dagsters_log()
        for text in (result.stderr, logged):
            assert f"{type(error).__name__}: a fault of bl_pipeline itself." in text
            assert "in broken" in text
        reason = json_of(synced_bl("status", "--json"))["reason"]
        assert f"{type(error).__name__}: a fault of bl_pipeline itself. See the run's log in Dagster" in reason
        shown = [reason, logged, result.stdout, result.stderr, caplog.text, printed.out, printed.err]
        assert email not in "".join(shown)


def test_a_write_that_ends_so_has_no_log_in_dagster(
    synced_bl: Bl, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Caught: `bl status` said that the log of the run says where, and there is none."""

    def broken(*_arguments: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(writing, "finish", broken)
    before = dagsters_log()
    result = expect(synced_bl("update", str(max(store.sales)), "--filed"), 1)
    assert "in broken" in result.stderr
    assert dagsters_log() == before
    shown = " ".join(expect(synced_bl("status"), 0).stdout.split())
    assert "update_order failed" in shown
    assert "or the output of the command if it ran without Dagster." in shown


@contextmanager
def small_tablespace(admin_url: str) -> Iterator[tuple[Path, str]]:
    """A tablespace on a disk of its own: the disk, and its name, as all tests at the server have one list of them."""
    name = f"small_{uuid4().hex}"
    with small_disk(24) as folder, psycopg.connect(admin_url, autocommit=True) as admin:
        data = admin.execute("SHOW data_directory").fetchone()
        assert data
        owner = Path(data[0]).stat()
        os.chown(folder, owner.st_uid, owner.st_gid)
        admin.execute(f"CREATE TABLESPACE {name} LOCATION '{folder}'".encode())
        try:
            yield folder, name
        finally:
            admin.execute(f"DROP TABLESPACE {name}".encode())


@pytest.mark.parametrize("table", ["dagster.event_logs", "landing.documents"])
def test_a_full_disk_is_one_clear_message(table: str, bl: Bl, postgres: Postgres, templates: tuple[str, str]) -> None:
    """The state of the store has the same reason.

    Caught: Dagster's statement, with all that it was to store, stood before it; the state's reason was only that the
    log says why.

    Planted: an engine of Dagster's that shows parameters; Dagster's own words on standard error.
    """
    with small_tablespace(postgres.admin_url) as (disk, name), postgres.database(templates[0]) as url:
        with psycopg.connect(url) as connection:
            connection.execute(f"ALTER TABLE {table} SET TABLESPACE {name}".encode())
        filled = fill(disk, but=20_000)

        result = expect(bl("sync", BL_DATABASE_URL=url), 1)

        said = [line for line in result.stderr.splitlines() if not line.startswith(("Fetching", "  "))]
        assert said[0].startswith("Error: Postgres has no room left: "), result.stderr
        assert said[1:] == ["What was stored is kept. Make room, and try again."], result.stderr

        if table == "landing.documents":  # else the run has not begun
            reason = json_of(bl("status", "--json", BL_DATABASE_URL=url))["reason"]
            assert "Postgres has no room left: " in reason
        filled.unlink()
        expect(bl("sync", BL_DATABASE_URL=url), 0)


def test_a_full_disk_is_named_if_the_embedded_postgres_cannot_start(bl: Bl) -> None:
    """Its log has no room for the reason. Caught: the last lines of that log, of an earlier shutdown, were all."""
    with small_disk(100) as disk:
        home = disk / "home"
        acquire(home).close()
        wait_until(lambda: is_stopped(home))
        filled = fill(disk)

        for command in ("status", "sync"):
            said = expect(bl(command, BL_HOME=str(home), BL_DATABASE_URL=""), 6).stderr
            assert f"The disk of {home}/postgres is full: 0.0 MB are free." in said
            assert "shut down" not in said

        filled.unlink()
        wait_until(lambda: is_stopped(home))
        acquire(home).close()
        wait_until(lambda: is_stopped(home))


def test_a_full_disk_is_named_if_it_ends_the_embedded_postgres(bl: Bl, server: SandboxServer) -> None:
    """Its log of changes has no room. Caught: the connection was lost, and `bl doctor` was to say why."""
    with small_disk(120) as disk:
        home = disk / "home"
        filled: list[Path] = []

        def end_postgres(_request: object) -> None:
            if not filled:
                filled.append(fill(disk))
                with suppress(psycopg.Error), psycopg.connect(lease.url, autocommit=True) as connection:
                    for _ in range(1000):
                        connection.execute("SELECT pg_logical_emit_message(false, '', repeat(' ', 1000000))")

        with acquire(home) as lease:
            server.on_request = end_postgres
            said = expect(bl("sync", BL_HOME=str(home), BL_DATABASE_URL=""), 6).stderr
            assert f"Error: The disk of {home}/postgres is full: " in said
            filled[0].unlink()
        wait_until(lambda: is_stopped(home))


def test_a_full_disk_is_named_if_it_refuses_the_connection() -> None:
    """Postgres writes a file at the start of a session. Caught: the advice was to look at BL_DATABASE_URL."""
    error = psycopg.OperationalError("connection failed: FATAL:  could not write init file: No space left on device")
    said = unreachable(make_url("postgresql://me:word@host/warehouse"), error)
    assert "host:5432/warehouse has no room left" in said
    assert "Make room" in said
    assert "BL_DATABASE_URL" not in said
