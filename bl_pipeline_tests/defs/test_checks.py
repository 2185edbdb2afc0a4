"""Each check of the assets: it passes on a sound warehouse, and names the order that does not add up."""

from __future__ import annotations

import dagster as dg
import pytest
from sqlalchemy import text

from bl_pipeline.definitions import defs
from bl_pipeline.defs.resources import OpenedSession
from bl_pipeline.rules.statuses import STATUSES
from bl_pipeline.sandbox import Store
from bl_pipeline.settings import Settings
from bl_pipeline.sync.session import open_session
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import Clock, DagsterSync, MakeSettings

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN
ONE_LINE = """
    ctid = (SELECT min(ctid) FROM sales.order_items WHERE store = :store AND platform_order_id = :order_id)
"""
OF_ORDER = "WHERE store = :store AND platform_order_id = :order_id"
FAULTS = [
    ("items_match_subtotal", ERROR, f"UPDATE sales.order_items SET total_price = total_price + 0.01 WHERE {ONE_LINE}"),
    ("items_match_subtotal", ERROR, f"UPDATE sales.order_items SET currency = 'XXX' WHERE {ONE_LINE}"),
    ("items_match_counts", ERROR, f"UPDATE sales.order_items SET quantity = quantity + 1 WHERE {ONE_LINE}"),
    ("items_match_counts", ERROR, f"UPDATE sales.orders SET unique_count = unique_count + 1 {OF_ORDER}"),
    ("items_are_stored", WARN, f"DELETE FROM sales.order_items {OF_ORDER}"),
    ("totals_add_up", ERROR, f"UPDATE sales.orders SET shipping = shipping + 0.0001 {OF_ORDER}"),
    ("totals_add_up", ERROR, f"UPDATE sales.orders SET total = NULL {OF_ORDER}"),
    ("fees_match_their_parts", WARN, f"UPDATE sales.orders SET insurance = insurance + 0.0001 {OF_ORDER}"),
    # Twice the tolerance either way, so that two such orders would cancel each other in a sum.
    ("collected_tax_is_explained", ERROR, f"UPDATE sales.orders SET final_total = final_total - 0.02 {OF_ORDER}"),
    ("collected_tax_is_explained", ERROR, f"UPDATE sales.orders SET final_total = final_total + 0.02 {OF_ORDER}"),
    ("listed_orders_are_stored", WARN, f"DELETE FROM sales.orders {OF_ORDER}"),
    ("loaded_orders_are_stored", ERROR, f"DELETE FROM sales.orders {OF_ORDER}"),
    ("fields_are_readable", WARN, f"UPDATE sales.orders SET unreadable_fields = '{{remarks}}' {OF_ORDER}"),
    ("fields_are_readable", WARN, f"UPDATE sales.order_items SET unreadable_fields = '{{item.no}}' WHERE {ONE_LINE}"),
    ("statuses_are_known", WARN, f"UPDATE sales.orders SET status = 'unknown' {OF_ORDER}"),
    # Caught: an amount that BrickLink did not send, and the sum of a report without it.
    ("totals_add_up", ERROR, f"UPDATE sales.orders SET subtotal = NULL, fees = NULL {OF_ORDER}"),
    # Caught: a currency of its own in every report.
    ("fields_are_readable", WARN, f"UPDATE sales.orders SET currency = 'Eur' {OF_ORDER}"),
    ("totals_add_up", ERROR, f"UPDATE sales.orders SET shipping = NULL, fees = NULL, total = total + 1 {OF_ORDER}"),
    (
        "items_are_stored",
        WARN,
        f"WITH gone AS (DELETE FROM sales.order_items {OF_ORDER}) DELETE FROM sync.order_state {OF_ORDER}",
    ),
]


