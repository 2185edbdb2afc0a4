"""`bl report`: the list, tables with bars, CSV, JSON and pictures."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from bl_pipeline.reports.files import GROUPS, read_reports
from bl_pipeline.terminal.cli import app
from bl_pipeline.terminal.tables import bar
from bl_pipeline.wording import amount
from bl_pipeline_tests.reports.conftest import Kept
from bl_pipeline_tests.support.report_store import counts
from bl_pipeline_tests.support.slow import some_slow

Report = Callable[..., Result]
QUICK = ["revenue_by_month", "revenue_items", "status_history", "tax_return"]


@pytest.fixture
def report(kept: Kept, isolated: pytest.MonkeyPatch) -> Report:
    """Run `bl report` on the kept warehouse."""
    url = kept.warehouse.engine.url.set(drivername="postgresql")
    isolated.setenv("BL_DATABASE_URL", url.render_as_string(hide_password=False))
    isolated.setenv("BL_TIMEZONE", "UTC")
    isolated.setenv("COLUMNS", "120")

    def run(*arguments: str, exit_code: int = 0) -> Result:
        result = CliRunner().invoke(app, ["report", *arguments])
        assert result.exit_code == exit_code, result.output
        return result

    return run


def in_csv(text: str) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    return list(csv.DictReader(io.StringIO(text)))


def test_without_a_name_reports_are_listed(report: Report) -> None:
    lines = report().stdout.splitlines()
    question = "What did the seller get each day, and what of it is turnover?"
    assert [lines[0], *lines[1].split(maxsplit=1)] == [GROUPS[0], "revenue_by_day", question]
    headings = [line for line in lines if line in GROUPS]
    assert headings == list(GROUPS), "every report has a group, and every group a report"
    *names, hint = [line.split()[0] for line in lines if line and line not in GROUPS]
    assert hint == "Show"
    assert sorted(names) == sorted(each.name for each in read_reports())
    listed = json.loads(report("--json").stdout)
    assert listed[0].keys() == {"name", "title", "question", "group", "grain", "columns", "caveats"}


def test_a_table_has_a_section_for_each_currency_and_a_bar_in_each_row(
    report: Report, kept: Kept, isolated: pytest.MonkeyPatch
) -> None:
    isolated.setenv("COLUMNS", "95")
    lines = report("revenue_by_year").stdout.splitlines()
    assert lines[:2] == [
        "Revenue by year",
        "What did the seller get each year, and what of it is turnover? By order date. Days in UTC.",
    ]
    assert [line for line in lines if line in {"EUR", "USD", "GBP"}] == ["EUR", "GBP", "USD"]
    rows = [row for row in kept.rows("revenue_by_year") if row["basis"] == "order_date"]
    shown = [line for line in lines if line.startswith("20")]
    assert len(shown) == len(rows)
    best = max((row for row in rows if row["currency"] == "EUR"), key=lambda row: row["revenue"])
    assert any(
        line.startswith(str(best["year"])) and amount(best["revenue"]) in line and line.endswith(f" {'█' * 24}")
        for line in shown
    )


def test_a_tax_return_is_by_tax_point_and_other_reports_by_order_date(report: Report, kept: Kept) -> None:
    """Planted: one basis for all."""
    for name, basis in (("tax_return", "tax_point"), ("tax_by_rate_and_country", "order_date")):
        shown = report(name).stdout
        assert f" By {basis.replace('_', ' ')}. " in " ".join(shown.split())
        assert shown == report(name, "--basis", basis).stdout
        assert shown != report(name, "--basis", "paid_date").stdout


def test_json_and_csv_hold_every_basis_exactly(report: Report, kept: Kept) -> None:
    expected = {
        (row["basis"], row["month"].isoformat(), row["currency"]): (str(row["revenue"]), row["orders"])
        for row in kept.rows("revenue_by_month")
    }
    as_json = json.loads(report("revenue_by_month", "--json").stdout)
    assert list(as_json[0]) == [
        "store", "basis", "month", "currency", "orders", "items_total", "shipping", "fees",
        "tax_collected_by_bricklink", "revenue", "charges", "discounts", "sales_tax_by_seller",
        "sales_tax_by_bricklink", "vat_by_seller", "turnover",
    ]  # fmt: skip
    assert {(r["basis"], r["month"], r["currency"]): (r["revenue"], r["orders"]) for r in as_json} == expected
    assert "Before adding up, filter on one" in report("revenue_by_month", "--json").stderr
    assert not report("revenue_by_month", "--json", "--basis", "paid_date").stderr
    assert not report("revenue_by_item", "--json").stderr
    as_csv = in_csv(report("revenue_by_month", "--csv", "-").stdout)
    assert {(r["basis"], r["month"], r["currency"]): (r["revenue"], int(r["orders"])) for r in as_csv} == expected


def test_a_period_a_currency_and_a_basis(report: Report) -> None:
    rows = json.loads(
        report(
            "revenue_by_month",
            "--from",
            "2025-11",
            "--to",
            "2026-02",
            "--currency",
            "eur",
            "--basis",
            "paid_date",
            "--json",
        ).stdout
    )
    assert {(row["currency"], row["basis"]) for row in rows} == {("EUR", "paid_date")}
    assert [row["month"] for row in rows] == ["2025-11-01", "2025-12-01", "2026-01-01", "2026-02-01"]


def test_days_that_cut_a_month_show_it_whole_and_say_so(report: Report) -> None:
    assert "whole months" in report("revenue_by_month", "--from", "2026-01-15").stderr
    assert not report("revenue_by_month", "--from", "2026-01", "--to", "2026-02").stderr
    assert "whole years" in report("revenue_by_year", "--to", "2026-02").stderr


def test_a_ranking_is_of_the_whole_period_and_ends_with_the_rest(report: Report, kept: Kept) -> None:
    output = report("revenue_by_item", "--currency", "EUR").stdout
    assert "month" not in output
    different = {
        (row["item_type"], row["item_number"]) for row in kept.rows("revenue_by_item") if row["currency"] == "EUR"
    }
    rest = sorted((sum(row["items_total"] for row in rows) for rows in items_by_key(kept).values()), reverse=True)[15:]
    assert f"and {len(different) - 15:,} more, together {amount(sum(rest))} EUR" in output


def items_by_key(kept: Kept) -> dict[Any, list[dict[str, Any]]]:
    """What was sold in euros, by item."""
    found: dict[Any, list[dict[str, Any]]] = {}
    for row in kept.rows("revenue_by_item"):
        if row["currency"] == "EUR":
            found.setdefault((row["item_type"], row["item_number"]), []).append(row)
    return found


def test_a_list_of_orders_ends_with_the_latest(report: Report, kept: Kept) -> None:
    lines = report("revenue_dates", "--basis", "paid_date").stdout.splitlines()
    rows = [row for row in kept.rows("revenue_dates") if row["basis"] == "paid_date"]
    rows.sort(key=lambda row: (row["day"], row["platform_order_id"]))
    shown = [line.split()[0] for line in lines if line[:1].isdigit()]
    assert shown == [row["platform_order_id"] for row in rows[-36:]]
    assert f"and {len(rows) - 36} rows before; see --from, --csv" in lines


@pytest.mark.parametrize("name", some_slow([each.name for each in read_reports()], QUICK))
def test_if_it_is_narrow_columns_go_and_are_named(report: Report, isolated: pytest.MonkeyPatch, name: str) -> None:
    for columns in (80, 90, 100):
        isolated.setenv("COLUMNS", str(columns))
        narrow = report(name).stdout
        heads = [line for line in narrow.splitlines() if line and set(line) == {"─"}]
        assert heads
        assert all(len(line) <= columns for line in narrow.splitlines())
        assert "…" not in narrow.split("─")[0], "names of columns are whole"
        if not any(word in narrow.split("─")[0] for word in ("name", "payment")):
            assert "…" not in narrow, "only names of items, places and the like are cut"
    isolated.setenv("COLUMNS", "400")
    assert "no room for" not in report(name).stdout


def cells(text: str, *names: str) -> list[list[Decimal | None]]:
    """The amounts of a table's columns, whose names may take several lines; None if the column is not shown."""
    before, _, below = text.partition("\n─")
    lines = before.splitlines()
    head = lines[len(lines) - lines[::-1].index("EUR") if "EUR" in lines else 0 :]
    below = below.partition("\nno room for ")[0].partition("\n\n")[0]
    rows = [line for line in below.splitlines()[1:] if line[:1].isalnum() and not line.startswith("and ")]
    width = max(map(len, [*head, *rows]))
    mask = "".join(
        " " if all(line[at : at + 1] in ("", " ") for line in (*head, *rows)) else "x" for at in range(width)
    )
    found = {
        " ".join(filter(None, (line[each.start() : each.end()].strip() for line in head))): [
            line[each.start() : each.end()].strip() for line in rows
        ]
        for each in re.finditer(r"x(?: ?x)*", mask)
    }
    return [
        [Decimal(found[name][number].replace(",", "") or 0) if name in found else None for name in names]
        for number in range(len(rows))
    ]


