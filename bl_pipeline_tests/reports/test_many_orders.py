"""A hundred thousand orders with half a million items: how long each report takes."""

from __future__ import annotations

import sys
import time

import pytest
from sqlalchemy import Connection, text

from bl_pipeline.reports.files import read_reports, reports_as_of
from bl_pipeline.reports.reading import count_rows
from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline_tests.support.many_orders import fill
from bl_pipeline_tests.support.servers import TEMPLATE, Postgres

pytestmark = pytest.mark.slow

ORDERS = 100_000
MOST_SECONDS = 30.0
"""On two busy cores; quiet ones take a fifth."""


def seconds_to_read(connection: Connection, relation: str) -> float:
    """How long Postgres takes for every row and column, without sending them."""
    started = time.perf_counter()
    connection.execute(text(f"EXPLAIN (ANALYZE, TIMING OFF) SELECT * FROM reports.{relation}")).all()
    return time.perf_counter() - started


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_each_report_is_read_while_its_reader_waits(postgres: Postgres, capsys: pytest.CaptureFixture[str]) -> None:
    """And so is each as of the end of it all, when most is known. Figures are printed."""
    with (
        postgres.database(TEMPLATE) as url,
        open_warehouse(load_settings(env_file=None, bl_database_url=url, bl_store="main")) as warehouse,
    ):
        with warehouse.engine.begin() as connection:
            fill(connection, ORDERS)
        with warehouse.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
        figures = []
        past = {report.name for report in reports_as_of(read_reports())}
        for report in read_reports():
            with warehouse.engine.begin() as connection:
                rows = count_rows(connection, warehouse.store, report)
                figures.append((report.name, rows, seconds_to_read(connection, report.name)))
                if report.name in past:
                    figures.append(
                        (f"{report.name}_as_of", rows, seconds_to_read(connection, f"{report.name}_as_of('infinity')"))
                    )
    with capsys.disabled():
        for name, rows, seconds in figures:
            sys.stdout.write(f"{name:34} {rows:>9,} rows, read in {seconds:5.2f} s\n")
    assert len(figures) > 50
    assert not [name for name, *_, seconds in figures if seconds > MOST_SECONDS]


def test_a_small_one_of_the_kind_adds_up(postgres: Postgres) -> None:
    """What the long test measures are real reports: a thousand orders of the same kind add up."""
    with (
        postgres.database(TEMPLATE) as url,
        open_warehouse(load_settings(env_file=None, bl_database_url=url, bl_store="main")) as warehouse,
        warehouse.engine.begin() as connection,
    ):
        fill(connection, 1000)
        revenue, items = connection.execute(
            text(
                """
                SELECT sum(revenue), sum(items_total) FROM reports.revenue_by_month WHERE basis = 'order_date'
                """
            )
        ).one()
        assert revenue == connection.scalar(
            text("SELECT sum(final_total) FROM sales.orders WHERE status NOT IN ('cancelled', 'problem')")
        )
        assert items == connection.scalar(text("SELECT sum(items_total) FROM reports.revenue_by_item"))
        assert connection.scalar(text("SELECT count(*) FROM sales.order_items")) > 4500
        assert connection.scalar(text("SELECT count(*) FROM sales.order_status_history")) > 1500
