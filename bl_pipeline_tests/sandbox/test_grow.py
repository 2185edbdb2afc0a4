from collections import Counter
from datetime import datetime, timedelta

import pytest

from bl_pipeline.sandbox import Store
from bl_pipeline_tests.sandbox.conftest import NOW


def test_the_same_seed_grows_the_same_store() -> None:
    assert Store.grow(40, seed=3, now=NOW).orders == Store.grow(40, seed=3, now=NOW).orders


def test_another_seed_grows_another_store() -> None:
    assert Store.grow(40, seed=3, now=NOW).orders != Store.grow(40, seed=4, now=NOW).orders


def test_purchases_come_on_top_of_the_sales() -> None:
    store = Store.grow(40, now=NOW, purchases=6)
    assert (len(store.sales), len(store.purchases), len(store.orders)) == (40, 6, 46)


def test_a_store_can_be_empty() -> None:
    assert dict(Store.grow(0, now=NOW, purchases=0).orders) == {}


@pytest.mark.parametrize("count", [0, 1, 25, 60])
def test_the_number_of_filed_and_purged_sales_is_exact(count: int) -> None:
    sales = Store.grow(60, now=NOW, filed=count, purged=count).sales.values()
    assert (sum(o.is_filed for o in sales), sum(o.is_purged for o in sales)) == (count, count)


def test_more_filed_sales_than_sales_are_refused() -> None:
    with pytest.raises(ValueError, match="filed=61"):
        Store.grow(60, now=NOW, filed=61)


def test_unknown_statuses_are_as_many_as_asked_for() -> None:
    known = {order.status for order in Store.grow(60, now=NOW).sales.values()}
    statuses = Counter(order.status for order in Store.grow(60, now=NOW, unknown=3).sales.values())
    assert sum(statuses[status] for status in statuses.keys() - known) == 3


def test_ids_grow_with_the_date_of_the_order() -> None:
    orders = sorted(Store.grow(200, now=NOW).orders.values(), key=lambda order: order.date_ordered)
    ids = [order.order_id for order in orders]
    assert ids == sorted(set(ids))


def test_orders_are_as_far_along_as_their_age_allows() -> None:
    store = Store.grow(1500, now=NOW)
    for order in store.sales.values():
        age = NOW - order.date_ordered
        assert timedelta() < age <= timedelta(days=425, minutes=1)
        assert order.date_status_changed <= NOW
        if order.status in {"PENDING", "PROCESSING", "READY", "PAID-PENDING", "PAID", "PACKED"}:
            assert age < timedelta(days=9)
        if order.is_purged:
            assert NOW - order.date_status_changed > timedelta(days=183)
        assert (order.shipping.date_shipped is not None) == (
            order.status in {"SHIPPED", "RECEIVED", "COMPLETED", "PURGED", "NRS", "NSS"}
        )


def test_a_grown_store_holds_what_makes_orders_hard_to_read() -> None:
    store = Store.grow(1500, now=NOW, currencies=("EUR", "USD", "GBP"))
    sales = list(store.sales.values())
    lots = [lot for order in sales for lot in order.lots]
    assert {order.currency for order in sales} == {"EUR", "USD", "GBP"}
    assert {"UK", "US", "DE", "JP"} <= {order.shipping.address.country_code for order in sales}
    assert {"PART", "SET", "MINIFIG", "GEAR", "BOOK"} <= {lot.item.type for lot in lots}
    assert {(lot.item.type == "SET", lot.completeness is None) for lot in lots} == {
        (True, False),
        (False, True),
    }
    assert any(lot.inventory_id is None for lot in lots)
    assert any(lot.unit_price_final % 1 * 100 % 1 for lot in lots)
    assert any(order.currency != order.disp_currency for order in sales)
    assert any(order.sales_tax and order.sales_tax_collected_by_bl for order in sales)
    assert any(order.sales_tax and not order.sales_tax_collected_by_bl for order in sales)
    assert {order.vat_collected_by_bl for order in sales} == {None, False, True}
    assert any(order.buyer_name is None for order in sales)
    assert any(order.costs.credit for order in sales)
    assert any(order.costs.coupon for order in sales)
    assert any(order.costs.insurance and order.costs.etc1 for order in sales)
    assert max(Counter(order.buyer_name for order in sales).values()) > 5
    assert any(
        {lot.inventory_id for lot in order.batches[0]} & {lot.inventory_id for lot in order.batches[1]}
        for order in sales
        if len(order.batches) > 1
    )


def test_the_clock_of_a_store_needs_a_time_zone() -> None:
    with pytest.raises((ValueError, TypeError)):
        Store.grow(3, now=datetime(2026, 3, 1))  # noqa: DTZ001
