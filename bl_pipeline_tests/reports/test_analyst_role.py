"""docs/analyst-role.sql, by whoever may run it, for a warehouse whose user may do little else."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from bl_pipeline.postgres.binaries import installed
from bl_pipeline.reports.files import read_reports
from bl_pipeline.reports.views import install_reports
from bl_pipeline.settings import Settings, load_settings
from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline_tests.support.servers import Postgres

SCRIPT = Path(__file__).parents[2] / "docs" / "analyst-role.sql"


class Roles:
    """A database whose warehouse belongs to an ordinary user, and the name of an analyst."""

    def __init__(self, url: str) -> None:
        self.superuser = url
        self.seller, self.analyst = (f"test_{kind}_{uuid4().hex}" for kind in ("seller", "analyst"))
        with psycopg.connect(url) as connection:
            connection.execute(f"CREATE ROLE {self.seller} LOGIN PASSWORD 'sells'")
            connection.execute(f'GRANT CREATE ON DATABASE "{connection.info.dbname}" TO {self.seller}')
        head, _, tail = url.partition("://")
        self.settings: Settings = load_settings(
            env_file=None, bl_database_url=f"{head}://{self.seller}:sells@{tail.rpartition('@')[2]}"
        )
        with open_warehouse(self.settings):
            pass

    def run_script(self, url: str) -> subprocess.CompletedProcess[str]:
        """Run the script as that user."""
        folder, _ = next(installed(None))
        return subprocess.run(
            [folder / "psql", url, "-q", "-v", f"role={self.analyst}", "-v", "password=reads", "-f", SCRIPT],
            check=False, capture_output=True, text=True,
        )  # fmt: skip

    def read_every_report(self) -> None:
        """As the analyst; psycopg.errors.InsufficientPrivilege for a report that is denied."""
        url = make_conninfo(self.superuser, user=self.analyst, password="reads")
        with psycopg.connect(url) as connection:
            for report in read_reports():
                connection.execute(f"SELECT * FROM reports.{report.name} LIMIT 1")

    def upgrade(self) -> None:
        """Make all views again, as a release with other reports does."""
        with open_warehouse(self.settings) as warehouse, warehouse.engine.begin() as connection:
            views = ", ".join(f"reports.{report.name}" for report in read_reports())
            connection.exec_driver_sql(f"DROP VIEW {views} CASCADE")
            connection.exec_driver_sql("DELETE FROM sync.report_views")
            install_reports(connection)


@pytest.fixture
def roles(empty_database_url: str) -> Iterator[Roles]:
    roles = Roles(empty_database_url)
    yield roles
    with psycopg.connect(roles.superuser) as connection:
        for role in (roles.analyst, roles.seller):
            if connection.execute("SELECT FROM pg_roles WHERE rolname = %s", [role]).fetchone():
                connection.execute(f"DROP OWNED BY {role} CASCADE")
                connection.execute(f"DROP ROLE {role}")


@pytest.mark.slow
def test_a_superuser_makes_a_role_that_reads_what_an_upgrade_makes(roles: Roles) -> None:
    """Caught: rights for what the superuser makes, and not the warehouse's own user."""
    done = roles.run_script(roles.superuser)
    assert (done.returncode, done.stderr) == (0, "")
    roles.read_every_report()
    roles.upgrade()
    roles.read_every_report()


def test_the_warehouses_user_makes_it_if_it_may_make_roles(roles: Roles) -> None:
    """Caught: "permission denied to create role", and no word of who must run it."""
    seller = str(roles.settings.bl_database_url.get_secret_value()) if roles.settings.bl_database_url else ""
    refused = roles.run_script(seller)
    assert refused.returncode != 0
    assert "may not make roles: run this as a superuser of the server" in refused.stderr

    with psycopg.connect(roles.superuser) as connection:
        connection.execute(f"ALTER ROLE {roles.seller} CREATEROLE")
    for _ in range(2):
        done = roles.run_script(seller)
        assert done.returncode == 0, done.stderr
    roles.upgrade()
    roles.read_every_report()


def test_a_database_without_reports_is_named(postgres: Postgres, roles: Roles) -> None:
    with postgres.database() as empty:
        assert "there are no reports in this database" in roles.run_script(empty).stderr
