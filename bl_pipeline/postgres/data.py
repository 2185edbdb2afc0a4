"""The data of the embedded Postgres, and the password of its user: how they are made."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from pathlib import Path

from bl_pipeline.postgres.accounts import Account, run_as
from bl_pipeline.postgres.cluster import ELSEWHERE, NAME, Cluster, EmbeddedPostgresError


def make_data(cluster: Cluster, folder: Path, release: int, account: Account | None) -> None:
    """Make the data with the `initdb` in `folder`, which is of this major version, as this account.

    The user gets the password that is in its file, or a new one. All is made in another place and then renamed, so it
    is complete or not there. Raises EmbeddedPostgresError with what initdb says.
    """
    # Unicode letters in either case, sorted by code point. Before 17 that takes a locale of the system.
    builtin = ["--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"]
    locales = [builtin] if release >= 17 else [["--locale=C.UTF-8"], ["--locale=C"]]
    work = Path(tempfile.mkdtemp(prefix="tmp-", dir=cluster.root))
    try:
        data, password = work / "data", work / "password"
        data.mkdir(mode=0o700)
        password.touch(mode=0o600)
        given = cluster.password.read_text() if cluster.password.exists() else ""
        password.write_text(given or secrets.token_urlsafe(24))
        if account:  # while initdb runs, it may enter the folder and owns what is in it
            work.chmod(0o711)
            os.chown(data, *account)
            os.chown(password, *account)
        for locale in locales:
            done = run_as(
                account,
                [
                    str(folder / "initdb"),
                    f"--pgdata={data}",
                    f"--username={NAME}",
                    f"--pwfile={password}",
                    "--auth=scram-sha-256",
                    "--encoding=UTF8",
                    "--data-checksums",
                    *locale,
                ],
            )
            if done.returncode == 0:
                break
        else:
            lines = "\n  ".join(done.stdout.splitlines()[-15:])
            raise EmbeddedPostgresError(
                f"The embedded Postgres cannot make its data in {cluster.root}:\n  {lines}\n"
                f"Repair what it names, or {ELSEWHERE}."
            )
        os.chown(password, os.geteuid(), os.getegid())
        password.rename(cluster.password)
        data.rename(cluster.data)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    descriptor = os.open(cluster.root, os.O_RDONLY)
    try:
        os.fsync(descriptor)  # else a power failure could undo the rename, and the data would be removed as a leftover
    finally:
        os.close(descriptor)


def renew_password(cluster: Cluster, folder: Path, account: Account | None) -> None:
    """Give the user of a server that does not run a new password. The owner of the data needs none to do that.

    Raises EmbeddedPostgresError if the data do not allow it.
    """
    password = secrets.token_urlsafe(24)
    done = run_as(
        account,
        [str(folder / "postgres"), "--single", "-j", "-D", str(cluster.data), "postgres"],
        typed=f"ALTER ROLE {NAME} PASSWORD '{password}';\n\n",
    )
    if done.returncode != 0 or "ERROR" in done.stdout:
        raise EmbeddedPostgresError(
            f"The password of the embedded Postgres, {cluster.password}, is gone, and a new one cannot be set. Nothing "
            f"else is lost: leave {cluster.data} as it is, and put the file back from a copy of its folder."
        )
    work = cluster.root / "tmp-password"
    work.touch(mode=0o600)
    work.write_text(password)
    work.rename(cluster.password)
