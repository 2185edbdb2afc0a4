"""docs/analysts.md does what it says, and the dictionary is current."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import text

from bl_pipeline.postgres.binaries import candidates
from bl_pipeline.reports import views
from bl_pipeline.reports.files import read_reports
from bl_pipeline_tests.reports.conftest import Kept

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "analysts.md").read_text()
# Roles are the server's, and the workers share it: each needs its own.
ROLE = f"test_analyst_{uuid4().hex}"


def blocks(language: str) -> list[str]:
    """The examples in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def reports_url(kept: Kept) -> Iterator[str]:
    """The warehouse's address for the analyst's role, which the script has made: twice, as one may."""
    owner = kept.warehouse.engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    folder = next(folder for folder in candidates(None) if (folder / "psql").exists())
    for password in ("first", "it's-2nd"):
        subprocess.run(
            [folder / "psql", owner, "-q", "-v", f"role={ROLE}", "-v", f"password={password}", "-f",
             DOCS / "analyst-role.sql"],
            check=True, capture_output=True,
        )  # fmt: skip
    url = kept.warehouse.engine.url.set(drivername="postgresql", username=ROLE, password="it's-2nd")
    yield url.render_as_string(hide_password=False)
    with psycopg.connect(owner) as connection:
        connection.execute(f"DROP OWNED BY {ROLE}")
        connection.execute(f"DROP ROLE {ROLE}")


def test_the_role_reads_every_report(reports_url: str) -> None:
    with psycopg.connect(reports_url) as connection:
        for report in read_reports():
            connection.execute(f"SELECT * FROM {report.name} LIMIT 1")


def test_the_role_counts_buyers_that_came_back_without_their_names(reports_url: str, kept: Kept) -> None:
    with psycopg.connect(reports_url) as connection:
        found = connection.execute("SELECT buyer_key, count(*) FROM revenue_orders GROUP BY buyer_key").fetchall()
    expected = Counter(seen.order.buyer.name for seen in kept.books.revenue())
    assert sorted(number for key, number in found if key) == sorted(n for name, n in expected.items() if name)
    assert [number for key, number in found if key is None] == [n for name, n in expected.items() if name is None]
    assert max(number for key, number in found if key) > 1
    # A list of user names does not help: their plain hashes are not the keys.
    plain = {sha256(str(name).encode()).hexdigest()[:20] for name in expected}
    assert not plain & {key for key, _ in found}


def test_the_role_reads_them_after_an_upgrade_too(reports_url: str, kept: Kept) -> None:
    with kept.warehouse.engine.begin() as connection:
        views_of_ours = ", ".join(f"reports.{report.name}" for report in read_reports())
        connection.exec_driver_sql(f"DROP VIEW {views_of_ours} CASCADE")
        connection.exec_driver_sql("DELETE FROM sync.report_views")
        views.install_reports(connection)
    test_the_role_reads_every_report(reports_url)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT buyer_name FROM sales.orders",
        "SELECT body FROM landing.documents",
        "SELECT * FROM sync.runs",
        "SELECT salt FROM sync.buyer_salt",
        "COPY reports.revenue_by_month TO PROGRAM 'cat'",
        "SELECT pg_read_file('postgresql.conf')",
        "DROP VIEW reports.revenue_by_month",
        "CREATE TABLE reports.mine (n int)",
        "SET default_transaction_read_only = off; UPDATE sales.orders SET total = 0",
    ],
)
def test_the_role_does_nothing_else(reports_url: str, statement: str) -> None:
    with psycopg.connect(reports_url) as connection, pytest.raises(psycopg.Error) as refused:
        connection.execute(statement)
    assert isinstance(
        refused.value,
        psycopg.errors.InsufficientPrivilege | psycopg.errors.UndefinedTable | psycopg.errors.ReadOnlySqlTransaction,
    )


def test_no_report_names_a_buyer(kept: Kept) -> None:
    personal = set()
    for history in kept.books.history.values():
        buyer = history[-1].order.buyer
        address = buyer.address
        personal |= {buyer.name, buyer.email, address.full_name, address.address1, address.phone_number}
    personal.discard(None)
    with kept.warehouse.engine.connect() as connection:
        for report in read_reports():
            rows = connection.execute(text(f"SELECT * FROM reports.{report.name}"))
            shown = {value for row in rows for value in row if isinstance(value, str)}
            assert not shown & personal, report.name


def test_the_examples_of_sql_run(reports_url: str) -> None:
    examples = [statement for block in blocks("sql") for statement in block.split(";") if statement.strip()]
    assert len(examples) == 6
    with psycopg.connect(reports_url) as connection:
        for example in examples:
            assert connection.execute(example).fetchall(), example


def test_the_example_of_pandas_runs(reports_url: str) -> None:
    (example,) = blocks("python")
    done = subprocess.run(
        [sys.executable, "-c", example + "\nprint(table.dtypes)"],
        env={**os.environ, "REPORTS": reports_url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"EUR +decimal128\(\d+, 4\)\[pyarrow\]", done.stdout), done.stdout
