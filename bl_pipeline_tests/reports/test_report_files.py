"""The files of sql/ say what they do, and revenue is defined once."""

from __future__ import annotations

import re

import pytest
from sqlalchemy import text

from bl_pipeline.reports.files import FOLDER, Report, ReportFileError, parse_report, read_reports
from bl_pipeline.reports.reading import find_report
from bl_pipeline.rules.statuses import NOT_REVENUE, OPEN, PAYMENT_ARRIVED, PAYMENT_FAILED
from bl_pipeline_tests.reports.conftest import Kept

REPORTS = read_reports()
GOOD = """\
-- Title
--
-- Question: What?
-- Grain: store, month
-- Columns:
--   store: key of the store
--   month [date]: first day
--     of the month
--   revenue [currency]: what is earned
-- Caveats:
--   One.
--   Two
--     goes on.
-- Period: month, adds up
SELECT store, month, revenue FROM reports.revenue_by_month JOIN sales.orders USING (store)
"""


def each(report: Report) -> str:
    return report.name


@pytest.mark.parametrize("report", REPORTS, ids=each)
def test_the_header_names_the_columns_of_the_view(report: Report, kept: Kept) -> None:
    with kept.warehouse.engine.connect() as connection:
        result = connection.execute(text(f"SELECT * FROM reports.{report.name} LIMIT 0"))
    assert list(result.keys()) == [column.name for column in report.columns]


@pytest.mark.parametrize("report", REPORTS, ids=each)
def test_amounts_say_their_unit_and_money_its_currency(report: Report, kept: Kept) -> None:
    row = kept.rows(report.name)[0]
    numbers = {name for name, value in row.items() if isinstance(value, int) and not isinstance(value, bool)}
    unmeasured = {
        "year", "state_number", "batch_number", "line_number", "category_id", "color_id", "document_id", "entry_no",
        "line_no", "source_document_id", "previous_document_id",
    }  # fmt: skip
    assert all(report.column(name).is_amount for name in numbers - unmeasured)
    if any(column.is_money for column in report.columns):
        assert report.has("currency")
        # Those of one order or entry have its currency; what adds orders up never does so across currencies.
        assert {"currency", "platform_order_id", "entry_no"} & set(report.grain)


@pytest.mark.parametrize("report", REPORTS, ids=each)
def test_every_key_starts_with_the_store(report: Report) -> None:
    assert report.grain[0] == report.columns[0].name == "store"


def test_revenue_by_month_has_the_columns_others_rely_on() -> None:
    assert [column.name for column in find_report("revenue_by_month").columns] == [
        "store", "basis", "month", "currency", "orders", "items_total", "shipping", "fees",
        "tax_collected_by_bricklink", "revenue", "charges", "discounts", "sales_tax_by_seller",
        "sales_tax_by_bricklink", "vat_by_seller", "turnover",
    ]  # fmt: skip


@pytest.mark.parametrize("report", REPORTS, ids=each)
def test_amounts_that_are_there_once_a_basis_say_so(report: Report) -> None:
    for column in report.columns:
        warns = report.comment_of(column).endswith("; filter on one basis before adding up")
        assert warns is (column.is_amount and "basis" in report.grain)


def test_what_is_no_revenue_is_said_once_and_as_the_code_says_it() -> None:
    excluding = [report for report in REPORTS if re.search(r"status\s+NOT IN", report.sql)]
    # Of an order now, and of each state that it was in.
    assert {report.name for report in excluding} == {"revenue_orders", "status_history"}
    assert all(_listed(report.sql, "NOT IN") == set(NOT_REVENUE) for report in excluding)


def test_open_orders_are_those_the_code_calls_open() -> None:
    assert _listed(find_report("open_orders_by_age").sql, "IN") == set(OPEN)


def test_payments_are_those_the_code_calls_arrived_or_failed() -> None:
    """Money that is on its way has not arrived, and has not failed."""
    found = [
        set(re.findall(r"'(\w+)'", listed))
        for report in REPORTS
        for listed in re.findall(r"payment_status(?:, '')?\)? (?:NOT )?IN \(([^)]*)\)", report.sql)
    ]
    assert len(found) > 5
    known = [set(PAYMENT_ARRIVED), set(PAYMENT_FAILED), {"Clearing", *PAYMENT_FAILED}]
    assert [words for words in found if words not in known] == []


def _listed(sql: str, operator: str) -> set[str]:
    found = re.search(rf"status {operator} \(([^)]*)\)", sql)
    assert found is not None
    return set(re.findall(r"'(\w+)'", found[1]))


def test_every_report_of_revenue_rests_on_the_definition() -> None:
    reads = {report.name: {name for schema, name in report.reads if schema == "reports"} for report in REPORTS}

    def rests(name: str) -> bool:
        return name == "revenue_orders" or any(rests(other) for other in reads[name])

    of_revenue = [report.name for report in REPORTS if report.name.startswith(("revenue_", "tax_", "new_and_"))]
    assert "revenue_by_month" in of_revenue
    assert [name for name in of_revenue if not rests(name)] == []


def test_revenue_never_stands_without_turnover() -> None:
    """In the reports of revenue; those of taxes have net and VAT. Planted: new_and_returning_buyers without it."""
    of_revenue = [report for report in REPORTS if report.name.startswith(("revenue_", "new_and_"))]
    assert [report.name for report in of_revenue if report.has("revenue") and not report.has("turnover")] == []


def test_files_are_one_select_in_postgres_15() -> None:
    for path in FOLDER.glob("*.sql"):
        sql = re.sub(r"--.*", "", path.read_text())
        assert ";" not in sql, path.name
        assert re.match(r"\s*(SELECT|WITH)\b", sql), path.name


def test_a_header_is_read() -> None:
    report = parse_report("good", GOOD)
    assert (report.title, report.question, report.grain) == ("Title", "What?", ("store", "month"))
    assert report.column("month").comment == "first day of the month [date]"
    assert report.column("revenue").comment == "what is earned [in currency]"
    assert report.caveats == ("One.", "Two goes on.")
    assert (report.period, report.adds_up, report.chart) == ("month", True, None)
    assert report.reads == (("reports", "revenue_by_month"), ("sales", "orders"))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("-- Grain: store, month\n", ""),
        ("-- Grain: store, month\n", "-- Grain: store, week\n"),
        ("-- Period: month, adds up\n", "-- Period: week\n"),
        ("-- Caveats:\n--   One.\n--   Two\n--     goes on.\n", ""),
        ("--   store: key of the store\n", "--   store, key of the store\n"),
        ("-- Period: month, adds up\n", "-- Chart: revenue across month\n"),
        ("-- Period: month, adds up\n", "-- Chart: profit over month\n"),
        ("store, month\n", "store, basis\n-- Basis: tax_date\n"),
        ("USING (store)\n", "USING (store);\n"),
    ],
)
def test_a_header_that_lacks_something_is_named(old: str, new: str) -> None:
    assert old in GOOD
    with pytest.raises(ReportFileError, match=r"sql/bad\.sql"):
        parse_report("bad", GOOD.replace(old, new))
