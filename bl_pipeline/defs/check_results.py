"""What the asset checks check, and their results, with the orders that break a check as metadata."""

from collections.abc import Collection, Iterator
from functools import cache
from typing import TYPE_CHECKING

import dagster as dg

from bl_pipeline.dagster_names import Names
from bl_pipeline.defs.of_a_store import asset_key
from bl_pipeline.rules.indicator import Indicator

if TYPE_CHECKING:
    from bl_pipeline.sync.session import SyncSession

ERROR, WARN = dg.AssetCheckSeverity.ERROR, dg.AssetCheckSeverity.WARN

_READABLE = "fields_are_readable"
# Wrong numbers are errors. What the next runs repair, or what is new at BrickLink, is a warning.
_CHECKS = {
    "items_match_subtotal": ("order_items", ERROR, "The items of an order add up to its subtotal."),
    "items_match_counts": ("order_items", ERROR, "An order has as many pieces and lots as it counts."),
    "items_are_stored": ("order_items", WARN, "Every order that BrickLink has not purged has its items."),
    "totals_add_up": ("orders", ERROR, "subtotal + shipping + fees = total; a missing amount counts as zero."),
    "fees_match_their_parts": ("orders", WARN, "fees = insurance + etc1 + etc2 + tax - credit - coupon."),
    "collected_tax_is_explained": (
        "orders",
        ERROR,
        "total - final_total is the tax that BrickLink says it collects, to 0.01: sales tax, or sales tax and VAT.",
    ),
    "listed_orders_are_stored": ("orders", WARN, "Every order in BrickLink's lists is in the warehouse."),
    "loaded_orders_are_stored": ("orders", ERROR, "No order that was loaded is gone; `bl rebuild` brings it back."),
    _READABLE: ("orders", WARN, "Every field of every order and lot is as expected; others are null, or text."),
    "statuses_are_known": ("orders", WARN, "Every status of an order has a meaning here."),
}
_BUDGET = "budget_is_kept"
_IN_STEP = "store_is_in_step"
_OTHERS = {
    _BUDGET: "The last 24 hours have no more calls than the budget allows.",
    _IN_STEP: "The indicator of `bl status` is synced: not stale, and the last run ended without an error.",
}


@cache
def check_specs(names: Names) -> list[dg.AssetCheckSpec]:
    """The checks of the store's assets."""
    return [
        dg.AssetCheckSpec(name, asset=asset_key(names, asset), description=description)
        for name, asset, description in [
            *((name, asset, description) for name, (asset, _, description) in _CHECKS.items()),
            *((name, "orders", description) for name, description in _OTHERS.items()),
        ]
    ]


def evaluate(session: "SyncSession", keys: Collection[dg.AssetCheckKey]) -> Iterator[dg.AssetCheckResult]:
    """One result for each of these checks; at most a hundred orders that break it are named."""
    from bl_pipeline.warehouse.checks import find_offenders, unreadable_fields  # noqa: PLC0415

    for key in sorted(keys):
        if key.name == _IN_STEP:
            yield _in_step(session, key)
            continue
        if key.name == _BUDGET:
            usage = session.usage()
            yield dg.AssetCheckResult(
                passed=usage.used <= usage.allowed,
                asset_key=key.asset_key,
                check_name=key.name,
                severity=ERROR,
                metadata={"calls_used_24h": usage.used, "calls_left_24h": usage.left},
            )
            continue
        with session.warehouse.engine.connect() as connection:
            offenders = find_offenders(connection, session.warehouse, key.name)
            fields = unreadable_fields(connection, session.warehouse) if key.name == _READABLE else None
        yield dg.AssetCheckResult(
            passed=not offenders.count,
            asset_key=key.asset_key,
            check_name=key.name,
            severity=_CHECKS[key.name][1],
            metadata={
                "orders": offenders.count,
                "order_ids": ", ".join(offenders.order_ids),
                **({"fields": ", ".join(f"{name}: {count}" for name, count in fields.items())} if fields else {}),
            },
        )


def _in_step(session: "SyncSession", key: dg.AssetCheckKey) -> dg.AssetCheckResult:
    from bl_pipeline.sync.status import state_after_runs  # noqa: PLC0415

    with session.warehouse.engine.connect() as connection:
        stands = state_after_runs(session.store, connection, session.warehouse, session.clock())
    return dg.AssetCheckResult(
        passed=stands.indicator is Indicator.SYNCED,
        asset_key=key.asset_key,
        check_name=key.name,
        # While a first sync goes on for days the store is stale, and nothing is wrong.
        severity=ERROR if stands.indicator is Indicator.ERROR else WARN,
        metadata=stands.as_metadata,
    )
