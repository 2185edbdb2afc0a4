"""One asset for each report in sql/: read after orders were stored, with its rows and a chart to look at."""

from base64 import b64encode
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dagster as dg

from bl_pipeline.clock import utc_now
from bl_pipeline.dagster_names import Names
from bl_pipeline.defs.metadata import table
from bl_pipeline.defs.of_a_store import asset_key, session_of
from bl_pipeline.defs.step_errors import explained
from bl_pipeline.defs.sync_graph import PART_ASSETS
from bl_pipeline.reports.files import SCHEMA, Report, read_reports
from bl_pipeline.settings import load_installation, load_stores
from bl_pipeline.wording import amount

if TYPE_CHECKING:
    from bl_pipeline.reports.files import ReportColumn
    from bl_pipeline.reports.reading import ReportRows
    from bl_pipeline.sync.session import SyncSession

GROUP = "reports"
PREVIEW_ROWS = 12

_LOOK_EVERY = timedelta(minutes=1)
_LOOK_EVERY_OF_SEVERAL = timedelta(minutes=30)
"""Of many stores there is always one that has just stored something."""

_ASSETS = {
    ("sales", "orders"): "orders",
    **{("sales", name): name for name in PART_ASSETS},
    ("sales", "known_orders"): "orders",
    ("sales", "known_items"): "order_items",
    ("sales", "known_states"): "orders",
    ("books", "journal"): "orders",
    ("sync", "order_state"): "order_summaries",
    # What a seller imports is about orders; the next sync shows it.
    ("books", "imported_refunds"): "orders",
    ("books", "imported_fees"): "orders",
}
"""Which of the sync's assets fills a table, or comes before it; the others are settings."""


def report_assets(stores: Sequence[Names]) -> list[dg.AssetsDefinition]:
    """The assets, each after those it reads; a report covers all stores."""
    return [_report_asset(report, stores) for report in read_reports()]


def reports_sensor(stores: Sequence[Names], clock: Callable[[], datetime] = utc_now) -> dg.SensorDefinition:
    """What reads the reports again; most syncs change nothing, and a run of all reports is many events."""
    every = _LOOK_EVERY_OF_SEVERAL if len(stores) > 1 else _LOOK_EVERY

    @dg.sensor(
        name="reports_due",
        asset_selection=dg.AssetSelection.groups(GROUP),
        minimum_interval_seconds=int(every.total_seconds()),
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Reads the reports after a run that stored a new or changed order, and once a day.",
    )
    @explained
    def reports_due(_context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        from bl_pipeline.warehouse.database import open_warehouse  # noqa: PLC0415
        from bl_pipeline.warehouse.runs import last_change  # noqa: PLC0415

        with open_warehouse(load_installation()) as warehouse, warehouse.engine.connect() as connection:
            found = [last_change(connection, replace(warehouse, store=one.bl_store)) for one in load_stores()]
        changes = [change for change in found if change]
        if not changes:
            return dg.SkipReason("No order is stored yet.")
        # Dagster launches one run for each key. The ages of some reports change with the day.
        return dg.RunRequest(run_key=f"{clock():%Y-%m-%d} {max(changes).isoformat()}")

    return reports_due


def _upstream(report: Report, stores: Sequence[Names]) -> list[dg.AssetKey]:
    keys: list[dg.AssetKey] = []
    for schema, name in report.reads:
        if schema == SCHEMA:
            keys.append(dg.AssetKey(name))
        elif asset := _ASSETS.get((schema, name)):
            keys += [asset_key(names, asset) for names in stores]
    return list(dict.fromkeys(keys))


def _report_asset(report: Report, stores: Sequence[Names]) -> dg.AssetsDefinition:
    # A session of any store reaches the rows of all.
    names = stores[0]

    @dg.asset(
        name=report.name,
        group_name=GROUP,
        deps=_upstream(report, stores),
        description=f"{report.description}\n\n```sql\n{report.sql}\n```",
        metadata={"dagster/table_name": f"{SCHEMA}.{report.name}"},
        kinds={"postgres", "sql"},
        required_resource_keys={names.resource},
    )
    @explained
    def asset(context: dg.AssetExecutionContext) -> None:
        session = session_of(context, names)
        keys = [names_of_store.store or session.warehouse.store for names_of_store in stores]
        # A MaterializeResult would store it a second time, with the event of the output.
        context.add_asset_metadata(report_metadata(session, report, keys))

    return asset


def report_metadata(session: "SyncSession", report: Report, stores: Sequence[str]) -> dict[str, Any]:
    """What is in the report. Reports name orders, but no buyers."""
    from bl_pipeline.reports import views  # noqa: PLC0415
    from bl_pipeline.reports.pictures import can_draw, draw  # noqa: PLC0415
    from bl_pipeline.reports.reading import ReportQuestion, count_rows, read_report  # noqa: PLC0415

    asked = ReportQuestion(basis=report.basis, total=True, limit=None if report.chart else PREVIEW_ROWS)
    with session.warehouse.engine.connect() as connection:
        types = views.column_types(connection, report)
        counts = {store: count_rows(connection, store, report) for store in stores}
        only = read_report(connection, stores[0], report, asked) if len(stores) == 1 else None
    metadata: dict[str, Any] = {
        "dagster/row_count": sum(counts.values()),
        "dagster/column_schema": dg.TableSchema(
            [dg.TableColumn(column.name, types[column.name], column.comment) for column in report.columns]
        ),
    }
    if only is None:
        # Their rows are too many for an event of each half hour; the orders desk shows them.
        rows = [{"store": store, "rows": count} for store, count in counts.items()]
        return metadata | {"rows_by_store": table(rows, [("store", "string"), ("rows", "int")])}
    metadata |= {"preview": dg.MetadataValue.md(preview(only)), "time_zone": only.timezone}
    if only.completeness:
        metadata["completeness"] = only.completeness.in_words(only.timezone)
    if can_draw(only):
        picture = b64encode(draw(only, small=True)).decode()
        metadata["chart"] = dg.MetadataValue.md(f"![{report.title}](data:image/png;base64,{picture})")
    return metadata


def preview(rows: "ReportRows") -> str:
    """Some rows as a Markdown table: the latest first, but of a ranking the largest."""
    shown = list(rows.rows)
    period = rows.place(rows.report.period or "")
    if period is not None:
        # What is of one month, such as the steps of fulfilment, keeps its order.
        shown.sort(key=lambda row: row[period], reverse=True)
    elif rows.report.chart is None:
        shown.reverse()
    places = [place for place, column in enumerate(rows.columns) if column.name != "store"]
    columns = [rows.columns[place] for place in places]
    lines = [
        _line(column.name for column in columns),
        _line("---:" if column.is_amount else "---" for column in columns),
        *(_line(_cell(row[place], rows.columns[place]) for place in places) for row in shown[:PREVIEW_ROWS]),
    ]
    return "\n".join(lines if shown else [*lines, "", "No rows."])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any, column: "ReportColumn") -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, Decimal):
        return amount(value) if column.is_money else f"{value:,.2f}"
    if column.is_amount:
        return f"{value:,}"
    return str(value).replace("|", "\\|").replace("\n", " ")
