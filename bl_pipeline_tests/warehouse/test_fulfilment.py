"""What is to be done for orders, and the order of a pick list."""

from __future__ import annotations

import random
from collections.abc import Sequence

from bl_pipeline.sandbox import Lot, Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.fulfilment import Step, natural, read_chosen, read_pick_list, read_todo
from bl_pipeline_tests.conftest import Sync


def test_numbers_in_a_place_are_compared_as_numbers() -> None:
    """Planted: compared as text; a number that int() refuses."""
    places = [None, "2B", "10a", "a2", "A10", "A10-3", "A10-20", "A" + "9" * 5000, "A-02", "A-10", "kiste ü4", "ä"]
    shuffled = random.Random(3).sample(places, len(places))
    assert sorted(shuffled, key=natural) == places
    assert natural("a007") == natural("A7")


STEPS = [
    ("PENDING", "None", Step.TO_BE_PAID),
    ("PENDING", "Sent", Step.TO_BE_PAID),
    ("PAID-PENDING", "Clearing", Step.TO_BE_PAID),
    ("UPDATED", "Received", Step.TO_PACK),
    ("READY", "Completed", Step.TO_PACK),
    ("PAID", "None", Step.TO_PACK),
    ("PACKED", "None", Step.TO_SEND),
    ("SHIPPED", "Received", None),
    ("COMPLETED", "Received", None),
    ("CANCELLED", "Received", None),
    ("OCR", "Received", None),
    ("PURGED", "Received", None),
]


def test_the_step_of_an_order(synced: Sync, store: Store, warehouse: Warehouse) -> None:
    """A purged order keeps our word for the status that it had. Planted: that one listed; the payment ignored."""
    orders = [store.place_order() for _ in STEPS]
    assert synced().success
    for order, (status, payment, _) in zip(orders, STEPS, strict=True):
        store.set_payment_status(order, payment)
        store.set_status(order, status)
    assert synced().success
    with warehouse.engine.connect() as connection:
        todo = read_todo(connection, warehouse, limit=100)
    found = {row["platform_order_id"]: one.step for one in todo for row in one.orders}
    for order, (status, payment, step) in zip(orders, STEPS, strict=True):
        assert found.get(str(order)) == step, (status, payment)


def test_each_step_has_its_oldest_orders(synced: Sync, store: Store, warehouse: Warehouse) -> None:
    """Planted: the limit for all steps together; the newest first."""
    more = [store.place_order() for _ in range(3)]
    store.pay(more[2])
    assert synced().success
    with warehouse.engine.connect() as connection:
        every = {one.step: one for one in read_todo(connection, warehouse, limit=100)}
        few = {one.step: one for one in read_todo(connection, warehouse, limit=1)}
    for step in Step:
        dates = [row["order_date"] for row in every[step].orders]
        assert dates == sorted(dates)
        assert every[step].count == few[step].count == len(dates)
        assert list(few[step].orders) == list(every[step].orders[:1])
    assert every[Step.TO_PACK].count
    assert every[Step.TO_BE_PAID].count >= 2


def lots_at(places: Sequence[str | None], like: Lot) -> list[Lot]:
    return [like._replace(inventory_id=100 + place, remarks=text) for place, text in enumerate(places)]


def test_a_pick_list_goes_by_place_and_joins_equal_lots(synced: Sync, store: Store, warehouse: Warehouse) -> None:
    """Planted: sorted as text; a lot without a place first; equal lots of two orders as two lines."""
    like = next(iter(store.sales.values())).batches[0][0]._replace(quantity=2)
    first = store.place_order(lots=lots_at(["A10", "A2", None, "B1"], like))
    second = store.place_order(lots=lots_at(["a1", "A2"], like._replace(quantity=3)))
    assert synced().success
    with warehouse.engine.connect() as connection:
        lines = read_pick_list(connection, warehouse, [str(first), str(second)])
        orders = read_chosen(connection, warehouse, [str(second), "99", str(first)])
    assert [(line.lot["place"], line.orders, line.quantity) for line in lines] == [
        ("a1", [(str(second), 3)], 3),
        ("A2", [(str(first), 2), (str(second), 3)], 5),
        ("A10", [(str(first), 2)], 2),
        ("B1", [(str(first), 2)], 2),
        (None, [(str(first), 2)], 2),
    ]
    assert [(row["platform_order_id"], row["stored_pieces"]) for row in orders] == [(str(second), 6), (str(first), 8)]


def test_lots_that_differ_stay_apart(synced: Sync, store: Store, warehouse: Warehouse) -> None:
    """One place can have the same item in several colours and conditions."""
    like = next(iter(store.sales.values())).batches[0][0]._replace(remarks="A1", quantity=1, description=None)
    lots = [like, like._replace(inventory_id=7, condition="U" if like.condition == "N" else "N"),
            like._replace(inventory_id=8, description="scratched")]  # fmt: skip
    order = store.place_order(lots=lots)
    assert synced().success
    with warehouse.engine.connect() as connection:
        assert len(read_pick_list(connection, warehouse, [str(order)])) == 3
