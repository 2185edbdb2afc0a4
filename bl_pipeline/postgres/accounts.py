"""The account that Postgres' server runs as, and how a program is run as it: root cannot run Postgres."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

from bl_pipeline.postgres.cluster import ELSEWHERE, Cluster, EmbeddedPostgresError

Account = tuple[int, int]  # user id, group id

UNPRIVILEGED = "nobody"
# What the server's processes are given of our environment: no credentials, no PG* variables.
ENVIRONMENT = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "PYTHONPATH", "PYTHONHOME", "TMPDIR")

_AS_ACCOUNT = """
import os, sys
os.setgroups([])
os.setgid(int(sys.argv[2]))
os.setuid(int(sys.argv[1]))
os.execv(sys.argv[3], sys.argv[3:])
"""


def as_account(account: Account | None, command: list[str]) -> list[str]:
    """The command, run as this account; unchanged if None. It begins with the program's full path.

    Not by subprocess' own `user`: that forks, and in a process with gRPC's threads, such as Dagster's, the child of a
    fork may crash before it runs the program.
    """
    if account is None:
        return command
    return [sys.executable, "-I", "-c", _AS_ACCOUNT, *(str(number) for number in account), *command]


def run_as(
    account: Account | None, command: list[str], *, output: int = subprocess.PIPE, typed: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end as this account, or as our own, without our secrets.

    It reads `typed`, and `output` takes all that it prints.
    """
    return subprocess.run(  # noqa: S603  (the command is made of our own paths)
        as_account(account, command),
        input=typed,
        stdout=output,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd="/",
        env={name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        start_new_session=True,  # Ctrl-C in the terminal is not meant for the server
    )


def server_account(cluster: Cluster) -> Account | None:
    """The account that runs the server: None for our own; for root the data's owner, for new data `nobody`.

    The account may enter the cluster's folder afterwards. Raises EmbeddedPostgresError if it cannot enter those above.
    """
    if os.geteuid() != 0:
        return None
    if cluster.data.exists() and cluster.data.stat().st_uid != 0:
        owner = cluster.data.stat()
        account = (owner.st_uid, owner.st_gid)
    else:
        try:
            entry = pwd.getpwnam(UNPRIVILEGED)
        except KeyError:
            raise EmbeddedPostgresError(
                f"Root cannot run Postgres, and there is no account {UNPRIVILEGED!r} to run it as: "
                f"use an ordinary account, or {ELSEWHERE}."
            ) from None
        account = (entry.pw_uid, entry.pw_gid)
    for folder in (*reversed(cluster.root.parents), cluster.root):
        if run_as(account, ["/bin/sh", "-c", 'test -x "$1"', "sh", str(folder)]).returncode == 0:
            continue
        if folder not in (cluster.root, cluster.root.parent):
            raise EmbeddedPostgresError(
                f"Root cannot run Postgres, and the account it is to run as cannot enter {folder}: "
                f"set BL_HOME to a folder outside it, such as /var/lib/bl_pipeline."
            )
        folder.chmod(folder.stat().st_mode | 0o111)
    return account
