"""The Postgres of the tests: databases are copied from a template that has the tables already, and dropped."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import psycopg
from sqlalchemy.engine import make_url

from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse.database import DamagedWarehouse, open_warehouse

TEMPLATE = "bl_pipeline_template"
PASSWORD = "hunter2-do-not-show"
_MOST_SPACE = 4 << 30


def memory_folder() -> Path | None:
    """A folder in memory for the databases of the tests, if there is one with room for them.

    On a disk that others use, a copy of the template, which is hundreds of files, takes ten times as long.
    """
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and shutil.disk_usage(memory).free >= _MOST_SPACE else None


@dataclass(frozen=True)
class Postgres:
    """A server with a template of the warehouse; databases are copied from it and dropped."""

    admin_url: str = field(repr=False)

    def forget_at_a_crash(self) -> None:
        """Write to the disk whenever it suits: the data is thrown away anyway."""
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            for name in ("fsync", "synchronous_commit", "full_page_writes"):
                admin.execute(f"ALTER SYSTEM SET {name} = off")
            admin.execute("SELECT pg_reload_conf()")

    def prepare(self) -> None:
        """Make the template, if no other worker has."""

        def migrate(url: str) -> None:
            try:
                with open_warehouse(load_settings(env_file=None, bl_database_url=url)):
                    pass
            except DamagedWarehouse as error:
                missing = str(error).partition(". They were")[0]
                raise AssertionError(f"No migration makes them (CONTRIBUTING.md, Rules). {missing}") from None

        self.make_template(TEMPLATE, "template1", migrate)

    def make_template(self, name: str, template: str, fill: Callable[[str], None]) -> None:
        """Make a template from another by filling it, if no other worker has."""
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            admin.execute("SELECT pg_advisory_lock(hashtext('bl_pipeline_tests.template'))")
            if not admin.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchall():
                with self.database(template) as url:
                    fill(url)
                    admin.execute(f"CREATE DATABASE {name} TEMPLATE {url.rpartition('/')[2]}")

    @contextmanager
    def database(self, template: str = "template1") -> Iterator[str]:
        """The URL of a new database."""
        name = f"test_{uuid4().hex}"
        with psycopg.connect(self.admin_url, autocommit=True) as admin:
            # The cheaper way if nothing is kept: it writes no log.
            admin.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        try:
            yield self.admin_url.rpartition("/")[0] + f"/{name}"
        finally:
            with psycopg.connect(self.admin_url, autocommit=True) as admin:
                admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


def as_user(url: str, name: str) -> str:
    """The URL for another user, whose password is PASSWORD."""
    return make_url(url).set(username=name, password=PASSWORD).render_as_string(hide_password=False)
