"""Faults planted in sql/, each of which the comparison with the store has to find."""

from __future__ import annotations

import pytest

from bl_pipeline.reports import views
from bl_pipeline.reports.files import FOLDER, parse_report
from bl_pipeline.reports.reading import find_report
from bl_pipeline_tests.reports.conftest import Kept
from bl_pipeline_tests.reports.test_against_the_store import by_grain
from bl_pipeline_tests.support.report_rows import REPORTS

pytestmark = pytest.mark.slow

ZONE = "Europe/Berlin"

FAULTS = [
    ("revenue_orders", "NOT IN ('cancelled', 'problem')", "NOT IN ('cancelled')"),
    ("revenue_orders", "NOT IN ('cancelled', 'problem')", "IN ('pending', 'processing', 'shipped', 'completed')"),
    ("revenue_orders", "h.status IN ('shipped', 'completed')", "h.status IN ('shipped')"),
    ("revenue_orders", "least(h.status_changed_at, h.observed_at)", "h.observed_at"),
    ("revenue_orders", "coalesce(o.final_total, o.total) AS revenue", "o.total AS revenue"),
    ("revenue_orders", "WHEN o.vat_collected_by_bricklink THEN 0", "WHEN o.vat_collected_by_bricklink IS NULL THEN 0"),
    ("revenue_orders", "sha256(convert_to(k.salt || o.buyer_username", "sha256(convert_to(o.buyer_username"),
    ("revenue_dates", "(at AT TIME ZONE timezone)::date AS day", "at::date AS day"),
    ("revenue_dates", "(at AT TIME ZONE timezone)::date AS day", "(at + interval '1 hour')::date AS day"),
    ("revenue_dates", "date_trunc('month', at AT TIME ZONE timezone)", "date_trunc('month', at)"),
    ("revenue_dates", "extract(year FROM at AT TIME ZONE timezone)", "extract(year FROM at)"),
    ("revenue_dates", "'paid_date', paid_at, *", "'paid_date', order_date, *"),
    ("revenue_dates", "'shipped_date', shipped_at, *", "'shipped_date', paid_at, *"),
    ("revenue_items", "r.items_total - lines.items_total", "r.items_total - 0 * lines.items_total"),
    ("revenue_items", " OR r.total_count <> lines.quantity", " AND false"),
    ("revenue_by_month", "sum(revenue) AS revenue", "sum(total) AS revenue"),
    ("revenue_by_color", "count(line_number) AS lots", "count(*) AS lots"),
    ("revenue_by_item_type", "count(*) AS orders", "sum(lots)::bigint AS orders"),
    ("new_and_returning_buyers", "WHEN month = first_month", "WHEN month <= first_month + 31"),
    ("new_and_returning_buyers", "count(DISTINCT buyer_username)", "count(*)"),
    ("open_orders_by_age", "'on_hold', 'unknown'", "'on_hold'"),
    ("status_history", "THEN status_changed_at ELSE observed_at", "THEN observed_at ELSE observed_at"),
    ("status_history", " AND (not_before IS NULL OR status_changed_at >= not_before)", ""),
    ("statuses_by_month", "least(h.order_date, h.valid_from)", "h.valid_from"),
    ("statuses_by_month", "m.at AT TIME ZONE coalesce(s.timezone, 'UTC')", "m.at AT TIME ZONE 'UTC'"),
    ("statuses_by_month", "sum(monthly.revenue) OVER earlier", "sum(monthly.revenue) OVER ()"),
    ("fulfilment_times", "percentile_cont(0.9)", "percentile_cont(0.8)"),
    ("fulfilment_times", "WHERE till >= since", ""),
    ("fulfilment_times", "h.platform_status = 'RECEIVED'", "h.platform_status IN ('RECEIVED', 'COMPLETED')"),
    ("cancellations_by_month", "count(o.paid_at) AS paid_orders", "count(*) AS paid_orders"),
    ("cancellations_by_month", "FILTER (WHERE o.paid_at IS NOT NULL)", ""),
    ("feedback_by_month", "count(f.reply)", "count(*)"),
    ("feedback_by_month", "WHEN 1 THEN 'neutral'", "WHEN 1 THEN 'complaint'"),
    ("feedback_by_month", "AT TIME ZONE coalesce(s.timezone, 'UTC')", ""),
    ("cancellations_by_month", "AT TIME ZONE coalesce(s.timezone, 'UTC')", ""),
    ("fulfilment_times", "AT TIME ZONE r.timezone", ""),
    ("new_and_returning_buyers", "AT TIME ZONE r.timezone", ""),
    ("revenue_items", "(order_date AT TIME ZONE timezone)::date", "order_date::date"),
    ("revenue_items", "date_trunc('month', order_date AT TIME ZONE timezone)", "date_trunc('month', order_date)"),
    ("adjustments", "AT TIME ZONE coalesce(s.timezone, 'UTC')", ""),
    ("adjustments", "greatest(revenue_before - revenue, 0)", "revenue_before - revenue"),
    ("adjustments", "CASE WHEN s.currency = s.currency_before THEN s.revenue_before END", "s.revenue_before"),
    ("adjustments", "CASE WHEN s.currency = s.currency_before THEN s.credit_before END", "s.credit_before"),
    ("adjustments", "CASE WHEN s.currency = s.currency_before THEN s.coupon_before END", "s.coupon_before"),
    ("adjustments", "        WHERE s.currency <> s.currency_before\n", "        WHERE false\n"),
    ("adjustments", "WHEN c.state_number = 1 THEN c.order_date ELSE", "WHEN false THEN c.order_date ELSE"),
    ("adjustments", "coalesce(credit, 0) - coalesce(credit_before, 0)", "coalesce(credit, 0)"),
    ("adjustments", "coalesce(coupon, 0) - coalesce(coupon_before, 0)", "coalesce(coupon, 0)"),
    ("adjustments_by_month", "WHERE counts_as_revenue\n", ""),
    ("tax_by_rate_and_country", "- coalesce(sum(sales_tax_by_seller), 0)", ""),
    ("tax_by_rate_and_country", "sum(vat_by_bricklink), 0) AS vat_by", "sum(vat_by_seller), 0) AS vat_by"),
    ("tax_by_rate_and_country", "FILTER (WHERE vat_by_seller <> 0)", ""),
    ("missing", "WHEN o.platform_status = 'PURGED'", "WHEN o.platform_status = 'COMPLETED'"),
    ("missing", "o.total_count <> found.quantity", "found.lines = 0"),
    ("missing", "o.subtotal - found.items_total", "o.subtotal"),
    ("unknown_statuses", "WHERE status = 'unknown'", "WHERE status <> 'unknown'"),
]


@pytest.mark.full
@pytest.mark.parametrize(("name", "right", "wrong"), FAULTS)
def test_a_planted_fault_is_found(name: str, right: str, wrong: str, kept: Kept) -> None:
    source = (FOLDER / f"{name}.sql").read_text()
    assert right in source
    with kept.warehouse.engine.connect() as connection:
        connection.exec_driver_sql("UPDATE sync.stores SET timezone = %s", (ZONE,))
        views._make(connection, parse_report(name, source.replace(right, wrong)))
        shown = [dict(row) for row in connection.exec_driver_sql(f"SELECT * FROM reports.{name}").mappings()]
        expected = REPORTS[name](kept.expected(ZONE))
        connection.rollback()
    grain = find_report(name).grain
    worked_out = by_grain(expected, grain)
    try:
        found = by_grain(shown, grain)
    except AssertionError:
        return  # rows that the grain does not identify
    assert found.keys() != worked_out.keys() or any(found[key] != worked_out[key] for key in found)