@pytest.mark.parametrize("columns", ["80", "100", "160"])
@pytest.mark.parametrize("name", ["revenue_by_month", "revenue_by_year", "revenue_by_country", "revenue_by_day"])
def test_rows_add_up_exactly_at_any_width(
    report: Report, isolated: pytest.MonkeyPatch, name: str, columns: str
) -> None:
    isolated.setenv("COLUMNS", columns)
    text = report(name, "--currency", "EUR").stdout
    parts = (
        "items total", "shipping", "charges", "discounts", "sales tax by seller", "sales tax by BrickLink",
        "tax by BrickLink",
    )  # fmt: skip
    rows = cells(text, *parts, "revenue", "VAT by seller", "turnover")
    assert rows
    assert None not in [cell for row in rows for cell in (row[7], row[9])]
    if columns == "160":
        assert all(row[0] is not None and row[8] is not None for row in rows), "there is room for the parts"
    for row in rows:
        # Columns without any amount are the first to go.
        items, shipping, charges, discounts, by_seller, by_bricklink, kept, revenue, vat, turnover = (
            cell or Decimal(0) for cell in row
        )
        if row[0] is not None:
            assert items + shipping + charges - discounts + by_seller + by_bricklink - kept == revenue
        if row[0] is not None and row[8] is not None:
            assert revenue - vat - by_seller == turnover


