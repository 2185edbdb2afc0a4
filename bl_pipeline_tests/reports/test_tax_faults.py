"""Faults planted in the reports of taxes and in books.tax, each of which the comparison with plain Python finds."""

from __future__ import annotations

import pytest
from sqlalchemy import Connection

from bl_pipeline.reports.files import FOLDER, SCHEMA, parse_report
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.reports.test_taxes import CASES, compare_orders, compare_sums, draw_case, fill_case
from bl_pipeline_tests.warehouse.test_migrations import scripts

pytestmark = pytest.mark.slow

IN_TAX = [
    ("WHEN vat_by_bricklink THEN 'marketplace'", ""),
    ("WHEN vat_scheme IN ('none', 'small') THEN 'none'", "WHEN vat_scheme = 'none' THEN 'none'"),
    ("WHEN region = 'third' THEN 'export'", ""),
    ("WHEN region = 'eu' AND oss THEN 'oss'", "WHEN region = 'eu' THEN 'oss'"),
    ("WHEN region = 'eu' AND oss THEN destination_rate", "WHEN false THEN destination_rate"),
    ("total - coalesce(sales_tax, 0) AS untaxed", "total AS untaxed"),
    ("WHEN vat_amount IS NULL OR vat_amount = 0 THEN 'unclear'", "WHEN vat_amount IS NULL THEN 'unclear'"),
    ("abs(kept.tax - vat_amount) <= 0.01", "kept.tax = vat_amount"),
    ("abs(kept.tax - vat_amount) <= 0.01", "abs(kept.tax - vat_amount) <= 0.02"),
    ("WHEN abs(kept.tax) <= 0.01 THEN 'not_deducted'", ""),
    ("- CASE WHEN sales_tax_by_bricklink THEN coalesce(sales_tax, 0) ELSE 0 END AS tax", "AS tax"),
    ("total - coalesce(final_total, total)", "total - coalesce(final_total, 0)"),
    ("WHEN vat_scheme IS NULL THEN 'no tax settings: set BL_TAX_FILE'", ""),
    ("WHEN total IS NULL THEN 'the order has no total'", ""),
    ("WHEN region = 'unclear' THEN 'the country of the address is not known'", ""),
    ("meant.kind = 'none' AND vat_amount <> 0", "false"),
    ("meant.kind IN ('standard', 'oss') AND vat_scheme = 'margin'", "false"),
    ("'export' AND vat_source = 'bricklink' AND vat_amount <> 0", "'export' AND vat_amount <> 0"),
    ("AND (meant.kind = 'oss' OR region = 'home')", ""),
    ("vat_source = 'computed' AND meant.rate IS NULL", "false"),
    ("vat_amount IS NULL OR vat_rate IS NULL OR vat_rate = 0", "vat_amount IS NULL OR vat_rate IS NULL"),
    ("meant.kind = 'oss' AND vat_rate IS DISTINCT FROM destination_rate", "false"),
    ("WHEN meant.kind = 'marketplace' THEN vat_amount ELSE due.vat END", "WHEN false THEN vat_amount ELSE due.vat END"),
    ("meant.rate / (100 + meant.rate), 2)", "meant.rate / (100 + meant.rate), 4)"),
    ("meant.rate / (100 + meant.rate), 2)", "meant.rate / 100, 2)"),
    ("WHEN meant.kind = 'marketplace' THEN 'bricklink'", ""),
]  # fmt: skip
IN_SQL = [
    ("tax_orders", "least(r.counted_paid_at, r.shipped_at)", "r.counted_paid_at"),
    ("tax_orders", "AT TIME ZONE r.timezone)::date", "AT TIME ZONE 'UTC')::date"),
    ("tax_orders", "(o.country_code, o.postal_code) AS special", "(o.country_code, NULL) AS special"),
    ("tax_orders", "country_code = s.home_country AND valid_from <= dated.tax_date", "country_code = s.home_country"),
    ("tax_orders", "valid_from DESC LIMIT 1\n) AS destination", "valid_from LIMIT 1\n) AS destination"),
    ("tax_orders", "country_code = placed.vat_country", "country_code = o.country_code"),
    ("tax_orders", "r.total AS gross", "r.revenue AS gross"),
    ("tax_return", "sum(t.vat) AS vat", "sum(t.vat + t.other_tax) AS vat"),
    ("tax_return", "WHERE dated.at IS NOT NULL", "WHERE dated.at IS NOT NULL AND t.unclear IS NULL"),
    ("tax_return", "least(t.counted_paid_at, t.shipped_at)", "t.counted_paid_at"),
    ("tax_return", "dated.at AT TIME ZONE t.timezone", "dated.at"),
    ("sales_tax_by_state", "- coalesce(r.sales_tax_by_bricklink, 0) AS gross", "AS gross"),
    ("sales_tax_by_state", "o.sales_tax_collected_by_bricklink IS TRUE", "r.sales_tax_by_bricklink <> 0"),
    ("sales_tax_by_state", "INTERVAL '11 months' PRECEDING", "INTERVAL '12 months' PRECEDING"),
    ("sales_tax_by_state", "PARTITION BY store, basis, state, currency", "PARTITION BY store, basis, state"),
    ("sales_tax_by_state", "IN ('US', 'PR', 'GU', 'VI', 'AS', 'MP')", "= 'US'"),
    ("sales_tax_by_state", " OR o.country_code IS NULL AND o.tax <> 0", ""),
    ("sales_tax_by_state", "o.country_code IS NULL AND o.tax <> 0", "o.country_code IS NULL"),
    ("sales_tax_by_state", "FILTER (WHERE tax_by_seller <> 0)", "FILTER (WHERE NOT is_facilitated)"),
]  # fmt: skip


def is_found(warehouse: Warehouse, statement: str) -> bool:
    """Whether a comparison fails once this is done, which is undone."""
    for number in CASES:
        with warehouse.engine.connect() as connection:
            plant(connection, statement)
            case = draw_case(number)
            fill_case(connection, case)
            try:
                compare_orders(connection, case)
                compare_sums(connection, case)
            except AssertionError:
                return True
            finally:
                connection.rollback()
    return False


def plant(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement.replace("%", "%%"))


@pytest.mark.parametrize(("right", "wrong"), IN_TAX)
def test_a_fault_in_the_tax_of_an_order_is_found(blank: Warehouse, right: str, wrong: str) -> None:
    source: str = scripts().get_revision("0020").module._TAX
    assert source.count(right) == 1
    function = source.replace("CREATE FUNCTION", "CREATE OR REPLACE FUNCTION").replace(right, wrong)
    assert is_found(blank, function)


@pytest.mark.parametrize(("name", "right", "wrong"), IN_SQL)
def test_a_fault_in_a_report_of_taxes_is_found(blank: Warehouse, name: str, right: str, wrong: str) -> None:
    source = (FOLDER / f"{name}.sql").read_text(encoding="utf-8")
    assert source.count(right) == 1
    report = parse_report(name, source.replace(right, wrong))
    assert is_found(blank, f"CREATE OR REPLACE VIEW {SCHEMA}.{name} AS {report.sql}")
