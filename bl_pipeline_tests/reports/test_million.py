"""A million orders with five million items: each report is read within two seconds."""

from __future__ import annotations

import sys
import time

import pytest
from sqlalchemy import Connection, text

from bl_pipeline.reports import views
from bl_pipeline.reports.files import Report, read_reports
from bl_pipeline.reports.reading import count_rows
from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse.database import open_warehouse
from bl_pipeline_tests.conftest import TEMPLATE, Postgres
from bl_pipeline_tests.support.million import fill

pytestmark = pytest.mark.slow

MOST_SECONDS = 2.0


def seconds_to_read(connection: Connection, report: Report) -> float:
    """How long Postgres takes for every row and column, without sending them."""
    started = time.perf_counter()
    connection.execute(text(f"EXPLAIN (ANALYZE, TIMING OFF) SELECT * FROM reports.{report.name}")).all()
    return time.perf_counter() - started


@pytest.mark.full
@pytest.mark.timeout(1800)
def test_each_report_is_read_within_two_seconds(postgres: Postgres, capsys: pytest.CaptureFixture[str]) -> None:
    """The reports' assets refresh them first, as after a sync; figures are printed."""
    with (
        postgres.database(TEMPLATE) as url,
        open_warehouse(load_settings(_env_file=None, bl_database_url=url, bl_store="main")) as warehouse,
    ):
        with warehouse.engine.begin() as connection:
            fill(connection, 1_000_000)
        with warehouse.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("ANALYZE"))
        figures = []
        for report in read_reports():
            started = time.perf_counter()
            with warehouse.engine.begin() as connection:
                views.refresh(connection, report)
            with warehouse.engine.begin() as connection:
                rows = count_rows(connection, warehouse.store, report)
                refreshed = time.perf_counter() - started
                figures.append((report.name, rows, refreshed, seconds_to_read(connection, report)))
    with capsys.disabled():
        for name, rows, refreshed, seconds in figures:
            line = f"{name:28} {rows:>9,} rows, refreshed in {refreshed:5.1f} s, read in {seconds:5.2f} s"
            sys.stdout.write(f"{line}\n")
    assert len(figures) > 20
    assert not [name for name, *_, seconds in figures if seconds > MOST_SECONDS]


def test_a_small_one_of_the_kind_adds_up(postgres: Postgres) -> None:
    """What the long test measures are real reports: a thousand orders of the same kind add up."""
    with (
        postgres.database(TEMPLATE) as url,
        open_warehouse(load_settings(_env_file=None, bl_database_url=url, bl_store="main")) as warehouse,
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