def check_sales(settings: Settings, clock: Clock, instance: dg.DagsterInstance) -> dict[str, dg.AssetCheckEvaluation]:
    """Run the checks alone, as the UI's button does."""
    job = defs.resolve_implicit_global_asset_job_def()
    keys = [key for key in defs.get_repository_def().asset_graph.asset_check_keys if key.asset_key.path[0] != "reports"]
    with open_session(settings) as session:
        session.clock = clock
        run = job.get_subset(asset_check_selection=set(keys), asset_selection=set()).execute_in_process(
            resources={"sync": OpenedSession(session)}, instance=instance
        )
    return {check.check_name: check for check in run.get_asset_check_evaluations()}


def new_status(store: Store) -> int:
    """The order whose status nobody knows."""
    (order_id,) = (key for key, order in store.sales.items() if order.status not in STATUSES)
    return order_id


@pytest.mark.parametrize(
    ("check", "severity", "fault"),
    [pytest.param(*fault, marks=pytest.mark.slow if number % 3 else ()) for number, fault in enumerate(FAULTS)],
)
def test_the_order_that_offends_is_named(
    check: str,
    severity: dg.AssetCheckSeverity,
    fault: str,
    synced: DagsterSync,
    store: Store,
    warehouse: Warehouse,
    dagster_instance: dg.DagsterInstance,
) -> None:
    sound = [
        key for key, order in store.sales.items() if order.lots and not (order.is_purged or key == new_status(store))
    ]
    order_id = str(max(sound))
    with warehouse.engine.begin() as connection:
        done = connection.execute(text(fault), {"store": warehouse.store, "order_id": order_id})
        assert done.rowcount

    checks = check_sales(synced.settings, synced.clock, dagster_instance)

    found = checks[check]
    assert (found.passed, found.severity) == (False, severity)
    offending = {
        name: check.metadata["order_ids"].value for name, check in checks.items() if "order_ids" in check.metadata
    }
    # The store has an order of a new status from the beginning.
    before = str(new_status(store))
    offending["statuses_are_known"] = str(offending["statuses_are_known"]).replace(before, "").strip(", ")
    assert offending[check] == order_id
    # A line that is gone, a total that is: other checks may see that too, but of no other order.
    assert set(offending.values()) <= {"", order_id}


def test_all_pass_on_a_sound_warehouse(
    synced: DagsterSync, store: Store, warehouse: Warehouse, dagster_instance: dg.DagsterInstance
) -> None:
    with warehouse.engine.begin() as connection:
        # BrickLink's VAT, deducted from the total or not: rounding may change it by a cent. Planted: it may not.
        for deducted in ("0.06", "0.01"):
            changed = connection.execute(
                text(
                    f"""
                    UPDATE sales.orders SET vat_amount = 0.05, vat_collected_by_bricklink = true,
                        final_total = total - {deducted}
                    WHERE platform_order_id = (
                        SELECT min(platform_order_id) FROM sales.orders
                        WHERE sales_tax_collected_by_bricklink IS NOT TRUE AND coalesce(vat_amount, 0) <> 0.05
                    )
                    """
                )
            )
            assert changed.rowcount == 1

    checks = check_sales(synced.settings, synced.clock, dagster_instance)

    assert {name for name, check in checks.items() if not check.passed} == {"statuses_are_known"}
    assert checks["statuses_are_known"].metadata["order_ids"].value == str(new_status(store))
    assert len(checks) == 12


def test_an_overdrawn_budget_is_an_error(
    synced: DagsterSync, make_settings: MakeSettings, dagster_instance: dg.DagsterInstance
) -> None:
    # The calls of the first sync were of another key.
    synced(full_sync=True)
    lowered = make_settings(bl_daily_call_limit=20, bl_call_reserve=0)

    budget = check_sales(lowered, synced.clock, dagster_instance)["budget_is_kept"]

    assert (budget.passed, budget.severity) == (False, ERROR)
    used = budget.metadata["calls_used_24h"].value
    assert isinstance(used, int)
    assert used > 20
