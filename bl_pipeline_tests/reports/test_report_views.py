"""The views follow sql/ and the settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import Connection, text

from bl_pipeline.reports import views
from bl_pipeline.reports.files import Report, ReportColumn, read_reports
from bl_pipeline.reports.reading import find_report
from bl_pipeline.reports.taxes import read_taxes
from bl_pipeline.settings import Settings, SettingsError
from bl_pipeline.tax_settings import TaxFile, TaxSettings, read_tax_settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline.warehouse.tables import SCHEMAS, metadata
from bl_pipeline_tests.conftest import MakeSettings, OpenSession

EXAMPLE = Path(__file__).parents[2] / "examples" / "taxes.toml"


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


@pytest.mark.parametrize("lost", ["SCHEMA reports", "VIEW reports.unknown_statuses"])
def test_reports_that_a_backup_did_not_bring_back_are_made_anew(warehouse: Warehouse, lost: str) -> None:
    with warehouse.engine.begin() as connection:
        connection.execute(text(f"DROP {lost} CASCADE"))
        views.install_reports(connection)
        assert "unknown" in definition(connection, "unknown_statuses")


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


def test_a_sync_sets_the_tax_settings_and_nothing_is_written_if_they_are_the_same(
    make_settings: MakeSettings, open_test_session: OpenSession
) -> None:
    """Unset, there are none again. Planted: rates of before that stay; a row written anew by each run."""

    def stored(**settings: object) -> tuple[object, list[object]]:
        session = open_test_session(make_settings(**settings))
        session.begin(uuid4().hex, job="sync_orders")
        session.close()
        with session.warehouse.engine.connect() as connection:
            rows = connection.execute(
                text("SELECT xmin::text FROM books.tax_settings UNION ALL SELECT xmin::text FROM books.tax_rates")
            )
            return read_taxes(connection, "main"), [xmin for (xmin,) in rows]

    others = TaxSettings("GB", "none", False, "bricklink", ())
    assert stored() == (None, [])
    taxes, rows = stored(bl_tax_file=str(EXAMPLE))
    assert taxes == read_tax_settings(EXAMPLE)
    assert len(rows) == 10
    assert stored(bl_tax_file=str(EXAMPLE)) == (taxes, rows)
    assert stored(bl_tax_file=TaxFile(EXAMPLE, others))[0] == others
    assert stored() == (None, [])


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
                JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname = ANY(:schemas)
                JOIN pg_description d ON d.objoid = c.oid AND d.classoid = 'pg_class'::regclass
                LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.objsubid AND d.objsubid > 0
                WHERE c.relkind = 'r' OR n.nspname = 'reports'
                """
            ),
            {"schemas": list(SCHEMAS)},
        )
        found = {(row.relation, row.name): row.description for row in rows}
    assert found == expected
    assert all(expected.values())
