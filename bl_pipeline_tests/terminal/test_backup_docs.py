"""docs/operating.md's backup and restore, as a user would run them: each block of commands, in the page's order."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest

from bl_pipeline.postgres.binaries import installed
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.terminal.conftest import Bl
from bl_pipeline_tests.terminal.test_backup import everything

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs" / "operating.md").read_text()
ANALYST = f"test_analyst_{uuid4().hex}"


def commands() -> list[str]:
    """The blocks of the two sections, and the line for cron as a shell gets it."""
    part = PAGE[PAGE.index("## Back up\n") : PAGE.index("## The history of runs\n")]
    blocks = re.findall(r"```(?:sh)?\n(.*?)```", part, re.DOTALL)
    return [block.replace("15 4 * * * ", "").replace("\\%", "%") for block in blocks]


def test_each_command_works(synced_bl: Bl, database_url: str, postgres: Postgres, tmp_path: Path) -> None:
    """Caught: 26 errors "role analyst does not exist"; a variable that is not set; a file that is not there."""
    folder, _ = next(installed(None))
    home = tmp_path / "user"
    (home / "bl_pipeline").mkdir(parents=True)
    (home / "backups").mkdir()
    for name in (".venv", "docs"):
        (home / "bl_pipeline" / name).symlink_to(PROJECT / name)
    shell = {**os.environ, "HOME": str(home), "PATH": f"{folder}:{os.environ['PATH']}"}

    def run(block: str, **variables: str) -> str:
        block = block.replace("role=analyst", f"role={ANALYST}")
        done = subprocess.run(
            ["/bin/bash", "-euc", block],
            cwd=home / "bl_pipeline", env={**shell, **variables}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (block, done.stdout, done.stderr)
        assert "error" not in done.stderr.lower(), done.stderr
        return done.stdout

    backup, cron, restore, replace, dump, load, unzip = commands()
    with postgres.database() as fresh, postgres.database() as loaded:
        run(backup)
        run(cron)
        assert len(list((home / "backups").glob("warehouse-20??-??-??.zip"))) == 1
        before = everything(database_url)
        assert run(restore, BL_DATABASE_URL=fresh).startswith("Restored from the backup of")
        assert everything(fresh)["sales.orders"] == before["sales.orders"]
        run(replace)
        assert everything(database_url) == before
        with psycopg.connect(database_url) as connection:
            # As with the role of an analyst who is not known on the new server.
            connection.execute(f"CREATE ROLE {ANALYST}_old")
            connection.execute(f"GRANT USAGE ON SCHEMA reports TO {ANALYST}_old")
        run(dump)
        with psycopg.connect(database_url) as connection:
            connection.execute(f"DROP OWNED BY {ANALYST}_old")
            connection.execute(f"DROP ROLE {ANALYST}_old")
        run(load, NEW_DATABASE_URL=loaded)
        assert everything(loaded) == before
        assert "TABLE DATA sales orders" in run(unzip)
        with psycopg.connect(loaded) as connection:
            connection.execute(f"DROP OWNED BY {ANALYST}")
            connection.execute(f"DROP ROLE {ANALYST}")
