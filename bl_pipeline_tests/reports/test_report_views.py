"""The views follow sql/ and the settings, and are stored if there are very many orders."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text

from bl_pipeline.reports import views
from bl_pipeline.reports.files import Report, ReportColumn, read_reports
from bl_pipeline.reports.reading import find_report, read_report
from bl_pipeline.reports.views import bring_up_to_date
from bl_pipeline.settings import Settings, SettingsError
from bl_pipeline.sync.rebuild import rebuild
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline.warehouse.tables import metadata
from bl_pipeline_tests.conftest import MakeSettings, OpenSession, Sync

MONTHS = find_report("revenue_by_month")


def transaction_id(connection: Connection) -> object:
    """None as long as the transaction has written nothing."""
    return connection.scalar(text("SELECT pg_current_xact_id_if_assigned()"))


def definition(connection: Connection, name: str) -> str:
    """What a view is made of, as Postgres says it."""
    found: str = connection.scalar(text(f"SELECT pg_get_viewdef('reports.{name}'::regclass)")) or ""
    return found


@pytest.fixture
def reports(monkeypatch: pytest.MonkeyPatch) -> list[Report]:
    """What sql/ says, to be changed."""
    said = list(read_reports())
    monkeypatch.setattr(views, "read_reports", lambda: tuple(said))
    return said


def swap(reports: list[Report], name: str, **changes: object) -> None:
    """Change a report."""
    place = next(place for place, report in enumerate(reports) if report.name == name)
    reports[place] = replace(reports[place], **changes)  # type: ignore[arg-type]


def test_nothing_is_written_if_all_is_as_it_should_be(warehouse: Warehouse) -> None:
    with warehouse.engine.begin() as connection:
        views.install_reports(connection)
        assert transaction_id(connection) is None


def test_a_changed_report_is_made_anew(warehouse: Warehouse, reports: list[Report]) -> None:
    swap(reports, "unknown_statuses", sql=find_report("unknown_statuses").sql.replace("'unknown'", "'never'"))
    with warehouse.engine.begin() as connection:
        assert "never" not in definition(connection, "unknown_statuses")
        views.install_reports(connection)
        assert "never" in definition(connection, "unknown_statuses")


def test_a_report_with_other_columns_takes_the_place_of_the_old_one(
    warehouse: Warehouse, reports: list[Report]
) -> None:
    swap(
        reports,
        "unknown_statuses",
        sql="SELECT store, 1 AS number FROM sync.stores",
        columns=(ReportColumn("store", None, "key"), ReportColumn("number", None, "one")),
    )
    with warehouse.engine.begin() as connection:
        views.install_reports(connection)
        assert list(connection.execute(text("SELECT * FROM reports.unknown_statuses")).keys()) == ["store", "number"]


def test_a_report_that_is_gone_goes(warehouse: Warehouse, reports: list[Report]) -> None:
    reports[:] = [report for report in reports if report.name != "unknown_statuses"]
    with warehouse.engine.begin() as connection:
        views.install_reports(connection)
        assert connection.scalar(text("SELECT to_regclass('reports.unknown_statuses')")) is None
        assert connection.scalar(text("SELECT to_regclass('reports.revenue_by_month')")) is not None


@pytest.mark.parametrize("lost", ["SCHEMA reports, stored", "VIEW reports.unknown_statuses"])
def test_reports_that_a_backup_did_not_bring_back_are_made_anew(warehouse: Warehouse, lost: str) -> None:
    with warehouse.engine.begin() as connection:
        connection.execute(text(f"DROP {lost} CASCADE"))
        views.install_reports(connection)
        assert "unknown" in definition(connection, "unknown_statuses")
        assert connection.scalar(text("SELECT to_regnamespace('stored') IS NOT NULL"))


def test_what_users_have_built_on_a_report_is_never_dropped(warehouse: Warehouse, reports: list[Report]) -> None:
    with warehouse.engine.begin() as connection:
        connection.execute(text("CREATE VIEW public.mine AS SELECT * FROM reports.unknown_statuses"))
    swap(
        reports, "unknown_statuses", sql="SELECT store FROM sync.stores", columns=(ReportColumn("store", None, "key"),)
    )
    with warehouse.engine.begin() as connection:
        with pytest.raises(views.ReportViewsError, match=r"view mine depends on view reports\.unknown_statuses"):
            views.install_reports(connection)
        connection.rollback()
    with warehouse.engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM public.mine")) == 0


def test_a_sync_sets_the_time_zone_and_opening_does_not(
    make_settings: MakeSettings, open_test_session: OpenSession
) -> None:
    """Unset, it is UTC again."""

    def zone(**settings: str) -> tuple[str | None, str]:
        with open_warehouse(make_settings(bl_timezone="Asia/Tokyo")):
            pass
        session = open_test_session(make_settings(**settings))
        session.begin(uuid4().hex, job="sync_orders")
        session.close()
        with session.warehouse.engine.connect() as connection:
            return session.timezone_before, views.read_timezone(connection, "main")

    assert zone() == (None, "UTC")
    assert zone(bl_timezone="Europe/Berlin") == ("UTC", "Europe/Berlin")
    assert zone(bl_timezone="Europe/Berlin") == (None, "Europe/Berlin")
    assert zone() == ("Europe/Berlin", "UTC")


def test_a_time_zone_that_postgres_does_not_know_is_named(settings: Settings, open_test_session: OpenSession) -> None:
    session = open_test_session(settings.model_copy(update={"bl_timezone": "Mars/Olympus"}))
    with pytest.raises(SettingsError, match="BL_TIMEZONE: this Postgres knows no time zone Mars/Olympus"):
        session.begin(uuid4().hex, job="sync_orders")


def test_comments_in_postgres_are_those_of_the_tables_and_files(warehouse: Warehouse) -> None:
    expected = {
        (table.fullname, column.name): column.comment for table in metadata.tables.values() for column in table.columns
    }
    expected |= {(table.fullname, ""): table.comment for table in metadata.tables.values()}
    for report in read_reports():
        expected |= {(f"reports.{report.name}", column.name): report.comment_of(column) for column in report.columns}
        expected[f"reports.{report.name}", ""] = report.description
    with warehouse.engine.connect() as connection:
        rows = connection.execute(
            text(
                """
                SELECT n.nspname || '.' || c.relname AS relation, coalesce(a.attname, '') AS name, d.description
                FROM pg_class c
                JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname IN ('landing', 'sales', 'sync', 'reports')
                JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass
                LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
                WHERE c.relkind IN ('r', 'v')
                """
            )
        )
        found = {(row.relation, row.name): row.description for row in rows}
    assert found == expected
    assert all(expected.values())


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Any warehouse with more than ten orders is large."""
    monkeypatch.setattr(views, "STORED_ABOVE", 10)
    return monkeypatch


