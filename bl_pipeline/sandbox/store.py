"""A store: its orders, its clock, and everything that can happen to an order."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from threading import RLock
from types import MappingProxyType
from typing import Any, Literal

from bl_pipeline.sandbox.conversation import Conversations, Feedback, Message
from bl_pipeline.sandbox.grow import grow_orders
from bl_pipeline.sandbox.market import Life, Market
from bl_pipeline.sandbox.order import ZERO, Batch, Lot, SandboxOrder

# More than a second, so that also timestamps in whole seconds differ from one change to the next.
_STEP = timedelta(milliseconds=1037)
_UNPAID = frozenset({"None", "Returned", "Bounced"})


def is_paid(order: SandboxOrder) -> bool:
    """Whether the costs of the order cannot be changed any more."""
    return order.payment.status not in _UNPAID


class UnknownOrderError(LookupError):
    """The store has no order of this id."""


class NotPossibleError(ValueError):
    """What is asked cannot happen to this order in its state."""


class Store:
    """A store that is made from a seed and changes only through its methods; safe to use from many threads.

    Orders are immutable: a change replaces the old one by a new one, and a mapping once got from `sales`
    stays the same. Every change first moves the store's clock on by about a second, and happens then.

    Args:
        market: the stock and the buyers.
        orders: what there is to begin with, sales and purchases.
        now: the store's clock; aware.
        seed: what new orders and batches follow from.
    """

    def __init__(self, market: Market, orders: Sequence[SandboxOrder], now: datetime, seed: int) -> None:
        if now.tzinfo is None:
            raise ValueError("the store's clock needs a time zone")
        self._market = market
        self._orders = {order.order_id: order for order in orders}
        self._now = now.astimezone(UTC)
        self._seed = seed
        self._changes = 0
        self._drive_thrus: Counter[int] = Counter()
        self.conversations = Conversations(seed)
        self._lock = RLock()

    @classmethod
    def grow(
        cls,
        orders: int = 300,
        seed: int = 7,
        now: datetime | None = None,
        *,
        filed: int | None = None,
        purged: int | None = None,
        unknown: int = 0,
        currencies: Sequence[str] = ("EUR",),
        purchases: int | None = None,
        days: int = 425,
    ) -> "Store":
        """A store with `orders` sales in the `days` days before `now`; the same arguments give the same store.

        Args:
            orders: how many sales.
            now: the store's clock; None for the last full hour.
            filed: the exact number of filed sales; None for a realistic share: many of the old and finished ones.
            purged: the exact number of purged sales; None for those completed half a year ago.
            unknown: the number of sales that have a status nobody has documented.
            currencies: what the store sells in, the usual one first.
            purchases: how many orders the store itself has placed, besides its sales; None for one in twenty.

        Raises:
            ValueError: if more filed, purged or unknown ones are asked for than there are sales.
        """
        if now is None:
            now = datetime.now(UTC).replace(minute=0, second=0, microsecond=0)
        market = Market(seed, max(3, orders // 2), currencies)
        if purchases is None:
            purchases = max(2, orders // 20)
        grown = grow_orders(
            market,
            seed,
            now,
            sales=orders,
            purchases=purchases,
            days=days,
            filed=filed,
            purged=purged,
            unknown=unknown,
        )
        return cls(market, grown, now, seed)

    @property
    def now(self) -> datetime:
        """The store's clock, UTC."""
        return self._now

    @property
    def orders(self) -> Mapping[int, SandboxOrder]:
        """Every order by its id, sold and bought, as of now."""
        return MappingProxyType(self._orders)

    @property
    def sales(self) -> Mapping[int, SandboxOrder]:
        """The orders received, by id, as of now."""
        return MappingProxyType({key: order for key, order in self._orders.items() if order.direction == "in"})

    @property
    def purchases(self) -> Mapping[int, SandboxOrder]:
        """The orders placed by the store itself, by id, as of now."""
        return MappingProxyType({key: order for key, order in self._orders.items() if order.direction == "out"})

    def order(self, order_id: int) -> SandboxOrder:
        """One order as of now; UnknownOrderError if there is none."""
        try:
            return self._orders[order_id]
        except KeyError:
            raise UnknownOrderError(f"there is no order {order_id}") from None

    def advance(self, by: timedelta) -> datetime:
        """Move the store's clock on; returns the new time."""
        with self._lock:
            self._now += by
            return self._now

    def put(self, order: SandboxOrder) -> None:
        """Put an order in as it is, new or in place of the one with its id."""
        with self._lock:
            # A new dict rather than a change in the old one: a thread that reads the old one is not disturbed.
            self._orders = {**self._orders, order.order_id: order}

    def place_order(
        self,
        *,
        lots: Sequence[Lot] | None = None,
        paid: bool = False,
        buyer_name: str | None = None,
    ) -> int:
        """A new sale: PENDING, or PAID at once; returns its id, which is greater than all before.

        Args:
            lots: what is bought; None for whatever the seed says.
            buyer_name: a member who has bought before; None for a buyer of the seed's choice.

        Raises:
            NotPossibleError: if no such buyer exists.
        """
        with self._lock:
            when = self._tick()
            order_id = max(self._orders, default=24_000_000) + 1 + self._changes % 7
            rng = Random(f"{self._seed}/{order_id}/{self._changes}")
            buyer = self._market.buyer(rng)
            if buyer_name is not None:
                found = [known for known in self._market.buyers if known.name == buyer_name]
                if not found:
                    raise NotPossibleError("there is no buyer of this name")
                buyer = found[0]
            before = sum(order.buyer.email == buyer.email for order in self.sales.values())
            life = Life("PAID", when, "Received", when, None) if paid else Life("PENDING", when, "None", None, None)
            batches = None if lots is None else ((tuple(lots),) if lots else ())
            order = self._market.order(
                rng, order_id, when, life, buyer=buyer, buyer_order_count=before + 1, batches=batches
            )
            self.put(order)
            return order_id

    def set_status(self, order_id: int, status: str) -> SandboxOrder:
        """Any status, known or not; date_status_changed moves."""
        return self._change(order_id, status=status)

    def pay(self, order_id: int) -> SandboxOrder:
        """The buyer pays: PAID, payment Received."""
        with self._lock:
            when = self._tick()
            payment = self.order(order_id).payment._replace(date_paid=when, status="Received")
            return self._change(order_id, when, status="PAID", payment=payment)

    def pack(self, order_id: int) -> SandboxOrder:
        """PACKED."""
        return self.set_status(order_id, "PACKED")

    def ship(self, order_id: int, tracking_no: str | None = None, tracking_link: str | None = None) -> SandboxOrder:
        """SHIPPED now, with or without tracking."""
        with self._lock:
            when = self._tick()
            shipping = self.order(order_id).shipping._replace(
                date_shipped=when, tracking_no=tracking_no, tracking_link=tracking_link
            )
            return self._change(order_id, when, status="SHIPPED", shipping=shipping)

    def receive(self, order_id: int) -> SandboxOrder:
        """RECEIVED."""
        return self.set_status(order_id, "RECEIVED")

    def complete(self, order_id: int) -> SandboxOrder:
        """COMPLETED."""
        return self.set_status(order_id, "COMPLETED")

    def cancel(self, order_id: int) -> SandboxOrder:
        """CANCELLED; what was paid stays paid."""
        return self.set_status(order_id, "CANCELLED")

    def set_payment_status(self, order_id: int, status: str) -> SandboxOrder:
        """The payment's status alone: neither the order's status nor date_status_changed moves.

        A payment that is Received has a date from then on, one that is None has none.
        """
        with self._lock:
            payment = self.order(order_id).payment
            paid = self._now if status == "Received" and payment.date_paid is None else payment.date_paid
            payment = payment._replace(status=status, date_paid=None if status == "None" else paid)
            return self._change_silently(order_id, payment=payment)

    def update(
        self,
        order_id: int,
        *,
        shipping: Mapping[str, Any] | None = None,
        costs: Mapping[str, Decimal] | None = None,
        remarks: str | None = None,
        is_filed: bool | None = None,
    ) -> SandboxOrder:
        """The seller changes any of these at once, whether the order is paid or not; date_status_changed stays.

        Args:
            shipping: fields of `Shipping`; an empty text removes what is set.
            costs: fields of `Costs`.
            remarks: other remarks; an empty text removes them.
        """
        with self._lock:
            order = self.order(order_id)
            unset: dict[str, Any] = {name: None if value == "" else value for name, value in (shipping or {}).items()}
            return self._change_silently(
                order_id,
                shipping=order.shipping._replace(**unset),
                costs=order.costs._replace(**(costs or {})),
                remarks=order.remarks if remarks is None else remarks or None,
                is_filed=order.is_filed if is_filed is None else is_filed,
            )

    def send_drive_thru(self, order_id: int) -> SandboxOrder:
        """The e-mail "Thank You, Drive Thru!" goes to the buyer, once more if it was sent before."""
        with self._lock:
            self._drive_thrus[order_id] += 1
            return self._change_silently(order_id, drive_thru_sent=True)

    def write_message(self, order_id: int, body: str, subject: str | None = None) -> Message:
        """The buyer writes to the seller; nothing in the list or in the order moves."""
        with self._lock:
            return self.conversations.write_message(self.order(order_id), self._tick(), body, subject)

    def rate(self, order_id: int, rating: Literal[0, 1, 2], comment: str) -> Feedback:
        """The buyer gives feedback to the seller: 0 praise, 1 neutral, 2 complaint; nothing else moves."""
        with self._lock:
            return self.conversations.rate(self.order(order_id), self._tick(), rating, comment)

    def drive_thrus(self, order_id: int) -> int:
        """How many such e-mails were sent by `send_drive_thru`."""
        return self._drive_thrus[order_id]

    def edit_costs(
        self,
        order_id: int,
        *,
        shipping: Decimal | None = None,
        insurance: Decimal | None = None,
        etc1: Decimal | None = None,
        etc2: Decimal | None = None,
        credit: Decimal | None = None,
        coupon: Decimal | None = None,
    ) -> SandboxOrder:
        """The seller changes parts of the costs; date_status_changed does not move.

        Raises:
            NotPossibleError: if the order is paid, or if nothing is given.
        """
        parts = {"shipping": shipping, "insurance": insurance, "etc1": etc1, "etc2": etc2}
        parts |= {"credit": credit, "coupon": coupon}
        given = {name: amount for name, amount in parts.items() if amount is not None}
        if not given:
            raise NotPossibleError("no cost to change")
        with self._lock:
            order = self.order(order_id)
            if is_paid(order):
                raise NotPossibleError(f"order {order_id} is paid: NOT_IN_UPDATABLE_STATUS")
            return self._change_silently(order_id, costs=order.costs._replace(**given))

    def edit_remarks(self, order_id: int, remarks: str | None) -> SandboxOrder:
        """Other remarks, or none: seen in the detail only, nothing in the list moves."""
        return self._change_silently(order_id, remarks=remarks)

    def edit_tracking(self, order_id: int, tracking_no: str | None, tracking_link: str | None = None) -> SandboxOrder:
        """Another tracking number, or none: seen in the detail only, nothing in the list moves."""
        shipping = self.order(order_id).shipping._replace(tracking_no=tracking_no, tracking_link=tracking_link)
        return self._change_silently(order_id, shipping=shipping)

    def file(self, order_id: int) -> SandboxOrder:
        """Into the list of filed orders; nothing else moves."""
        return self._change_silently(order_id, is_filed=True)

    def unfile(self, order_id: int) -> SandboxOrder:
        """Back into the list of unfiled orders; nothing else moves."""
        return self._change_silently(order_id, is_filed=False)

    def purge(self, order_id: int) -> SandboxOrder:
        """PURGED: the API loses the items. As in recorded answers, date_status_changed stays."""
        return self._change_silently(order_id, status="PURGED")

    def add_batch(self, order_id: int, lots: Sequence[Lot] | None = None) -> SandboxOrder:
        """The buyer adds to the order: ordered now, UPDATED, payment None, new totals.

        Args:
            lots: what is added; None for one to four lots of the seed's choice.

        Raises:
            NotPossibleError: if the order is purged.
        """
        with self._lock:
            order = self.order(order_id)
            rng = Random(f"{self._seed}/{order_id}/{self._changes}")
            if lots is None:
                lots = self._market.batch(rng, rng.randrange(1, 5), order.lots)
            return self._rebatch(order, (*order.batches, tuple(lots)))

    def remove_last_item(self, order_id: int) -> SandboxOrder:
        """The last lot is removed, even if it is the only one: ordered now, UPDATED, payment None, new totals.

        Raises:
            NotPossibleError: if the order is purged or has no items.
        """
        with self._lock:
            order = self.order(order_id)
            if not order.lots:
                raise NotPossibleError(f"order {order_id} has no items")
            last = order.batches[-1][:-1]
            return self._rebatch(order, (*order.batches[:-1], last) if last else order.batches[:-1])

    @contextmanager
    def changing(self, seed: int) -> Iterator[Random]:
        """While the block runs nobody else changes the store; gives the chance for it, another after each change."""
        with self._lock:
            yield Random(f"{self._seed}/{seed}/{self._changes}")

    def _rebatch(self, order: SandboxOrder, batches: tuple[Batch, ...]) -> SandboxOrder:
        if order.is_purged:
            raise NotPossibleError(f"order {order.order_id} is purged")
        when = self._tick()
        changed = replace(order, batches=batches)
        costs = order.costs
        if costs.credit + costs.coupon > changed.subtotal:
            # A credit can hardly be more than the items it is for.
            costs = costs._replace(credit=ZERO, coupon=ZERO)
        return self._change(
            order.order_id,
            when,
            batches=batches,
            costs=costs,
            status="UPDATED",
            date_ordered=when,
            payment=order.payment._replace(date_paid=None, status="None"),
        )

    def _change(self, order_id: int, when: datetime | None = None, **fields: Any) -> SandboxOrder:
        with self._lock:
            return self._replace(order_id, date_status_changed=when or self._tick(), **fields)

    def _change_silently(self, order_id: int, **fields: Any) -> SandboxOrder:
        with self._lock:
            self._tick()
            return self._replace(order_id, **fields)

    def _replace(self, order_id: int, **fields: Any) -> SandboxOrder:
        order = replace(self.order(order_id), **fields)
        self.put(order)
        return order

    def _tick(self) -> datetime:
        self._changes += 1
        self._now += _STEP
        return self._now
