"""The embedded Postgres, with real servers, real kills and nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from bl_pipeline.postgres.accounts import as_account, server_account
from bl_pipeline.postgres.binaries import candidates, installed, major
from bl_pipeline.postgres.cluster import EmbeddedPostgresError
from bl_pipeline.postgres.embedded import acquire
from bl_pipeline_tests.support.clusters import (
    answers,
    ask,
    cluster,
    execute,
    first_line,
    is_alive,
    is_stopped,
    keeper,
    kill,
    lease_in_process,
    new_home,
    postmaster,
)
from bl_pipeline_tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

IS_ROOT = os.geteuid() == 0
as_root = pytest.mark.skipif(not IS_ROOT, reason="is about what root does")
SYSTEM = sorted(Path("/usr/lib/postgresql").glob("*/bin"))


@pytest.fixture
def home() -> Iterator[Path]:
    with new_home() as path:
        yield path


@pytest.mark.parametrize("binaries", [None, *SYSTEM], ids=lambda path: path.parent.name if path else "wheel")
def test_a_first_lease_makes_a_database_for_the_seller(home: Path, binaries: Path | None) -> None:
    with acquire(home, binaries=binaries) as lease:
        url = urlsplit(lease.url)
        assert (url.scheme, url.username, url.hostname, url.path) == (
            "postgresql",
            "bl_pipeline",
            "127.0.0.1",
            "/bl_pipeline",
        )
        assert url.port
        assert url.password
        assert len(url.password) >= 24
        assert ask(lease, "SELECT current_database()") == "bl_pipeline"
        for name, value in {
            "server_encoding": "UTF8",
            "TimeZone": "UTC",
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": "",
            "synchronous_commit": "on",
            "fsync": "on",
            "jit": "off",
            "data_checksums": "on",
        }.items():
            assert (name, ask(lease, f"SELECT current_setting('{name}')")) == (name, value)
        assert ask(lease, "SELECT lower('ÉCOLE')") == "école"
        assert ask(lease, "SELECT 'Z' < 'a'") is True
        if binaries:
            version = "".join(filter(str.isdigit, binaries.parent.name))
            assert str(ask(lease, "SHOW server_version")).startswith(version)


def test_only_the_password_opens_it_and_it_is_shown_to_nobody(home: Path) -> None:
    with acquire(home) as lease:
        secret = urlsplit(lease.url).password or ""
        methods = ask(lease, "SELECT array_agg(DISTINCT auth_method) FROM pg_hba_file_rules")
        assert methods == ["scram-sha-256"]
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(lease.url.replace(secret, "guess"))
        file = home / "postgres" / "password"
        assert (file.read_text(), stat.S_IMODE(file.stat().st_mode)) == (secret, 0o600)
        assert file.stat().st_uid == os.geteuid()
        assert secret not in repr(lease)
        assert secret not in (home / "postgres" / "server.log").read_text()
        data = home / "postgres" / "data"
        assert stat.S_IMODE(data.stat().st_mode) == 0o700
        assert (data.stat().st_uid == os.geteuid()) is not IS_ROOT


def test_neither_rows_nor_credentials_reach_the_log_or_the_server(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRICKLINK_TOKEN_SECRET", "the-token-secret")
    with acquire(home) as lease:
        with pytest.raises(psycopg.DataError):
            ask(lease, "SELECT 'Jane Buyer'::int")
        with psycopg.connect(lease.url) as connection:
            connection.execute("CREATE TEMP TABLE environment (line text)")
            connection.execute("COPY environment FROM PROGRAM 'env'")
            lines = {line for (line,) in connection.execute("SELECT line FROM environment")}
        assert any(line.startswith("PATH=") for line in lines)
        assert not any("the-token-secret" in line for line in lines)
        assert "Jane Buyer" not in (home / "postgres" / "server.log").read_text()


def test_it_stops_with_the_last_lease_and_comes_back_as_it_was(home: Path) -> None:
    first = acquire(home)
    second = acquire(home)
    assert second.url == first.url
    execute(first, "CREATE TABLE kept AS SELECT 1.2345::numeric(19, 4) AS price")
    with psycopg.connect(first.url) as connection:
        pids = [pid for (pid,) in connection.execute("SELECT pid FROM pg_stat_activity")]
    pids += [postmaster(home)]
    first.close()
    first.close()
    time.sleep(2)  # longer than a server outlives its last lease
    assert answers(second)
    second.close()
    wait_until(lambda: is_stopped(home))
    wait_until(lambda: not any(map(is_alive, pids)))
    with acquire(home) as again:
        assert again.url == first.url
        assert str(ask(again, "SELECT price FROM kept")) == "1.2345"


def test_one_command_right_after_another_finds_it_running(home: Path) -> None:
    """Most times: on a busy machine the next command may come too late."""

    def still_there() -> bool:
        acquire(home).close()
        server = cluster(home).postmaster()
        with acquire(home):
            return server is not None and cluster(home).postmaster() == server

    wait_until(still_there)


def test_a_holder_killed_has_let_go_and_so_have_its_forked_children(home: Path) -> None:
    fork = "child = os.fork()\nif not child:\n    time.sleep(600)\nprint(child, flush=True)"
    holder = lease_in_process(home, fork)
    child = int(first_line(holder))
    first_line(holder)
    assert is_alive(child)
    try:
        holder.kill()
        holder.wait()
        wait_until(lambda: is_stopped(home))
    finally:
        os.kill(child, signal.SIGKILL)  # fails if the child is gone, which would prove nothing
        holder.communicate()


def test_six_processes_at_once_get_one_server(home: Path) -> None:
    holders = [lease_in_process(home, 'print(os.stat(Path(sys.argv[1], "postgres/data")).st_ino)') for _ in range(6)]
    try:
        seen = {(first_line(holder), first_line(holder)) for holder in holders}
        assert len(seen) == 1
        started = (home / "postgres" / "server.log").read_text().count("ready to accept connections")
        assert started == 1
    finally:
        for holder in holders:
            kill(holder)


def test_a_killed_server_is_back_on_its_port_beside_a_busy_orphan(home: Path) -> None:
    with acquire(home) as lease:
        execute(lease, "CREATE TABLE kept AS SELECT 7 AS lot")
        dead = postmaster(home)

        def be_busy() -> None:
            with suppress(psycopg.OperationalError):
                ask(lease, "SELECT count(*) FROM (SELECT generate_series(1, 1e12::bigint)) AS n")

        busy = threading.Thread(target=be_busy)
        busy.start()
        running = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%1e12%' AND pid <> pg_backend_pid()"
        wait_until(lambda: bool(ask(lease, running) == 1))
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda: (cluster(home).postmaster() or (dead,))[0] != dead and answers(lease))
        busy.join(timeout=120)
        assert not busy.is_alive()
        assert ask(lease, "SELECT lot FROM kept") == 7


def test_a_killed_keeper_is_replaced_and_the_server_taken_over(home: Path) -> None:
    with acquire(home) as first:
        server, dead = postmaster(home), keeper(home)
        os.kill(dead, signal.SIGKILL)
        wait_until(lambda: not cluster(home).has_keeper())
        with acquire(home) as second:
            assert second.url == first.url
            assert (postmaster(home), keeper(home) != dead) == (server, True)
    wait_until(lambda: is_stopped(home))
    wait_until(lambda: not is_alive(server))


def test_a_server_that_was_taken_over_is_started_again_too(home: Path) -> None:
    """The keeper is not its parent, and has to notice its end all the same."""
    with acquire(home) as lease:
        os.kill(keeper(home), signal.SIGKILL)
        wait_until(lambda: not cluster(home).has_keeper())
        with acquire(home):
            dead = postmaster(home)
            os.kill(dead, signal.SIGKILL)
            wait_until(lambda: (cluster(home).postmaster() or (dead,))[0] != dead and answers(lease))


def test_after_a_killed_keeper_and_its_server_the_next_use_starts_both(home: Path) -> None:
    """Also while another process, which had a lease then, still has it."""
    with acquire(home) as first:
        for pid in (keeper(home), postmaster(home)):
            os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not cluster(home).has_keeper() and not answers(first))
        with acquire(home) as second:
            assert (second.url, answers(first)) == (first.url, True)


def test_ctrl_c_in_the_terminal_ends_the_holder_and_not_the_server(home: Path) -> None:
    with lease_in_process(home, start_new_session=True) as holder:
        first_line(holder)
        with acquire(home) as lease:
            os.killpg(holder.pid, signal.SIGINT)
            assert holder.wait() != 0
            assert answers(lease)


def test_a_stale_note_with_the_id_of_a_living_process_does_not_hinder(home: Path) -> None:
    with acquire(home) as lease:
        account = server_account(cluster(home))
        server, note = postmaster(home), home / "postgres" / "data" / "postmaster.pid"
        os.kill(keeper(home), signal.SIGKILL)
        os.kill(server, signal.SIGKILL)
        wait_until(lambda: not cluster(home).has_keeper() and not answers(lease))
    bystander = subprocess.Popen(as_account(account, ["/bin/sleep", "600"]))
    try:
        note.write_text(note.read_text().replace(str(server), str(bystander.pid), 1))
        with acquire(home) as lease:
            assert answers(lease)
    finally:
        bystander.kill()
        bystander.wait()


def test_another_server_on_its_port_is_not_taken_for_it(home: Path) -> None:
    acquire(home).close()
    wait_until(lambda: is_stopped(home))
    copy = Path(tempfile.mkdtemp(prefix="bl-pipeline-test-"))
    try:
        # The hardest case: the other has the same password, port and system identifier.
        shutil.copytree(home, copy, dirs_exist_ok=True)
        owner = (home / "postgres" / "data").stat()
        for path in [copy / "postgres" / "data", *(copy / "postgres" / "data").rglob("*")]:
            os.chown(path, owner.st_uid, owner.st_gid)
        with acquire(home) as lease:
            shutil.copy(home / "postgres" / "data" / "postmaster.pid", copy / "postgres" / "data")
            os.chown(copy / "postgres" / "data" / "postmaster.pid", owner.st_uid, owner.st_gid)
            with acquire(copy) as other:
                assert urlsplit(other.url).port != urlsplit(lease.url).port
                assert ask(other, "SHOW data_directory") == str(copy / "postgres" / "data")
                assert answers(lease)
        wait_until(lambda: is_stopped(copy))
    finally:
        shutil.rmtree(copy)


def test_a_port_taken_meanwhile_is_given_up_for_another(home: Path) -> None:
    first = acquire(home)
    first.close()
    wait_until(lambda: is_stopped(home))
    with socket.create_server(("127.0.0.1", urlsplit(first.url).port or 0)), acquire(home) as second:
        assert second.url != first.url
        assert answers(second)
        assert int((home / "postgres" / "port").read_text()) == urlsplit(second.url).port


def test_data_cut_off_in_the_making_are_made_anew(home: Path) -> None:
    holder = lease_in_process(home)
    wait_until(lambda: any((home / "postgres").glob("tmp-*/data/PG_VERSION")))
    kill(holder)
    assert not (home / "postgres" / "data").exists()
    with acquire(home) as lease:
        assert answers(lease)
    # initdb outlives its parent: what it was still writing is cleared away by the next start.
    wait_until(lambda: is_stopped(home))
    with acquire(home) as lease:
        assert answers(lease)
        assert not list((home / "postgres").glob("tmp-*"))


def test_it_ends_when_its_home_is_removed(home: Path) -> None:
    """At the latest with its last lease; before that Postgres itself looks for its files once a minute."""
    with acquire(home):
        server = postmaster(home)
        while home.exists():  # the server makes and removes files meanwhile
            shutil.rmtree(home, ignore_errors=True)
    wait_until(lambda: not is_alive(server))
    home.mkdir()


def test_data_of_another_version_are_refused_with_advice(home: Path) -> None:
    cluster(home).data.mkdir(parents=True)
    (cluster(home).data / "PG_VERSION").write_text("9\n")
    with pytest.raises(
        EmbeddedPostgresError,
        match=r"(?s)PostgreSQL 9, .*Nothing is lost.*postgresql-9.*upgrade-postgres",
    ):
        acquire(home)


def test_a_server_that_cannot_start_says_why(home: Path) -> None:
    acquire(home).close()
    wait_until(lambda: is_stopped(home))
    (home / "postgres" / "data" / "global" / "pg_control").unlink()
    with pytest.raises(EmbeddedPostgresError, match=r"(?s)does not start.*pg_control") as caught:
        acquire(home)
    assert (home / "postgres" / "password").read_text() not in str(caught.value)
    assert is_stopped(home)


def test_a_lost_password_is_replaced_and_no_data_are_lost(home: Path) -> None:
    """Caught: "move that folder away to begin anew"."""
    with acquire(home) as lease:
        execute(lease, "CREATE TABLE kept AS SELECT 7 AS lot")
        lost = cluster(home).password.read_text()
    wait_until(lambda: is_stopped(home))
    cluster(home).password.unlink()
    with acquire(home) as lease:
        assert ask(lease, "SELECT lot FROM kept") == 7
        file = cluster(home).password
        assert (file.read_text() != lost, stat.S_IMODE(file.stat().st_mode)) == (True, 0o600)
        assert file.read_text() not in cluster(home).log.read_text()


def test_a_lost_password_that_cannot_be_replaced_is_named(home: Path) -> None:
    cluster(home).data.mkdir(parents=True)
    (cluster(home).data / "PG_VERSION").write_text(f"{major(next(installed(None))[1])}\n")
    with pytest.raises(EmbeddedPostgresError, match=r"Nothing else is lost: leave .* as it is"):
        acquire(home)


def test_a_setting_without_binaries_is_refused(home: Path) -> None:
    with pytest.raises(EmbeddedPostgresError, match=f"No PostgreSQL 15 or newer in {home}"):
        acquire(home, binaries=home)


def test_a_home_that_cannot_be_is_refused(home: Path) -> None:
    (home / "file").touch()
    with pytest.raises(EmbeddedPostgresError, match=r"Set BL_HOME"):
        acquire(home / "file")


@as_root
def test_binaries_below_a_closed_folder_are_copied_into_the_home(home: Path) -> None:
    closed = home / "closed"
    source = next(candidates(None)).parent
    libraries = source.parent.parent / f"{source.parent.name}.libs"
    shutil.copytree(source, closed / source.parent.name / source.name)
    if libraries.exists():
        shutil.copytree(libraries, closed / libraries.name)
    closed.chmod(0o700)
    binaries = closed / source.parent.name / source.name / "bin"
    with acquire(home, binaries=binaries) as lease:
        assert answers(lease)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    copies = list((home / "postgres" / "binaries").rglob("postgres"))
    assert [copy for copy in copies if copy.is_file()]
    wait_until(lambda: is_stopped(home))
    made = (home / "postgres" / "binaries").stat().st_ino
    with acquire(home, binaries=binaries) as lease:
        assert answers(lease)
    assert (home / "postgres" / "binaries").stat().st_ino == made


@as_root
def test_a_home_below_a_closed_folder_is_refused_and_the_folder_left_closed(home: Path) -> None:
    (home / "closed").mkdir(mode=0o700)
    with pytest.raises(EmbeddedPostgresError, match=rf"cannot enter {home}.*: set BL_HOME to a folder outside"):
        acquire(home / "closed" / "home")
    assert stat.S_IMODE((home / "closed").stat().st_mode) == 0o700
