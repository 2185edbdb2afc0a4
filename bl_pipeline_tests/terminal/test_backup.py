"""`bl backup` and `bl restore`: the whole warehouse into a file and back, or nothing is changed."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import threading
from pathlib import Path
from typing import Any

import psycopg
import pytest

from bl_pipeline.postgres.binaries import installed
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.terminal.conftest import BL, Bl, expect, json_of
from bl_pipeline_tests.terminal.test_reading_changes_nothing import migrated_to

pytestmark = pytest.mark.slow

SCHEMAS = ("landing", "sales", "sync", "books", "dagster")
Everything = dict[str, list[Any]]


def everything(url: str, *, but: str = "") -> Everything:
    """All rows of all tables of the warehouse."""
    with psycopg.connect(url) as connection:
        names = connection.execute(
            "SELECT format('%%I.%%I', schemaname, tablename) FROM pg_tables WHERE schemaname = ANY(%s)", [list(SCHEMAS)]
        ).fetchall()
        return {
            name: sorted(row for (row,) in connection.execute(f"SELECT t::text FROM {name} t"))
            for (name,) in names
            if name != but
        }


def test_a_backup_is_the_whole_warehouse(synced_bl: Bl, database_url: str, other_url: str, file: Path) -> None:
    """Planted: a schema left out; a file that others can read; a backup written over; no ANALYZE."""
    made = expect(synced_bl("backup", str(file)), 0).stdout
    assert re.search(r"12 orders with \d+ lots, ", " ".join(made.split()))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.iterdir() if path.suffix in (".zip", ".part")] == [file.name]
    written = file.read_bytes()
    assert "is left as it is" in " ".join(expect(synced_bl("backup", str(file)), 1).stderr.split())
    assert file.read_bytes() == written

    restored = expect(synced_bl("restore", str(file), BL_DATABASE_URL=other_url), 0).stdout
    assert "checked" in restored
    assert "12 orders" in " ".join(restored.split())
    assert everything(other_url) == everything(database_url)
    with psycopg.connect(other_url) as connection:
        never_counted = connection.execute(
            "SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND reltuples < 0 "
            "AND relnamespace::regnamespace::text = ANY(%s)",
            [list(SCHEMAS)],
        ).fetchall()
    assert never_counted == []
    reports = [
        json_of(expect(synced_bl("report", "revenue_by_month", "--json", BL_DATABASE_URL=url), 0))
        for url in (database_url, other_url)
    ]
    assert reports[0]
    assert reports[0] == reports[1]
    assert json_of(expect(synced_bl("sync", "--json", BL_DATABASE_URL=other_url), 0))["orders_skipped"] == 12


def test_orders_are_replaced_only_if_that_is_said(synced_bl: Bl, database_url: str, file: Path) -> None:
    """Planted: no look at what is there; calls made, or reserved by a process that died, since the backup forgotten,
    and so free again.
    """
    expect(synced_bl("doctor"), 0)
    before = everything(database_url, but="sync.api_calls")
    expect(synced_bl("backup", str(file)), 0)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE sales.orders SET total = 0")
        connection.execute("DELETE FROM sales.order_items")
        connection.execute(
            "INSERT INTO sync.api_calls (store, run_id, started_at, method, path) "
            "VALUES ('main', 'since', now(), 'GET', '/orders')"
        )
        for run_id, ago in (("killed", 0), ("killed long ago", 25)):
            connection.execute(
                "INSERT INTO sync.call_reservations (store, run_id, key_hash, calls, usable_until) "
                "SELECT 'main', %s, key_hash, 7, now() - interval '1 second' - make_interval(hours => %s) "
                "FROM sync.api_calls WHERE key_hash IS NOT NULL ORDER BY call_id DESC LIMIT 1",
                [run_id, ago],
            )
    changed = everything(database_url)
    calls = json_of(expect(synced_bl("status", "--json"), 0))["calls"]

    refused = " ".join(expect(synced_bl("restore", str(file)), 2).stderr.split())
    assert "has orders of: main. Nothing was changed." in refused
    assert f"bl restore --replace {file}" in refused
    assert everything(database_url) == changed

    # A backup that knows all of it: nothing counts twice.
    expect(synced_bl("backup", f"{file}.2"), 0)
    expect(synced_bl("restore", "--replace", f"{file}.2"), 0)
    assert everything(database_url) == changed

    expect(synced_bl("restore", "--replace", str(file)), 0)
    assert everything(database_url, but="sync.api_calls") == before
    assert json_of(expect(synced_bl("status", "--json"), 0))["calls"]["used"] == calls["used"]


def used(bl: Bl, key: str, url: str) -> int:
    """The calls that count for an API key."""
    return int(
        json_of(expect(bl("status", "--json", BRICKLINK_CONSUMER_KEY=key, BL_DATABASE_URL=url), 0))["calls"]["used"]
    )


def test_calls_count_for_their_api_key_after_a_restore(
    synced_bl: Bl, credentials: dict[str, str], other_url: str, database_url: str, file: Path
) -> None:
    """On a new installation, with a salt of its own: calls made before and after the backup, here and there.

    Planted: the key of the calls that stay forgotten, which then count for every key; the salt that they were hashed
    with lost, so that they count for none.
    """
    key = credentials["BRICKLINK_CONSUMER_KEY"]
    expect(synced_bl("doctor"), 0)
    in_backup = used(synced_bl, key, database_url)
    assert in_backup == 1
    expect(synced_bl("backup", str(file)), 0)
    expect(synced_bl("doctor", BL_DATABASE_URL=other_url), 0)
    expect(synced_bl("doctor", BL_DATABASE_URL=other_url, BRICKLINK_CONSUMER_KEY="another"), 5)
    assert (used(synced_bl, key, other_url), used(synced_bl, "another", other_url)) == (1, 1)

    for times in (1, 2):
        expect(synced_bl("restore", "--replace", str(file), BL_DATABASE_URL=other_url), 0)
        counted = {name: used(synced_bl, name, other_url) for name in (key, "another", "a third")}
        assert counted == {key: in_backup + times, "another": 1, "a third": 0}
        # This one is hashed with the first salt of two.
        expect(synced_bl("doctor", BL_DATABASE_URL=other_url), 0)
    with psycopg.connect(other_url) as connection:
        ((salts,),) = connection.execute("SELECT salt FROM sync.api_key_salt")
    assert len(salts.split()) == 2
    # And back, where it all began.
    expect(synced_bl("backup", f"{file}.2", BL_DATABASE_URL=other_url), 0)
    expect(synced_bl("restore", "--replace", f"{file}.2"), 0)
    assert used(synced_bl, key, database_url) == used(synced_bl, key, other_url)
    assert used(synced_bl, "another", database_url) == 1


def test_calls_stay_spent_after_a_backup_of_an_older_release(
    synced_bl: Bl, credentials: dict[str, str], other_url: str, database_url: str, file: Path,
    isolated: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Which knew no key of a call: it counts for every one, as unknown ones do. Planted: a column that is not there."""
    with isolated.context() as patch:
        patch.setenv("BL_DATABASE_URL", other_url)
        migrated_to("0003")
    expect(synced_bl("backup", str(file), BL_DATABASE_URL=other_url), 0)
    expect(synced_bl("doctor"), 0)
    with psycopg.connect(database_url) as connection:
        ((calls,),) = connection.execute("SELECT count(*) FROM sync.api_calls")
    expect(synced_bl("restore", "--replace", str(file)), 0)
    for key in (credentials["BRICKLINK_CONSUMER_KEY"], "another"):
        assert used(synced_bl, key, database_url) == calls


