"""One asset for each report in sql/: read after the orders, with its rows and a chart to look at."""

from base64 import b64encode
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import dagster as dg

from bl_pipeline.defs.resources import SyncSessionResource
from bl_pipeline.defs.step_errors import explained
from bl_pipeline.defs.sync_graph import PART_ASSETS
from bl_pipeline.reports.files import SCHEMA, Report, read_reports

if TYPE_CHECKING:
    from bl_pipeline.reports.files import ReportColumn
    from bl_pipeline.reports.reading import ReportRows
    from bl_pipeline.sync.session import SyncSession

GROUP = "reports"
PREVIEW_ROWS = 12

_ASSETS = {
    ("sales", "orders"): "orders",
    **{("sales", name): name for name in PART_ASSETS},
    ("sales", "order_status_history"): "orders",
    ("sync", "order_state"): "order_summaries",
}
"""Which of the sync's assets fills a table; the others are settings."""


def report_assets() -> list[dg.AssetsDefinition]:
    """The assets, each after those it reads."""
    return [_report_asset(report) for report in read_reports()]


def _upstream(report: Report) -> list[str]:
    keys = [name if schema == SCHEMA else _ASSETS.get((schema, name)) for schema, name in report.reads]
    return list(dict.fromkeys(key for key in keys if key))


def _report_asset(report: Report) -> dg.AssetsDefinition:
    @dg.asset(
        name=report.name,
        group_name=GROUP,
        deps=_upstream(report),
        description=f"{report.description}\n\n```sql\n{report.sql}\n```",
        metadata={"dagster/table_name": f"{SCHEMA}.{report.name}"},
        kinds={"postgres", "sql"},
        automation_condition=dg.AutomationCondition.eager(),
    )
    @explained
    def asset(sync: SyncSessionResource) -> dg.MaterializeResult[None]:
        return dg.MaterializeResult(metadata=report_metadata(sync.session, report))

    return asset


def report_metadata(session: "SyncSession", report: Report) -> dict[str, Any]:
    """What is in the report. Reports name orders, but no buyers."""
    from bl_pipeline.reports import views  # noqa: PLC0415
    from bl_pipeline.reports.pictures import can_draw, draw  # noqa: PLC0415
    from bl_pipeline.reports.reading import BASES, ReportQuestion, count_rows, read_report  # noqa: PLC0415

    warehouse = session.warehouse
    asked = ReportQuestion(
        basis=BASES[0] if report.has("basis") else None, total=True, limit=None if report.chart else PREVIEW_ROWS
    )
    with warehouse.engine.connect() as connection:
        types = views.column_types(connection, report)
        count = count_rows(connection, warehouse.store, report)
        rows = read_report(connection, warehouse.store, report, asked)
    metadata: dict[str, Any] = {
        "dagster/row_count": count,
        "dagster/column_schema": dg.TableSchema(
            [dg.TableColumn(column.name, types[column.name], column.comment) for column in report.columns]
        ),
        "preview": dg.MetadataValue.md(preview(rows)),
        "time_zone": rows.timezone,
    }
    if can_draw(rows):
        picture = b64encode(draw(rows, small=True)).decode()
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
    return "\n".join(lines if shown else [*lines[:2], "", "No rows."])


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _cell(value: Any, column: "ReportColumn") -> str:
    if value is None:
        return ""
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, Decimal):
        return f"{value:,.2f}"
    if isinstance(value, int) and column.is_amount:
        return f"{value:,}"
    return str(value).replace("|", "\\|").replace("\n", " ")
