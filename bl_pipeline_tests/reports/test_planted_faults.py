"""Faults planted in sql/, each of which the comparison with the store has to find."""

from __future__ import annotations

import pytest

from bl_pipeline.reports import views
from bl_pipeline.reports.files import FOLDER, parse_report
from bl_pipeline.reports.reading import find_report
from bl_pipeline_tests.reports.conftest import Kept
from bl_pipeline_tests.reports.test_against_the_store import by_grain
from bl_pipeline_tests.support.report_rows import REPORTS

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
    ("revenue_dates", "'paid_date', counted_paid_at, *", "'paid_date', order_date, *"),
    ("revenue_dates", "'paid_date', counted_paid_at, *", "'paid_date', paid_at, *"),
    ("revenue_dates", "'shipped_date', shipped_at, *", "'shipped_date', paid_at, *"),
    ("revenue_dates", "least(counted_paid_at, shipped_at)", "least(paid_at, shipped_at)"),
    ("revenue_dates", "least(counted_paid_at, shipped_at)", "coalesce(counted_paid_at, shipped_at)"),
    ("revenue_dates", "WHERE coalesce(counted_paid_at, shipped_at) IS NOT NULL", "WHERE counted_paid_at IS NOT NULL"),
    ("revenue_orders", "IN ('Clearing', 'Returned', 'Bounced')", "IN ('Clearing', 'Returned')"),
    ("revenue_orders", " AND h.status_changed_at <= h.observed_at THEN 'status'", " THEN 'status'"),
    ("revenue_orders", "+ coalesce(o.credit, 0) + coalesce(o.coupon, 0) - coalesce(o.tax, 0)", "- coalesce(o.tax, 0)"),
    (
        "revenue_orders",
        "coalesce(o.credit, 0) + coalesce(o.coupon, 0) AS discounts",
        "coalesce(o.credit, 0) AS discounts",
    ),
    ("revenue_orders", "THEN 0 ELSE coalesce(o.vat_amount, 0) END", "THEN 0 ELSE 0 END"),
    ("revenue_orders", "THEN 0 ELSE coalesce(o.tax, 0) END", "THEN 0 ELSE 0 END"),
    ("fees_by_month", "date_trunc('month', date)", "date_trunc('year', date)"),
    ("fees_by_month", "sum(amount) AS amount", "sum(abs(amount)) AS amount"),
    ("payments_expected", "THEN o.disp_total", "THEN o.total"),
    ("payments_expected", "AT TIME ZONE coalesce(s.timezone, 'UTC')", ""),
    ("payments_expected", "IN ('Clearing', 'Returned', 'Bounced')", "IN ('Clearing', 'Bounced')"),
    ("refunds_to_check", "THEN 0 ELSE round(o.total, 2) END", "THEN 0 ELSE round(o.final_total, 2) END"),
    ("refunds_to_check", "IN ('cancelled', 'problem') THEN 0", "IN ('cancelled') THEN 0"),
    ("refunds_to_check", "max(round(total, 2)) AS paid", "max(total) AS paid"),
    ("refunds_to_check", "FULL JOIN refunds f", "LEFT JOIN refunds f"),
    ("refunds_to_check", "l.to_check - l.imported AS", "greatest(l.to_check - l.imported, 0) AS"),
    ("refunds_to_check", "s.document_id > coalesce(before.document_id, 0)", "true"),
    ("cost_as_entered", "sum(order_cost * quantity)", "sum(order_cost)"),
    ("cost_as_entered", "lots_with_cost >= 0.9 * lots AND", "lots_with_cost > 0 AND"),
    ("cost_as_entered", "order_cost > 0) AS lots_with_cost", "order_cost >= 0) AS lots_with_cost"),
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
    ("statuses_by_month", "sum(monthly.amount) OVER earlier", "sum(monthly.amount) OVER ()"),
    ("fulfilment_times", "percentile_cont(0.9)", "percentile_cont(0.8)"),
    ("fulfilment_times", "WHERE till >= since", ""),
    ("fulfilment_times", "h.platform_status = 'RECEIVED'", "h.platform_status IN ('RECEIVED', 'COMPLETED')"),
    ("cancellations_by_month", "count(o.paid_at) AS paid_orders", "count(*) AS paid_orders"),
    ("cancellations_by_month", "FILTER (WHERE o.paid_at IS NOT NULL)", ""),
    ("feedback_by_month", "count(f.reply)", "count(*)"),
    ("feedback_by_month", "WHEN 1 THEN 'neutral'", "WHEN 1 THEN 'complaint'"),
    ("feedback_by_month", "AT TIME ZONE coalesce(s.timezone, 'UTC')", ""),
    ("cancellations_by_month", "o.observed_at) AT TIME ZONE coalesce(s.timezone, 'UTC')", "o.observed_at)"),
    ("cancellations_by_month", "o.order_date AT TIME ZONE coalesce(s.timezone, 'UTC')", "o.order_date"),
    ("fulfilment_times", "AT TIME ZONE r.timezone", ""),
    ("new_and_returning_buyers", "AT TIME ZONE r.timezone", ""),
    ("revenue_items", "(order_date AT TIME ZONE timezone)::date", "order_date::date"),
    ("revenue_items", "date_trunc('month', order_date AT TIME ZONE timezone)", "date_trunc('month', order_date)"),
    ("adjustments", "date_trunc('month', c.at AT TIME ZONE coalesce(s.timezone, 'UTC'))", "date_trunc('month', c.at)"),
    ("adjustments", "c.order_date AT TIME ZONE coalesce(s.timezone, 'UTC')", "c.order_date"),
    ("adjustments", "coalesce(revenue_before, 0) - coalesce(revenue, 0)", "greatest(revenue_before - revenue, 0)"),
    ("adjustments", "THEN 'currency'", "THEN 'increase'"),
    ("adjustments", "WHEN f.counts AND NOT f.counted_before THEN 'reopened'", ""),
    ("adjustments", "CASE WHEN f.currency = f.currency_before THEN f.credit_before END", "f.credit_before"),
    ("adjustments", "CASE WHEN f.currency = f.currency_before THEN f.coupon_before END", "f.coupon_before"),
    ("adjustments", "WHEN f.counted_before AND f.currency = f.currency_before THEN f.vat_before", "WHEN false THEN 0"),
    ("adjustments", "        WHERE f.currency <> f.currency_before\n", "        WHERE false\n"),
    (
        "adjustments",
        "CASE WHEN f.state_number = 1 THEN f.order_date ELSE f.observed_at END AS seen_at",
        "f.observed_at AS seen_at",
    ),
    ("adjustments", "WHEN f.counts <> f.counted_before THEN f.valid_from", ""),
    ("adjustments", "coalesce(credit, 0) - coalesce(credit_before, 0)", "coalesce(credit, 0)"),
    ("adjustments", "coalesce(coupon, 0) - coalesce(coupon_before, 0)", "coalesce(coupon, 0)"),
    ("adjustments", "WHEN h.vat_collected_by_bricklink THEN 0", "WHEN false THEN 0"),
    ("adjustments", "lag(counts, 1, true)", "lag(counts, 1, counts)"),
    ("adjustments", "country_before IS DISTINCT FROM country_after", "false"),
    ("adjustments", "num_nulls(change.before, change.after) < 2", "true"),
    ("adjustments_by_month", "WHERE counted\n", "WHERE counts_as_revenue\n"),
    ("cancellations_by_month", "WHERE h.counted AND NOT h.counts_as_revenue", "WHERE NOT h.counts_as_revenue"),
    ("cancellations_by_month", "coalesce(ended.at, o.observed_at)", "o.order_date"),
    ("open_orders_by_age", "AND o.platform_status <> 'PURGED'", ""),
    ("unknown_statuses", " OR first_seen_purged", ""),
    ("revenue_orders", "AND h.platform_status <> 'PURGED'", "AND false"),
    ("revenue_items", "vat_by_seller <> 0 AND vat_rate > 0", "vat_rate > 0"),
    ("revenue_items", "round(i.total_price / r.with_vat, 4)", "i.total_price"),
    (
        "revenue_items",
        "round((r.items_total - lines.items_total) / r.with_vat, 4)",
        "r.items_total - lines.items_total",
    ),
    (
        "revenue_by_color",
        "sum(items_net) AS items_net\nFROM per_order",
        "sum(items_total) AS items_net\nFROM per_order",
    ),
    ("status_history", "status NOT IN ('cancelled', 'problem')", "status NOT IN ('cancelled')"),
    ("status_history", "subtotal AS items_total", "total AS items_total"),
    ("tax_by_rate_and_country", "WHEN by_bricklink THEN 'bricklink'", ""),
    ("tax_by_rate_and_country", "- coalesce(sum(sales_tax_by_seller), 0)", ""),
    ("tax_by_rate_and_country", "sum(vat_by_bricklink), 0) AS vat_by", "sum(vat_by_seller), 0) AS vat_by"),
    ("tax_by_rate_and_country", "FILTER (WHERE vat_by_seller <> 0)", ""),
    ("payments_to_check", "(o.paid_at IS NOT NULL OR o.status IN ('processing', 'shipped', 'completed'))", "true"),
    ("payments_to_check", "('Returned', 'Bounced') THEN", "('Returned', 'Bounced') AND o.paid_at IS NOT NULL THEN"),
    ("payments_to_check", "AND NOT o.status IN", "AND o.status IN"),
    ("payments_to_check", "AND coalesce(o.payment_status, '') NOT IN ('Received', 'Completed')", ""),
    ("payments_to_check", "WHEN o.status = 'cancelled' THEN NULL", ""),
    ("payments_to_check", "WHEN o.status = 'problem' THEN 'paid_problem'", ""),
    ("payments_to_check", "coalesce(paid_at, order_date)", "order_date"),
    ("payments_to_check", "THEN CASE WHEN earlier.amount IS NOT NULL THEN 'paid_before' END", "THEN NULL"),
    ("payments_to_check", "ORDER BY h.document_id DESC", "ORDER BY h.document_id"),
    ("bases_reconciliation", "CASE WHEN reason = 'paid_before' THEN ordered END, -1", "NULL, -1"),
    ("bases_reconciliation", "r.counted_paid_at AT TIME ZONE", "r.paid_at AT TIME ZONE"),
    ("bases_reconciliation", "(SELECT least(paid, shipped) AS due)", "(SELECT shipped AS due)"),
    (
        "bases_reconciliation",
        "CASE WHEN paid <> ordered THEN paid END, 1",
        "CASE WHEN paid <> ordered THEN ordered END, 1",
    ),
    ("bases_reconciliation", "CASE WHEN shipped IS NULL THEN due END, 1", "NULL, 1"),
    ("bases_reconciliation", "WHERE c.reason = 'paid_problem'", "WHERE false"),
    ("bases_reconciliation", "coalesce(c.paid_at, c.order_date)", "c.order_date"),
    ("missing", "WHEN o.platform_status = 'PURGED'", "WHEN o.platform_status = 'COMPLETED'"),
    ("missing", "o.total_count <> found.quantity", "found.lines = 0"),
    ("missing", "o.subtotal - found.items_total", "o.subtotal"),
    ("unknown_statuses", "WHERE status = 'unknown'", "WHERE status <> 'unknown'"),
]


def test_each_fault_can_still_be_planted() -> None:
    """A report that was changed takes its faults along."""
    assert [fault for fault in FAULTS if fault[1] not in (FOLDER / f"{fault[0]}.sql").read_text()] == []


@pytest.mark.slow
@pytest.mark.parametrize(("name", "right", "wrong"), FAULTS)
def test_a_planted_fault_is_found(name: str, right: str, wrong: str, kept: Kept) -> None:
    source = (FOLDER / f"{name}.sql").read_text()
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
