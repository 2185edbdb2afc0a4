"""A PgBouncer between the pipeline and a Postgres."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import make_url

from bl_pipeline_tests.support.waiting import wait_until

CONFIG = """
[databases]
* = host={host} port={target}

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users
pool_mode = {mode}
logfile = {folder}/log
"""


@contextmanager
def bouncer(url: str, mode: str, settings: str = "") -> Iterator[str]:
    """The same database by way of a PgBouncer with this pool mode, and more settings; it ends with the context."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("no pgbouncer is installed")
    target = make_url(url)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(tempfile.mkdtemp(prefix="bl-pipeline-bouncer-"))
    try:
        # It refuses to run as root.
        account = pwd.getpwnam("nobody").pw_uid if os.geteuid() == 0 else os.geteuid()
        os.chown(folder, account, -1)
        (folder / "users").write_text(f'"{target.username}" "{target.password}"\n')
        (folder / "ini").write_text(
            CONFIG.format(host=target.host, target=target.port, port=port, folder=folder, mode=mode) + settings
        )
        for file in folder.iterdir():
            file.chmod(0o600)
            os.chown(file, account, -1)
        process = subprocess.Popen(
            [program, str(folder / "ini")],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            user=account, cwd=folder,
        )  # fmt: skip
        through = target.set(port=port).render_as_string(hide_password=False)

        def answers() -> bool:
            assert process.poll() is None, (folder / "log").read_text()
            with suppress(psycopg.OperationalError):
                psycopg.connect(through).close()
                return True
            return False

        try:
            wait_until(answers)
            yield through
        finally:
            process.terminate()
            process.wait()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