@pytest.mark.slow
def test_what_matters_stays_if_it_is_narrow(report: Report, isolated: pytest.MonkeyPatch) -> None:
    for columns in ("80", "100"):
        isolated.setenv("COLUMNS", columns)
        for name, stays in {
            "revenue_by_item": ("quantity", "items"),
            "open_orders_by_age": ("total", "revenue"),
            "tax_by_rate_and_country": ("rate", "net", "VAT by", "taxed by"),
            "revenue_orders": ("order date", "revenue"),
            "adjustments": ("kind", "amount", "currency"),
            "journal": ("entry", "booking", "account key", "debit", "credit", "currency"),
            "period_changes": ("period", "what", "revenue", "VAT", "movement", "currency"),
            "refunds_to_check": ("reason", "left to", "currency"),
        }.items():
            head = report(name).stdout.split("─")[0]
            assert all(word in head for word in stays), (name, head)


def test_a_month_is_written_as_one(report: Report, kept: Kept) -> None:
    """In the commands of the books too. Planted: its first day."""
    (row, *_) = kept.rows("period_changes")
    assert re.search(rf"^{row['period']:%Y-%m} ", report("period_changes").stdout, re.MULTILINE)
    assert json.loads(report("period_changes", "--json").stdout)[0]["period"].endswith("-01")


def test_decimal_points_stand_below_each_other(report: Report) -> None:
    lines = report("revenue_by_item", "--currency", "EUR").stdout.split("─\n")[1].splitlines()[:15]
    assert len({line.rstrip(" █▉▊▋▌▍▎▏").rindex(".") for line in lines}) == 1
    ends = {len(line.rstrip(" █▉▊▋▌▍▎▏")) for line in lines}
    assert len(ends) == 2, "amounts with two decimals and with four"


def test_codes_are_shown_with_their_names(report: Report) -> None:
    countries = report("revenue_by_country", "--currency", "EUR").stdout
    assert "\nGermany " in countries
    assert "DE" in {row["country_code"] for row in in_csv(report("revenue_by_country", "--csv", "-").stdout)}
    conditions = report("revenue_by_condition").stdout
    assert {line.split()[0] for line in conditions.splitlines() if line[:4] in ("new ", "used")} == {"new", "used"}
    assert "not known: BrickLink purged these items before" in conditions
    assert "not known" not in countries
    assert "category " in report("revenue_by_category").stdout


def test_questions_are_whole_in_a_pipe(report: Report) -> None:
    text = report().stdout
    assert "…" not in text
    for each in read_reports():
        assert f"{each.name}" in text
        assert each.question in text, each.question


def test_a_csv_file(report: Report, tmp_path: Path) -> None:
    result = report("missing", "--csv", str(tmp_path / "missing.csv"))
    rows = in_csv((tmp_path / "missing.csv").read_text())
    assert (result.stdout, result.stderr) == ("", f"Wrote {len(rows)} rows to {tmp_path / 'missing.csv'}\n")
    assert rows
    assert all(row["order_date"].endswith("+00:00") for row in rows)