def test_in_a_large_warehouse_a_report_is_stored_and_says_the_same(
    synced: Sync, warehouse: Warehouse, large: pytest.MonkeyPatch
) -> None:
    stored = [report for report in read_reports() if report.stored_when_large]
    with warehouse.engine.begin() as connection:
        live = {report.name: read_report(connection, warehouse.store, report).rows for report in stored}
        assert any(live.values())
        for report in stored:
            assert views.refresh(connection, report) is not None
            shown = read_report(connection, warehouse.store, report)
            assert shown.rows == live[report.name]
            assert shown.stored_at == views.stored_at(connection, report)
            assert "stored." in definition(connection, report.name)
    with warehouse.engine.begin() as connection:
        assert views.refresh(connection, MONTHS) is not None, "a second time, over the first"


def test_a_stored_report_is_used_until_a_sync_has_ended(
    synced: Sync, warehouse: Warehouse, large: pytest.MonkeyPatch
) -> None:
    with warehouse.engine.begin() as connection:
        views.refresh(connection, MONTHS)
        connection.execute(text("UPDATE sales.orders SET status = 'cancelled'"))
        assert read_report(connection, warehouse.store, MONTHS).rows
        connection.execute(text("UPDATE sync.runs SET finished_at = now() + interval '1 second'"))
        assert not read_report(connection, warehouse.store, MONTHS).rows, (
            "nobody has refreshed it, and it is not outdated"
        )
        assert read_report(connection, warehouse.store, MONTHS).stored_at is None
        connection.execute(text("UPDATE sales.orders SET status = 'completed'"))
        assert read_report(connection, warehouse.store, MONTHS).rows


def test_an_outdated_report_is_refreshed(synced: Sync, warehouse: Warehouse, large: pytest.MonkeyPatch) -> None:
    first = bring_up_to_date(warehouse.engine, MONTHS, always=True)
    assert bring_up_to_date(warehouse.engine, MONTHS) == first
    sync_ends(warehouse)
    second = bring_up_to_date(warehouse.engine, MONTHS)
    assert first
    assert second
    assert second > first
    with warehouse.engine.connect() as connection:
        assert read_report(connection, warehouse.store, MONTHS).stored_at == second


