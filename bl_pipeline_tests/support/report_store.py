"""A store whose books are hard to keep, and what was seen of it: the store's own state, never the warehouse's."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise

from bl_pipeline.sandbox import Feedback, Lot, SandboxOrder, Store, move_on
from bl_pipeline.sandbox.order import to_fourths
from bl_pipeline_tests.support.sales_rows import STATUS

NOW = datetime(2026, 6, 15, 12, tzinfo=UTC)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Pacific/Auckland", "Asia/Kathmandu")

GOES_ON = {"processing", "shipped", "completed"}
"""Statuses of orders that a seller works on as paid."""
RECEIVED = {"Received", "Completed"}
"""Payment statuses of money that has come."""

BOUNDARIES = [
    datetime.fromisoformat(moment)
    for moment in (
        # The year ends in Auckland, Kathmandu, Berlin, UTC and New York.
        "2025-12-31T10:59:59.999Z",
        "2025-12-31T11:00:00.000Z",
        "2025-12-31T18:14:59.999Z",
        "2025-12-31T18:15:00.000Z",
        "2025-12-31T22:59:59.999Z",
        "2025-12-31T23:00:00.000Z",
        "2025-12-31T23:59:59.999Z",
        "2026-01-01T00:00:00.000Z",
        "2026-01-01T04:59:59.999Z",
        "2026-01-01T05:00:00.000Z",
        # Berlin's day of 25 hours, with an hour that comes twice, and the end of a month that began in summer time.
        "2025-10-25T22:00:00.000Z",
        "2025-10-26T00:30:00.000Z",
        "2025-10-26T01:30:00.000Z",
        "2025-10-26T22:59:59.999Z",
        "2025-10-26T23:00:00.000Z",
        "2025-10-31T22:59:59.999Z",
        "2025-10-31T23:00:00.000Z",
        # Its day of 23 hours, and the end of a month that began in winter time.
        "2026-03-28T23:00:00.000Z",
        "2026-03-29T00:59:59.999Z",
        "2026-03-29T01:00:00.000Z",
        "2026-03-29T21:59:59.999Z",
        "2026-03-29T22:00:00.000Z",
        "2026-03-31T21:59:59.999Z",
        "2026-03-31T22:00:00.000Z",
        # New York's, and Auckland's the other way round.
        "2026-03-08T06:59:59.999Z",
        "2026-03-08T07:00:00.000Z",
        "2025-11-01T03:59:59.999Z",
        "2025-11-01T04:00:00.000Z",
        "2026-04-04T13:59:59.999Z",
        "2026-04-04T14:00:00.000Z",
        "2026-03-31T10:59:59.999Z",
        "2026-03-31T11:00:00.000Z",
    )
]
CLOSED = date(2026, 5, 1)
"""The period that is closed after the first look, and with it all before."""
NEW_YEAR_IN_BERLIN = datetime.fromisoformat("2025-12-31T23:00:00.000Z")


def days_of() -> Iterator[Store]:
    """The store on the three days on which it is looked at; the same each time."""
    store = grow_store()
    yield store
    next_day(store)
    yield store
    day_after(store)
    yield store


def grow_store() -> Store:
    """A store with three currencies, every status, purged orders, and an order on each boundary."""
    store = Store.grow(orders=150, seed=11, now=NOW, days=760, purged=12, unknown=2, currencies=("EUR", "USD", "GBP"))
    sound = [order for order in store.sales.values() if order.status == "COMPLETED"]
    count = len(BOUNDARIES)
    for number, order in enumerate(sound[:count]):
        store.put(
            replace(
                order,
                date_ordered=BOUNDARIES[number],
                date_status_changed=max(BOUNDARIES[number], BOUNDARIES[(number + 19) % count]),
                payment=order.payment._replace(date_paid=BOUNDARIES[(number + 7) % count]),
                shipping=order.shipping._replace(date_shipped=BOUNDARIES[(number + 13) % count]),
            )
        )
    # An order that came to nothing is on a boundary, too, and so is one with a credit.
    cancelled = next(order for order in store.sales.values() if order.status == "CANCELLED")
    credited = next(order for order in sound[count:-2] if order.costs.credit)
    for order in (cancelled, credited):
        changed_at = max(NEW_YEAR_IN_BERLIN, order.date_status_changed)
        store.put(replace(order, date_ordered=NEW_YEAR_IN_BERLIN, date_status_changed=changed_at))
    # First seen when it was over, and nobody says when it was shipped.
    store.put(replace(sound[-2], shipping=sound[-2].shipping._replace(date_shipped=None)))
    # Items of the seller's own, without a catalogue number: several in an order, and one in another.
    for order, names in ((sound[-3], ("Gift & card", "Poster")), (sound[-4], ("Poster",))):
        batches = [list(batch) for batch in order.batches]
        for place, name in enumerate(names[: len(batches[0])]):
            item = batches[0][place].item._replace(no=None, name=name, escapes=1)
            batches[0][place] = batches[0][place]._replace(item=item)
        store.put(replace(order, batches=tuple(tuple(batch) for batch in batches)))
    # Nobody knows whether it was ever paid: it was purged before it was first seen.
    purged = next(order for order in store.sales.values() if order.is_purged)
    store.put(replace(purged, payment=purged.payment._replace(status="None", date_paid=None)))
    # BrickLink has lost the name of this buyer.
    store.put(replace(sound[-1], buyer=sound[-1].buyer._replace(name=None)))
    _enter_costs(store)
    return store


def _enter_costs(store: Store) -> None:
    """What lots have cost: of all, of some or of none, by the month in which they were sold."""
    for order in list(store.sales.values()):
        every = (1, 2, 100)[order.date_ordered.month % 3]
        batches = tuple(
            tuple(
                lot._replace(order_cost=Decimal("0.0123") + to_fourths(lot.unit_price / 4))
                if place % every == 0
                else lot
                for place, lot in enumerate(batch, start=1)
            )
            for batch in order.batches
        )
        store.put(replace(order, batches=batches))


def next_day(store: Store) -> None:
    """A day later: much has happened."""
    store.advance(timedelta(days=1))
    move_on(store, new=6, changed=14, seed=3)
    unpaid = [order.order_id for order in _where(store, lambda order: order.payment.status == "None")]
    store.edit_costs(unpaid[0], credit=Decimal("0.5000"))
    store.edit_costs(unpaid[1], coupon=Decimal("0.2500"), shipping=Decimal("9.9900"))
    store.edit_costs(unpaid[2], credit=Decimal("0.7500"), shipping=Decimal("20.0000"))
    paid = [order.order_id for order in _where(store, lambda order: order.status == "PAID")]
    store.cancel(paid[0])
    # Shipped as far as the status goes, without any date of it.
    store.set_status(paid[1], "SHIPPED")
    store.set_status(paid[2], "QUARANTINED")
    # Dearer than before, though it was paid long ago; the day after a batch takes its payment away.
    settled = _where(store, _is_settled)[-1]
    dearer = settled.costs._replace(shipping=settled.costs.shipping + 1)
    store.put(replace(settled, costs=dearer, date_status_changed=store.now))
    for lost in ("NRS", "NSS"):
        shipped = _where(store, lambda order: order.status == "SHIPPED" and order.shipping.date_shipped is not None)
        store.set_status(shipped[0].order_id, lost)


def day_after(store: Store) -> None:
    """Six weeks later: orders come to their ends, some are purged."""
    store.advance(timedelta(days=44))
    for order in _where(store, lambda order: order.status == "SHIPPED")[:4]:
        store.receive(order.order_id)
    for order in _where(store, lambda order: order.status == "RECEIVED")[:3]:
        store.complete(order.order_id)
    unpaid = _where(store, lambda order: order.payment.status == "None" and order.costs.credit > 0)
    store.edit_costs(unpaid[0].order_id, credit=Decimal(0))
    with_coupon = _where(store, lambda order: order.payment.status == "None" and order.costs.coupon > 0)
    store.edit_costs(with_coupon[0].order_id, coupon=Decimal("0.1000"))
    unpaid = _where(store, lambda order: order.payment.status == "None" and order.costs.shipping > 1)
    store.edit_costs(unpaid[-1].order_id, shipping=Decimal("0.7500"))
    several = _where(store, lambda order: order.status == "PENDING" and order.unique_count > 1)
    store.remove_last_item(several[0].order_id)
    completed = _where(store, lambda order: order.status == "COMPLETED")
    for order in completed[:3]:
        store.purge(order.order_id)
    # Its second batch is never seen: purged before the next sync.
    late = completed[3].order_id
    store.add_batch(late)
    store.pay(late)
    store.complete(late)
    store.purge(late)
    cancelled = _where(store, lambda order: order.status == "CANCELLED")
    store.purge(cancelled[0].order_id)
    store.file(completed[4].order_id)
    # In another currency the same order costs less, and so do its credit and its coupon.
    in_euro = _where(store, lambda order: order.currency == "EUR" and order.costs.credit + order.costs.coupon > 1)
    for order, reduced in zip(in_euro, ("credit", "coupon", "credit", "coupon"), strict=False):
        costs = order.costs._replace(**{reduced: Decimal(1)}, shipping=Decimal(0))
        store.put(replace(order, currency="USD", costs=costs))
    move_on(store, new=2, changed=5, seed=4)
    come_back(store)


def come_back(store: Store) -> None:
    """What was settled is not: payments come back, addresses, rates and totals change, an order is reopened."""
    paid = _where(store, lambda order: order.status == "RECEIVED" and order.payment.status == "Received")
    for order, status in zip(paid, ("Clearing", "Returned", "Bounced"), strict=False):
        store.put(replace(order, payment=order.payment._replace(status=status)))
    # Paid, and nobody says when; one of them is not shipped either.
    for order in (paid[3], _where(store, lambda order: order.status == "PAID")[0]):
        store.put(replace(order, payment=order.payment._replace(date_paid=None)))
    store.add_batch(
        _where(store, lambda order: order.status == "PAID" and order.payment.date_paid is not None)[0].order_id
    )
    settled = _where(store, lambda order: order.status == "COMPLETED" and order.costs.vat_rate > 0)
    store.put(replace(settled[0], costs=settled[0].costs._replace(vat_rate=Decimal(7)), date_status_changed=store.now))
    # The address was wrong.
    moved = next(order for order in store.sales.values() if order.buyer.country != settled[1].buyer.country).buyer
    address = settled[1].shipping._replace(address=moved.address)
    buyer = settled[1].buyer._replace(country=moved.country)
    store.put(replace(settled[1], buyer=buyer, shipping=address, date_status_changed=store.now))
    store.set_status(_where(store, lambda order: order.status == "NSS")[0].order_id, "COMPLETED")
    credited = _where(store, lambda order: order.status == "COMPLETED" and order.costs.credit > 0)
    store.cancel(credited[0].order_id)
    by_bricklink = _where(store, lambda order: bool(order.vat_collected_by_bl) and order.status == "COMPLETED")
    cancelled = store.cancel(by_bricklink[0].order_id)
    store.put(replace(cancelled, payment=cancelled.payment._replace(status="Returned")))
    store.add_batch(_where(store, _is_settled)[-1].order_id)
    # Purged on its way, which is the last that anybody will know of it.
    store.purge(_where(store, lambda order: order.status == "SHIPPED")[-1].order_id)
    pending = _where(store, lambda order: order.status == "PENDING")
    for order, status in zip(pending, ("Clearing", "Received", "Bounced"), strict=False):
        store.put(replace(order, payment=order.payment._replace(status=status)))
    lost = _where(store, lambda order: order.status == "NRS")[0]
    store.put(replace(lost, payment=lost.payment._replace(date_paid=lost.date_ordered + timedelta(days=40))))


def counts(seen: Seen) -> bool:
    """Whether an order as it was seen counts as revenue."""
    return seen.status not in {"cancelled", "problem"}


def counted_paid_at(order: SandboxOrder) -> datetime | None:
    """When it was paid, with money that has come and is still there."""
    return None if order.payment.status in {"Clearing", "Returned", "Bounced"} else order.payment.date_paid


def _is_sent(seen: Seen) -> bool:
    return seen.status in {"shipped", "completed"}


def _is_settled(order: SandboxOrder) -> bool:
    is_old = order.date_ordered < NOW - timedelta(days=60)
    return is_old and order.status == "COMPLETED" and order.payment.status == "Completed"


def _where(store: Store, fits: Callable[[SandboxOrder], bool]) -> list[SandboxOrder]:
    return [order for order in store.sales.values() if not order.is_filed and fits(order)]


@dataclass(frozen=True)
class Seen:
    """An order as it was seen at a moment; `status` is the normalised one."""

    order: SandboxOrder
    status: str
    at: datetime

    @property
    def tracked(self) -> tuple[object, ...]:
        """What makes a new state."""
        order = self.order
        return (
            order.status,
            order.payment.status,
            order.payment.method,
            order.date_ordered,
            order.payment.date_paid,
            order.shipping.date_shipped,
            order.buyer.country,
            order.shipping.address.state,
            order.shipping.address.postal_code,
            order.total_count,
            order.subtotal,
            order.costs,
            order.grand_total,
            order.final_total,
            order.sales_tax_collected_by_bl,
            order.vat_collected_by_bl,
            order.currency,
            order.is_filed,
        )


@dataclass(frozen=True)
class State:
    """A state of an order, from a moment to a moment."""

    number: int
    seen: Seen
    since: datetime
    until: datetime | None
    exact: bool
    not_before: datetime | None


@dataclass
class Books:
    """All that was seen of the store, a look at all its sales at a time."""

    history: dict[int, list[Seen]] = field(default_factory=dict)
    lots: dict[int, tuple[Lot, ...]] = field(default_factory=dict)
    feedback: list[Feedback] = field(default_factory=list)
    """As of the last look."""
    refunds: list[dict[str, str]] = field(default_factory=list)
    fees: list[dict[str, str]] = field(default_factory=list)
    """The lines of the files that the seller has imported."""
    looked_at: datetime | None = None
    documents: dict[int, list[int]] = field(default_factory=dict)
    """The ids of the answers that showed the states of an order, in their order: the warehouse gives them."""

    def look(self, sales: Mapping[int, SandboxOrder], now: datetime) -> None:
        """Note how the sales are now."""
        self.looked_at = now
        for order_id, order in sales.items():
            history = self.history.setdefault(order_id, [])
            if order.is_purged:
                paid = order.payment.date_paid is not None
                status = history[-1].status if history else "completed" if paid else "unknown"
            else:
                status = STATUS.get(order.status, "unknown")
                self.lots[order_id] = order.lots
            seen = Seen(order, status, now)
            if not history or history[-1].tracked != seen.tracked:
                history.append(seen)

    def now(self) -> list[Seen]:
        """Every sale as last seen."""
        return [history[-1] for history in self.history.values()]

    def revenue(self) -> list[Seen]:
        """The sales that count as revenue."""
        return [seen for seen in self.now() if counts(seen)]

    def states(self, order_id: int) -> list[State]:
        """The states of an order, one after the other."""
        history = self.history[order_id]
        starts: list[tuple[datetime, bool]] = []
        for number, seen in enumerate(history):
            changed_at = seen.order.date_status_changed
            earlier = history[number - 1] if number else None
            exact = (earlier is None or changed_at >= earlier.at) and changed_at <= seen.at
            starts.append((changed_at if exact else seen.at, exact))
        ends = [*(since for _, (since, _) in pairwise(starts)), None]
        return [
            State(number + 1, seen, since, until, exact, history[number - 1].at if number else None)
            for number, (seen, (since, exact), until) in enumerate(zip(history, starts, ends, strict=True))
        ]

    def shipped_at(self, seen: Seen) -> datetime | None:
        """When it was shipped, or first seen shipped."""
        if seen.order.shipping.date_shipped is not None:
            return seen.order.shipping.date_shipped
        return self._first(seen, _is_sent)

    def shipped_at_is(self, seen: Seen) -> str | None:
        """How certain that is."""
        if seen.order.shipping.date_shipped is not None:
            return "exact"
        sent = [past for past in self.history[seen.order.order_id] if _is_sent(past)]
        if not sent:
            return None
        first = min(sent, key=lambda past: min(past.order.date_status_changed, past.at))
        is_dated = first.order.status == "SHIPPED" and first.order.date_status_changed <= first.at
        return "status" if is_dated else "at_latest"

    def received_at(self, seen: Seen) -> datetime | None:
        """When it was received, if it was ever seen so."""
        return self._first(seen, lambda past: past.order.status == "RECEIVED")

    def _first(self, seen: Seen, fits: Callable[[Seen], bool]) -> datetime | None:
        moments = [
            min(past.order.date_status_changed, past.at) for past in self.history[seen.order.order_id] if fits(past)
        ]
        return min(moments, default=None)