def test_a_sync_and_a_restore_keep_out_of_each_others_way(
    synced_bl: Bl, database_url: str, file: Path, other_url: str
) -> None:
    """A backup while rows are written is of one moment. Planted: the dump without the snapshot of the counts."""
    done = threading.Event()

    def write() -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("SELECT pg_advisory_lock(hashtextextended('bl_pipeline.sync:main', 0))")
            while not done.is_set():
                connection.execute(
                    "INSERT INTO landing.documents (store, platform, platform_order_id, kind, body, fetched_at, "
                    "run_id) SELECT 'main', 'bricklink', '1', 'order', '{}', now(), 'r' FROM generate_series(1, 20)"
                )

    writer = threading.Thread(target=write)
    writer.start()
    try:
        expect(synced_bl("backup", str(file)), 0)
        message = " ".join(expect(synced_bl("restore", "--replace", str(file)), 1).stderr.split())
        assert "A sync of store main is running, so nothing was changed." in message
    finally:
        done.set()
        writer.join()
    expect(synced_bl("restore", str(file), BL_DATABASE_URL=other_url), 0)
    assert len(everything(other_url)["landing.documents"]) < len(everything(database_url)["landing.documents"])


def test_killed_in_the_middle_nothing_is_changed(synced_bl: Bl, database_url: str, file: Path) -> None:
    """Planted: a restore in more than one transaction."""
    expect(synced_bl("backup", str(file)), 0)
    before = everything(database_url)
    with psycopg.connect(database_url) as reader:
        reader.execute("SELECT FROM sync.runs")  # the last schema to be dropped but one: its lock is waited for
        restore = subprocess.Popen([*BL, "restore", "--replace", str(file)])
        waiting = (
            "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        )
        with psycopg.connect(database_url, autocommit=True) as watch:
            while watch.execute(waiting).fetchone() == (0,):
                assert restore.poll() is None
        restore.send_signal(signal.SIGKILL)
        restore.wait()
    with psycopg.connect(database_url, autocommit=True) as watch:
        while watch.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'psql' AND datname = current_database()"
        ).fetchone() != (0,):
            pass
    assert everything(database_url) == before