def test_a_reader_of_two_reports_is_in_nobodys_way(
    synced: Sync, warehouse: Warehouse, large: pytest.MonkeyPatch
) -> None:
    """Each refresh waits for readers of its view only while it has changed no other."""
    changed: list[str] = []
    make = views.refresh

    def watched(connection: Connection, report: Report) -> datetime | None:
        assert transaction_id(connection) is None, f"{changed[-1]} is not committed yet"
        changed.append(report.name)
        return make(connection, report)

    bring_up_to_date(warehouse.engine, find_report("revenue_orders"), always=True)
    bring_up_to_date(warehouse.engine, find_report("revenue_dates"), always=True)
    sync_ends(warehouse)
    large.setattr(views, "refresh", watched)
    bring_up_to_date(warehouse.engine, MONTHS, always=True)
    assert changed == ["revenue_orders", "revenue_dates", "revenue_by_month"]


def sync_ends(warehouse: Warehouse) -> None:
    """As if a sync had ended just now."""
    with warehouse.engine.begin() as connection:
        connection.execute(text("UPDATE sync.runs SET finished_at = clock_timestamp()"))


def test_what_is_not_run_of_a_stored_report_costs_nothing(
    synced: Sync, warehouse: Warehouse, large: pytest.MonkeyPatch
) -> None:
    def tables_read() -> set[str]:
        plan = connection.scalars(text("EXPLAIN (ANALYZE, COSTS OFF) SELECT * FROM reports.revenue_by_month"))
        return {line.split(" on ")[1].split()[0] for line in plan if "Scan on" in line and "never" not in line}

    with warehouse.engine.begin() as connection:
        views.refresh(connection, MONTHS)
        assert "revenue_by_month" in tables_read()
        assert "orders" not in tables_read()
        connection.execute(text("UPDATE sync.runs SET finished_at = now() + interval '1 second'"))
        assert "orders" in tables_read()
        assert "revenue_by_month" not in tables_read()


def test_a_rebuild_does_away_with_stored_rows(synced: Sync, warehouse: Warehouse, large: pytest.MonkeyPatch) -> None:
    with warehouse.engine.begin() as connection:
        views.refresh(connection, MONTHS)
        connection.execute(text("UPDATE sync.runs SET finished_at = now() - interval '1 day'"))
    rebuild(SyncSession(settings=synced.settings, warehouse=warehouse, lock=SyncLock(warehouse)))
    with warehouse.engine.connect() as connection:
        assert read_report(connection, warehouse.store, MONTHS).stored_at is None
        assert "stored." not in definition(connection, MONTHS.name)


def test_a_report_is_live_again_once_the_warehouse_is_not_large(
    synced: Sync, warehouse: Warehouse, large: pytest.MonkeyPatch
) -> None:
    with warehouse.engine.begin() as connection:
        views.refresh(connection, MONTHS)
        large.setattr(views, "STORED_ABOVE", 1000)
        assert views.refresh(connection, MONTHS) is None
        assert "stored." not in definition(connection, MONTHS.name)
        assert connection.scalar(text("SELECT to_regclass('stored.revenue_by_month')")) is None
        assert read_report(connection, warehouse.store, MONTHS).stored_at is None


def test_a_new_time_zone_does_away_with_stored_rows(
    synced: Sync, warehouse: Warehouse, large: pytest.MonkeyPatch
) -> None:
    with warehouse.engine.begin() as connection:
        views.refresh(connection, MONTHS)
        assert views.set_timezone(connection, warehouse.store, "Pacific/Auckland") == "UTC"
        rows = read_report(connection, warehouse.store, MONTHS)
        assert (rows.stored_at, rows.timezone) == (None, "Pacific/Auckland")


def test_a_report_that_rests_on_a_stored_one_refreshes_that_first(
    synced: Sync, warehouse: Warehouse, large: pytest.MonkeyPatch
) -> None:
    single, monthly = find_report("adjustments"), find_report("adjustments_by_month")
    for report in (single, monthly):
        bring_up_to_date(warehouse.engine, report, always=True)
    with warehouse.engine.begin() as connection:
        assert read_report(connection, warehouse.store, monthly).rows
        connection.execute(text("UPDATE sales.order_status_history SET credit = 0, coupon = 0"))
    sync_ends(warehouse)
    newest = bring_up_to_date(warehouse.engine, monthly)
    with warehouse.engine.connect() as connection:
        assert not read_report(connection, warehouse.store, monthly).rows
        below = views.stored_at(connection, single)
        assert newest
        assert below
        assert below <= newest


def test_what_is_not_to_be_stored_is_not(synced: Sync, warehouse: Warehouse, large: pytest.MonkeyPatch) -> None:
    with warehouse.engine.begin() as connection:
        assert views.refresh(connection, find_report("open_orders_by_age")) is None
        assert "stored." not in definition(connection, "open_orders_by_age")
