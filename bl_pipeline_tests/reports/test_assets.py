"""Each report is an asset that comes after the orders, and shows its rows without naming a buyer."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import pytest

from bl_pipeline.dagster_names import Names
from bl_pipeline.definitions import defs
from bl_pipeline.defs.report_assets import report_assets
from bl_pipeline.defs.resources import OpenedSession
from bl_pipeline.reports.files import read_reports
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline_tests.reports.conftest import Kept

Metadata = Mapping[str, dg.MetadataValue[Any]]
SPECS = {spec.key.to_user_string(): spec for asset in report_assets([Names()]) for spec in asset.specs}


@pytest.fixture(scope="module")
def shown(kept: Kept, dagster_instance: dg.DagsterInstance) -> Iterator[dict[str, Metadata]]:
    """What the UI shows of each report after its asset was materialised."""
    session = SyncSession(store=None, warehouse=kept.warehouse, lock=SyncLock(kept.warehouse))  # type: ignore[arg-type]
    result = dg.materialize(
        report_assets([Names()]), resources={"sync": OpenedSession(session)}, instance=dagster_instance
    )
    assert result.success
    yield {
        event.materialization.asset_key.to_user_string(): event.materialization.metadata
        for event in result.get_asset_materialization_events()
    }


def test_there_is_an_asset_for_every_report() -> None:
    assert SPECS.keys() == {report.name for report in read_reports()}
    assert {spec.group_name for spec in SPECS.values()} == {"reports"}
    known = {key.to_user_string() for key in defs.resolve_all_asset_keys()}
    assert SPECS.keys() <= known
    assert {dep.asset_key.to_user_string() for spec in SPECS.values() for dep in spec.deps} <= known


def test_every_report_comes_after_the_orders() -> None:
    def after(name: str) -> set[str]:
        above = {dep.asset_key.to_user_string() for dep in SPECS[name].deps}
        return above | {key for other in above & SPECS.keys() for key in after(other)}

    for name in SPECS:
        assert after(name) & {"orders", "order_feedback"}, name
    assert "order_items" in after("revenue_by_color")


def test_rows_are_counted_and_columns_described(shown: dict[str, Metadata], kept: Kept) -> None:
    for report in read_reports():
        metadata = shown[report.name]
        assert metadata["dagster/row_count"].value == len(kept.rows(report.name)), report.name
        schema = metadata["dagster/column_schema"].value
        assert isinstance(schema, dg.TableSchema)
        assert [column.name for column in schema.columns] == [column.name for column in report.columns]
        assert all(column.description for column in schema.columns)
        money = {column.name for column in report.columns if column.is_money}
        assert {column.type for column in schema.columns if column.name in money} <= {"numeric"}


def test_the_preview_is_a_table_of_some_rows(shown: dict[str, Metadata]) -> None:
    for name, metadata in shown.items():
        preview = metadata["preview"]
        assert isinstance(preview, dg.MarkdownMetadataValue)
        head, ruler, *rows = (preview.md_str or "").splitlines()
        assert re.fullmatch(r"\|( ---:? \|)+", ruler)
        assert 1 <= len(rows) <= 12, name
        assert {row.count("|") for row in [head, *rows]} == {ruler.count("|")}, name


def test_the_preview_of_a_list_has_the_latest_first(shown: dict[str, Metadata], kept: Kept) -> None:
    days = sorted((row["day"] for row in kept.rows("revenue_dates") if row["basis"] == "order_date"), reverse=True)
    preview = str(shown["revenue_dates"]["preview"].value).splitlines()[2:]
    assert re.findall(r"\d{4}-\d\d-\d\d(?= \|)", "\n".join(preview))[::2] == [str(day) for day in days[:12]]


def test_the_preview_has_the_steps_of_a_month_in_their_order(shown: dict[str, Metadata]) -> None:
    lines = str(shown["fulfilment_times"]["preview"].value).splitlines()[2:]
    rows = [tuple(cell.strip() for cell in line.split("|")[1:3]) for line in lines]
    months = [month for month, _ in rows]
    assert months == sorted(months, reverse=True)
    assert len(set(months)) < len(months)
    for month in set(months):
        steps = [step for other, step in rows if other == month]
        assert steps == sorted(steps)


def test_charts_are_pictures_of_few_kilobytes(shown: dict[str, Metadata]) -> None:
    charted = {report.name for report in read_reports() if report.chart}
    assert {name for name, metadata in shown.items() if "chart" in metadata} == charted
    for name in charted:
        found = re.fullmatch(r"!\[.+\]\(data:image/png;base64,(.+)\)", str(shown[name]["chart"].value))
        assert found is not None, name
        picture = b64decode(found[1])
        assert picture.startswith(b"\x89PNG")
        assert len(picture) < 12_000, name


def test_each_says_what_is_missing_from_it(shown: dict[str, Metadata]) -> None:
    for name, metadata in shown.items():
        assert "BrickLink's lists were read on " in str(metadata["completeness"].value), name


def test_metadata_names_no_buyer(shown: dict[str, Metadata], kept: Kept) -> None:
    text = repr([{key: value.value for key, value in metadata.items()} for metadata in shown.values()])
    for history in kept.books.history.values():
        buyer = history[-1].order.buyer
        address = buyer.address
        for personal in (buyer.name, buyer.email, address.full_name, address.address1, address.phone_number):
            assert personal is None or personal not in text


@pytest.mark.slow
def test_reading_the_code_location_imports_neither_pandas_nor_matplotlib() -> None:
    import subprocess
    import sys

    code = (
        "import sys, bl_pipeline.definitions\n"
        "print([name for name in ('pandas', 'matplotlib', 'PIL', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