def test_what_a_killed_backup_has_left_is_removed(synced_bl: Bl, file: Path, tmp_path: Path) -> None:
    """And not what another one is still writing. Planted: no removal; a removal without a look at the lock."""
    folder, _ = next(installed(None))
    (tmp_path / "bin").mkdir()
    for program in ("initdb", "postgres", "pg_restore", "psql"):
        (tmp_path / "bin" / program).symlink_to(folder / program)
    endless = tmp_path / "bin" / "pg_dump"
    endless.write_text("#!/bin/sh\nwhile echo dump; do sleep 0.1; done 2> /dev/null\n")
    endless.chmod(0o755)
    running = subprocess.Popen(
        [*BL, "backup", str(tmp_path / "endless.zip")], env={**os.environ, "BL_POSTGRES_BIN": str(tmp_path / "bin")}
    )
    try:
        while not (unfinished := list(tmp_path.glob(".*.part"))):
            assert running.poll() is None
        assert str(unfinished[0]) not in expect(synced_bl("backup", str(file)), 0).stdout.replace("\n", "")
        assert unfinished[0].exists()
    finally:
        running.kill()
        running.wait()
    said = expect(synced_bl("backup", str(tmp_path / "next.zip")), 0).stdout
    assert "was not completed" in " ".join(said.split())
    assert str(unfinished[0]) in said.replace("\n", "")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["backup.zip", "next.zip"]


@pytest.mark.parametrize(
    ("made", "name"),
    [
        ("CREATE VIEW public.mine AS SELECT total FROM sales.orders", "public.mine"),
        ("CREATE TABLE sales.mine AS SELECT total FROM sales.orders", "sales.mine"),
        (
            "CREATE TABLE public.mine AS SELECT store, platform, platform_order_id FROM sales.orders; ALTER TABLE "
            "public.mine ADD FOREIGN KEY (store, platform, platform_order_id) REFERENCES sales.orders",
            "public.mine",
        ),
    ],
    ids=["view", "table", "foreign key"],
)
def test_what_is_the_users_own_is_named_and_not_dropped(
    synced_bl: Bl, database_url: str, file: Path, made: str, name: str
) -> None:
    """Planted: only views looked for, where the others were gone without a word."""
    expect(synced_bl("backup", str(file)), 0)
    with psycopg.connect(database_url) as connection:
        connection.execute(made)
    assert name in " ".join(expect(synced_bl("restore", "--replace", str(file)), 2).stderr.split())
    with psycopg.connect(database_url) as connection:
        assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (12,)


def test_a_backup_of_a_server_that_is_not_there_says_so(bl: Bl, file: Path) -> None:
    url = "postgresql://nobody@127.0.0.1:1/nothing"
    said = expect(bl("backup", str(file), BL_DATABASE_URL=url), 6).stderr
    assert "cannot be reached" in " ".join(said.split())
    assert not file.exists()


def test_no_password_is_on_a_command_line(
    synced_bl: Bl, database_url: str, other_url: str, file: Path, tmp_path: Path
) -> None:
    """Planted: the URL given as it is."""
    folder, _ = next(installed(None))
    (tmp_path / "bin").mkdir()
    for program in ("initdb", "postgres", "pg_dump", "pg_restore", "psql"):
        wrapper = tmp_path / "bin" / program
        wrapper.write_text(f'#!/bin/sh\necho "{program} $@" >> {tmp_path}/log\nexec {folder / program} "$@"\n')
        wrapper.chmod(0o755)
    binaries = str(tmp_path / "bin")
    expect(synced_bl("backup", str(file), BL_POSTGRES_BIN=binaries), 0)
    expect(synced_bl("restore", str(file), BL_POSTGRES_BIN=binaries, BL_DATABASE_URL=other_url), 0)
    log = (tmp_path / "log").read_text()
    assert {line.split()[0] for line in log.splitlines()} >= {"pg_dump", "pg_restore", "psql"}
    password = psycopg.conninfo.conninfo_to_dict(database_url)["password"]
    assert str(password) not in log


def test_programs_that_are_too_old_are_named(synced_bl: Bl, postgres_15: Postgres, file: Path) -> None:
    old = "/usr/lib/postgresql/15/bin"
    if not Path(old).exists():
        pytest.skip("no programs of Postgres 15")
    message = " ".join(expect(synced_bl("backup", str(file), BL_POSTGRES_BIN=old), 1).stderr.split())
    assert "of PostgreSQL 18 or newer" in message
    assert f"15.{message.partition('15.')[2].split()[0]} in {old}" in message
    assert not file.exists()


def test_a_backup_goes_from_a_new_postgres_to_an_old_one_and_back(
    synced_bl: Bl, database_url: str, other_url: str, postgres_15: Postgres, file: Path, tmp_path: Path
) -> None:
    """Planted: a setting that only the new one knows."""
    before = everything(database_url)
    expect(synced_bl("backup", str(file)), 0)
    with postgres_15.database() as url_15:
        expect(synced_bl("restore", str(file), BL_DATABASE_URL=url_15), 0)
        assert everything(url_15) == before
        expect(synced_bl("backup", str(tmp_path / "of-15.zip"), BL_DATABASE_URL=url_15), 0)
    expect(synced_bl("restore", str(tmp_path / "of-15.zip"), BL_DATABASE_URL=other_url), 0)
    assert everything(other_url) == before


def test_an_empty_database_has_nothing_to_back_up(bl: Bl, other_url: str, file: Path) -> None:
    assert "nothing was synced yet" in expect(bl("backup", str(file), BL_DATABASE_URL=other_url), 1).stderr
    assert not file.exists()
