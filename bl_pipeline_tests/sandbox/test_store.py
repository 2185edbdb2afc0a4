from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bl_pipeline.sandbox import NotPossibleError, SandboxOrder, Store, UnknownOrderError, Wire, move_on
from bl_pipeline_tests.sandbox.conftest import NOW

STEP = timedelta(milliseconds=1037)


def unpaid(store: Store) -> int:
    return store.place_order()


def unchanged(order: SandboxOrder, **fields: object) -> SandboxOrder:
    return replace(order, **fields)  # type: ignore[arg-type]


def test_a_new_order_has_the_greatest_id_and_the_time_of_the_clock(store: Store) -> None:
    greatest = max(store.orders)
    order = store.order(store.place_order())
    assert order.order_id > greatest
    assert (order.date_ordered, order.date_status_changed, store.now) == (NOW + STEP,) * 3
    assert (order.status, order.payment.status, order.payment.date_paid) == ("PENDING", "None", None)


def test_an_order_can_be_placed_with_given_lots_by_a_known_buyer(store: Store) -> None:
    known = next(order for order in store.sales.values() if order.buyer_name)
    order = store.order(store.place_order(lots=known.lots, paid=True, buyer_name=known.buyer_name))
    assert (order.batches, order.buyer, order.status) == ((known.lots,), known.buyer, "PAID")
    assert order.buyer_order_count == sum(o.buyer == known.buyer for o in store.sales.values())


def test_nobody_unknown_can_order(store: Store) -> None:
    with pytest.raises(NotPossibleError):
        store.place_order(buyer_name="nobody")


@pytest.mark.parametrize(
    ("change", "status"),
    [
        (Store.pack, "PACKED"),
        (Store.receive, "RECEIVED"),
        (Store.complete, "COMPLETED"),
        (Store.cancel, "CANCELLED"),
    ],
)
def test_a_status_moves_with_its_date(store: Store, change: Callable[[Store, int], SandboxOrder], status: str) -> None:
    before = store.order(unpaid(store))
    after = change(store, before.order_id)
    assert after == unchanged(before, status=status, date_status_changed=store.now)
    assert store.sales[before.order_id] is after


def test_paying_sets_status_payment_and_date(store: Store) -> None:
    before = store.order(unpaid(store))
    assert store.pay(before.order_id) == unchanged(
        before,
        status="PAID",
        date_status_changed=store.now,
        payment=before.payment._replace(status="Received", date_paid=store.now),
    )


def test_shipping_sets_tracking_and_date(store: Store) -> None:
    before = store.order(unpaid(store))
    assert store.ship(before.order_id, "T1", "https://example.org/T1") == unchanged(
        before,
        status="SHIPPED",
        date_status_changed=store.now,
        shipping=before.shipping._replace(
            tracking_no="T1", tracking_link="https://example.org/T1", date_shipped=store.now
        ),
    )


def test_changes_that_do_not_move_the_date_of_the_status(store: Store) -> None:
    order = store.order(unpaid(store))
    order_id = order.order_id
    order = unchanged(order, payment=order.payment._replace(status="Sent"))
    assert store.set_payment_status(order_id, "Sent") == order
    store.set_payment_status(order_id, "None")
    order = unchanged(order, payment=order.payment._replace(status="None"))
    order = unchanged(order, costs=order.costs._replace(shipping=Decimal("9.99"), credit=Decimal("0.01")))
    assert store.edit_costs(order_id, shipping=Decimal("9.99"), credit=Decimal("0.01")) == order
    order = unchanged(order, remarks="other")
    assert store.edit_remarks(order_id, "other") == order
    order = unchanged(order, shipping=order.shipping._replace(tracking_no="T2", tracking_link=None))
    assert store.edit_tracking(order_id, "T2") == order
    order = unchanged(order, is_filed=True)
    assert store.file(order_id) == order
    order = unchanged(order, is_filed=False)
    assert store.unfile(order_id) == order
    order = unchanged(order, status="PURGED")
    assert store.purge(order_id) == order


def test_what_only_the_detail_shows_moves_nothing_in_the_list(store: Store) -> None:
    order_id = unpaid(store)
    row = Wire().row(store.order(order_id))
    store.edit_remarks(order_id, "other")
    store.edit_tracking(order_id, "T3")
    assert Wire().row(store.order(order_id)) == row


def test_costs_are_not_edited_once_paid(store: Store) -> None:
    order_id = store.place_order(paid=True)
    with pytest.raises(NotPossibleError, match="NOT_IN_UPDATABLE_STATUS"):
        store.edit_costs(order_id, shipping=Decimal(1))


def test_a_batch_more_starts_the_order_anew(store: Store) -> None:
    before = store.order(store.place_order(paid=True))
    after = store.add_batch(before.order_id)
    assert after.batches[:-1] == before.batches
    assert after.batches[-1]
    assert after == unchanged(
        before,
        batches=after.batches,
        status="UPDATED",
        date_ordered=store.now,
        date_status_changed=store.now,
        payment=before.payment._replace(status="None", date_paid=None),
    )


