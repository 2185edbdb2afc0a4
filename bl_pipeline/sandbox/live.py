"""An afternoon in a store: which orders change, and how."""

from collections import Counter
from collections.abc import Callable, Sequence
from decimal import Decimal
from random import Random

from bl_pipeline.sandbox.order import SandboxOrder
from bl_pipeline.sandbox.store import NotPossibleError, Store

_OPEN = frozenset({"PENDING", "UPDATED", "PROCESSING", "READY", "PAID-PENDING", "PAID", "PACKED", "SHIPPED"})
_DONE = frozenset({"RECEIVED", "COMPLETED"})
_NEXT_PAYMENT = {"None": "Sent", "Sent": "Received", "Received": "Completed", "Clearing": "Received"}

Change = Callable[[Store, SandboxOrder], SandboxOrder]


def move_on(store: Store, new: int = 5, changed: int = 12, seed: int = 0) -> list[str]:
    """Time passes in a store: `new` new orders, and `changed` different unfiled ones changed, each once.

    Every change can be seen in the list of orders. Returns a line for each thing that happened.

    Raises:
        NotPossibleError: if too few orders can change; nothing has happened then.
    """
    with store.changing(seed) as rng:
        candidates = [order for order in store.sales.values() if not (order.is_filed or order.is_purged)]
        if len(candidates) < changed:
            raise NotPossibleError(f"{len(candidates)} orders can change, not {changed}")
        return _move_on(store, rng, candidates, new, changed)


def _move_on(store: Store, rng: Random, candidates: Sequence[SandboxOrder], new: int, changed: int) -> list[str]:
    lines = []
    # The possible changes are made in turn, not by chance: so a few changes are of many kinds already.
    turns: Counter[tuple[Change, ...]] = Counter()
    for order in _chosen(rng, candidates, changed):
        changes = _possible(order)
        after = changes[turns[changes] % len(changes)](store, order)
        turns[changes] += 1
        lines.append(f"order {order.order_id}: {_difference(order, after)}")
    for _ in range(new):
        order_id = store.place_order(paid=rng.random() < 0.6)
        placed = store.order(order_id)
        lines.append(f"order {order_id}: new, {placed.status}, {placed.unique_count} lots")
    return lines


def _chosen(rng: Random, candidates: Sequence[SandboxOrder], changed: int) -> list[SandboxOrder]:
    """Mostly orders under way, some that are done, and others only if these are too few."""
    shuffled = rng.sample(candidates, len(candidates))
    under_way = [order for order in shuffled if order.status in _OPEN]
    done = [order for order in shuffled if order.status in _DONE]
    others = [order for order in shuffled if order.status not in _OPEN | _DONE]
    most = min(len(under_way), changed * 3 // 4)
    return [*under_way[:most], *done, *under_way[most:], *others][:changed]


def _possible(order: SandboxOrder) -> tuple[Change, ...]:
    if order.status in {"PENDING", "UPDATED", "PROCESSING", "READY"}:
        if order.payment.status == "None":
            return (_add_batch, _edit_costs, _pay, _payment, _cancel)
        return (_pay, _payment)
    if order.status == "PAID-PENDING":
        return (_pay,)
    if order.status == "PAID":
        return (_pack, _payment, _pack, _add_batch)
    if order.status == "PACKED":
        return (_ship,)
    if order.status == "SHIPPED":
        return (_receive, _complete, _payment)
    if order.status == "RECEIVED":
        return (_complete, _payment)
    return (_payment,)


def _difference(before: SandboxOrder, after: SandboxOrder) -> str:
    if len(after.batches) > len(before.batches):
        return f"{len(after.batches[-1])} lots added, {before.status} → {after.status}"
    if after.status != before.status:
        return f"{before.status} → {after.status}"
    if after.payment.status != before.payment.status:
        return f"payment {before.payment.status} → {after.payment.status}"
    return f"shipping {before.costs.shipping} → {after.costs.shipping} {after.currency}"


def _add_batch(store: Store, order: SandboxOrder) -> SandboxOrder:
    return store.add_batch(order.order_id)


def _edit_costs(store: Store, order: SandboxOrder) -> SandboxOrder:
    return store.edit_costs(order.order_id, shipping=order.costs.shipping + Decimal("1.35"))


def _pay(store: Store, order: SandboxOrder) -> SandboxOrder:
    return store.pay(order.order_id)


def _payment(store: Store, order: SandboxOrder) -> SandboxOrder:
    status = _NEXT_PAYMENT.get(order.payment.status, "Received")
    return store.set_payment_status(order.order_id, status)


def _cancel(store: Store, order: SandboxOrder) -> SandboxOrder:
    return store.cancel(order.order_id)


def _pack(store: Store, order: SandboxOrder) -> SandboxOrder:
    return store.pack(order.order_id)


def _ship(store: Store, order: SandboxOrder) -> SandboxOrder:
    return store.ship(order.order_id, tracking_no=f"TR{order.order_id:010d}")


def _receive(store: Store, order: SandboxOrder) -> SandboxOrder:
    return store.receive(order.order_id)


def _complete(store: Store, order: SandboxOrder) -> SandboxOrder:
    return store.complete(order.order_id)