def test_a_picture(report: Report, tmp_path: Path) -> None:
    result = report("revenue_by_month", "--png", str(tmp_path / "months.png"))
    assert (result.stdout, result.stderr) == ("", f"Wrote a picture to {tmp_path / 'months.png'}\n")
    assert (tmp_path / "months.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["profit"], "There is no report profit.\nThere are: adjustments"),
        (["revenue_by_mnth"], "There is no report revenue_by_mnth. Did you mean revenue_by_month?"),
        (["revenue_by_month", "--currency", "EURO"], "There is no currency EURO. Did you mean EUR?\nThere are: EUR, "),
        (["revenue_by_month", "--currency", "XXX", "--json"], "There is no currency XXX"),
        (["revenue_by_month", "--basis", "payed_date"], "Did you mean paid_date?"),
        (["--csv", "x.csv"], "Which report?"),
        (["missing", "--png", "x.png"], "missing has no picture"),
        (["revenue_by_month", "--json", "--csv", "x"], "one of --csv, --png and --json"),
        (["revenue_by_month", "--from", "2026", "--to", "2025"], "begins on 2026-01-01, after its end on 2025-12-31"),
        (["revenue_by_month", "--from", "soon"], "'soon' is no year, month or day"),
        (["fulfilment_times", "--currency", "EUR"], "fulfilment_times has no currency"),
        (["revenue_by_month", "--from", "2030", "--png", "x.png"], "no rows to draw"),
    ],
)
def test_what_cannot_be_answered_is_said(report: Report, arguments: list[str], message: str) -> None:
    result = report(*arguments, exit_code=2)
    assert message in result.stderr
    assert result.stdout == ""


def test_a_file_that_cannot_be_written_is_named(report: Report) -> None:
    assert (
        "/no/such/folder/x.csv: No such file" in report("missing", "--csv", "/no/such/folder/x.csv", exit_code=1).stderr
    )


def test_no_rows_are_no_error(report: Report) -> None:
    for asked in (["--from", "2030"], ["--from", "2030", "--currency", "eur"]):
        assert "\nNo rows.\n" in report("revenue_by_month", *asked).stdout
        assert json.loads(report("revenue_by_month", *asked, "--json").stdout) == []


def test_what_is_missing_from_the_figures_is_said(report: Report, kept: Kept, tmp_path: Path) -> None:
    """Below a table always, with the rows of a file if something is missing."""
    complete = (
        f"\nBrickLink's lists were read on {kept.books.looked_at:%Y-%m-%d %H:%M} UTC; every order in them is stored."
    )
    assert complete in report("revenue_by_year").stdout
    assert not report("revenue_by_item", "--json").stderr
    listed = "store, platform, order_date, first_listed_at, listed_fingerprint, listed_status, is_listed"
    missing = "'main', 'bricklink', '2026-05-04T03:02:01Z'::timestamptz, now(), 'x', 'PAID', true"
    with kept.warehouse.engine.begin() as connection:
        for order_id, document in ((1, "NULL"), (2, "0")):
            connection.execute(
                text(
                    f"INSERT INTO sync.order_state ({listed}, platform_order_id, order_document_id) "
                    f"SELECT {missing}, '{order_id}', {document}"
                )
            )
    try:
        shown, written = report("revenue_by_year"), report("revenue_by_item", "--json")
        drawn = report("revenue_by_year", "--png", str(tmp_path / "years.png"))
    finally:
        with kept.warehouse.engine.begin() as connection:
            connection.execute(text("DELETE FROM sync.order_state WHERE platform_order_id IN ('1', '2')"))
    said = (
        "Not complete: 1 order not stored and in no figure here, the oldest of 2026-05-04 03:02 UTC (see the report "
        "missing); 1 order changed at BrickLink and not loaded since. BrickLink's lists were read on "
    )
    assert said in shown.stdout.replace("\n", " ")
    assert said in written.stderr
    assert said in drawn.stderr
    assert json.loads(written.stdout)


@pytest.mark.parametrize(
    ("value", "expected"), [("0", ""), ("-1", ""), ("10", "████"), ("5", "██"), ("5.3", "██▏"), ("0.001", "▏")]
)
def test_bars_are_of_eighths(value: str, expected: Any) -> None:
    assert bar(Decimal(value), Decimal(10), width=4) == expected


def test_a_report_is_shown_as_of_a_moment(report: Report, kept: Kept) -> None:
    looks = sorted({state.at for states in kept.books.history.values() for state in states})
    moment = f"{looks[0]:%Y-%m-%dT%H:%M:%SZ}"
    lines = report("revenue_by_year", "--as-of", moment).stdout.splitlines()
    assert lines[1].endswith(f"As known at {looks[0]:%Y-%m-%d %H:%M}.")
    then = json.loads(report("revenue_by_year", "--json", "--as-of", moment).stdout)
    first = [states[0] for states in kept.books.history.values() if states[0].at == looks[0]]
    assert sum(row["orders"] for row in then if row["basis"] == "order_date") == sum(map(counts, first))
    assert then != json.loads(report("revenue_by_year", "--json").stdout)
    assert lines[-1] == f"BrickLink's lists had last been read on {looks[0]:%Y-%m-%d %H:%M} UTC."
    before = report("revenue_by_year", "--json", "--as-of", "2020")
    assert (json.loads(before.stdout), "had not been read by then" in before.stderr) == ([], True)
    assert "in the future" in report("revenue_by_year", "--as-of", "2099", exit_code=2).output
    assert "missing is about now" in report("missing", "--as-of", "2026-06", exit_code=2).output