def test_the_last_item_can_be_removed_until_there_is_none(store: Store) -> None:
    lots = next(order.lots for order in store.sales.values() if len(order.lots) > 1)[:2]
    order_id = store.place_order(lots=lots, paid=True)
    assert store.remove_last_item(order_id).batches == ((lots[0],),)
    after = store.remove_last_item(order_id)
    assert (len(after.batches), after.subtotal, after.status) == (0, Decimal(0), "UPDATED")
    with pytest.raises(NotPossibleError):
        store.remove_last_item(order_id)


def test_a_credit_goes_with_the_items_it_was_for(store: Store) -> None:
    lots = next(order.lots for order in store.sales.values() if len(order.lots) > 1)[:2]
    order_id = store.place_order(lots=lots)
    subtotal = store.order(order_id).subtotal
    store.edit_costs(order_id, credit=subtotal, coupon=Decimal(0))
    assert store.remove_last_item(order_id).costs.credit == 0


def test_items_of_a_purged_order_do_not_change(store: Store) -> None:
    order_id = next(order.order_id for order in store.sales.values() if order.is_purged)
    with pytest.raises(NotPossibleError):
        store.add_batch(order_id)


def test_an_unknown_order_is_said_to_be_unknown(store: Store) -> None:
    with pytest.raises(UnknownOrderError):
        store.pay(1)


def test_the_clock_moves_only_when_asked_to(store: Store) -> None:
    assert store.advance(timedelta(days=2)) == store.now == NOW + timedelta(days=2)


def test_sales_once_read_stay_as_they_were(store: Store) -> None:
    sales = store.sales
    before = dict(sales)
    move_on(store, changed=3)
    assert sales == before


@pytest.mark.parametrize("seed", range(8))
def test_a_living_store_changes_exactly_as_many_orders_as_asked(seed: int) -> None:
    store = Store.grow(60, seed=seed, now=NOW)
    wire = Wire()
    before = {key: wire.row(order) for key, order in store.sales.items()}
    unfiled = {key for key, order in store.sales.items() if not order.is_filed}
    lines = move_on(store, new=5, changed=12, seed=seed)
    after = {key: wire.row(order) for key, order in store.sales.items()}
    changed = {key for key in before if after[key] != before[key]}
    assert (len(after) - len(before), len(changed), len(lines)) == (5, 12, 17)
    assert changed <= unfiled


def test_a_living_store_does_the_same_from_the_same_seed() -> None:
    first, second = (Store.grow(60, now=NOW) for _ in range(2))
    assert move_on(first, seed=4) == move_on(second, seed=4)
    assert move_on(first, seed=4) == move_on(second, seed=4)
    assert first.orders == second.orders


def test_a_living_store_changes_in_many_ways() -> None:
    lines = move_on(Store.grow(600, now=NOW), new=0, changed=40)
    for kind in ("lots added", "payment", "shipping", "PACKED → SHIPPED", "→ COMPLETED"):
        assert any(kind in line for line in lines)


def test_too_few_orders_to_change_change_nothing(store: Store) -> None:
    before = dict(store.orders)
    with pytest.raises(NotPossibleError, match="not 31"):
        move_on(store, changed=31)
    assert store.orders == before


CHANGES: tuple[Callable[[Store, int], object], ...] = (
    Store.pay,
    Store.pack,
    Store.ship,
    Store.complete,
    Store.cancel,
    Store.file,
    Store.unfile,
    Store.purge,
    Store.add_batch,
    Store.remove_last_item,
    lambda store, _: store.place_order(),
    lambda store, order_id: store.set_payment_status(order_id, "Bounced"),
    lambda store, order_id: store.edit_costs(order_id, shipping=Decimal("3.33"), insurance=Decimal("1.10")),
)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CHANGES), st.integers(0, 7)), max_size=25), st.integers(0, 50))
def test_totals_hold_after_any_changes(changes: list[tuple[Callable[[Store, int], object], int]], seed: int) -> None:
    store = Store.grow(8, seed=seed, now=NOW, purchases=0, currencies=("EUR", "USD"))
    wire = Wire()
    for change, number in changes:
        try:
            change(store, sorted(store.sales)[number])
        except NotPossibleError:
            continue
    for order in store.orders.values():
        detail, batches = wire.detail(order), wire.items(order)
        lots = [lot for batch in batches for lot in batch]
        cost = {name: Decimal(value) for name, value in detail["cost"].items() if name != "currency_code"}
        assert cost["subtotal"] == sum(Decimal(lot["unit_price_final"]) * lot["quantity"] for lot in lots)
        assert detail["total_count"] == sum(lot["quantity"] for lot in lots)
        assert detail["unique_count"] == len(lots)
        assert Decimal(detail["total_weight"]) == sum(Decimal(lot["weight"]) * lot["quantity"] for lot in lots)
        assert cost["grand_total"] - cost["subtotal"] - cost["shipping"] == (
            cost["insurance"] + cost["etc1"] + cost["etc2"] + cost["salesTax"] - cost["credit"] - cost["coupon"]
        )
        collected = cost["salesTax"] if detail["salesTax_collected_by_bl"] else Decimal(0)
        collected += cost["vat_amount"] if detail.get("vat_collected_by_bl") else Decimal(0)
        assert cost["final_total"] == cost["grand_total"] - collected
        assert cost["grand_total"] >= 0
