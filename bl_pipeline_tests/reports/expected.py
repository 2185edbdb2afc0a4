"""Every report worked out again in plain Python from the books, one function a report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

from bl_pipeline_tests.reports.books import Books, Seen, State

Row = dict[str, object]
ZERO = Decimal(0)
SUMS = ("items_total", "shipping", "fees", "tax_collected_by_bricklink", "revenue")


class Expected:
    """The reports of these books with days as in `zone`, at the moment `now`."""

    def __init__(self, books: Books, zone: ZoneInfo, now: datetime) -> None:
        self.books, self.zone, self.now = books, zone, now

    def day(self, moment: datetime) -> date:
        """The day of a moment."""
        return moment.astimezone(self.zone).date()

    def month(self, moment: datetime) -> date:
        """The first day of its month."""
        return self.day(moment).replace(day=1)

    def revenue_orders(self) -> list[Row]:
        """One row an order."""
        return [self._order(seen) for seen in self.books.revenue()]

    def _order(self, seen: Seen) -> Row:
        order = seen.order
        vat, tax = order.vat_amount, order.sales_tax
        by_bricklink = bool(order.vat_collected_by_bl)
        return {
            "store": "main",
            "platform": "bricklink",
            "platform_order_id": str(order.order_id),
            "timezone": self.zone.key,
            "order_date": order.date_ordered,
            "paid_at": order.payment.date_paid,
            "shipped_at": self.books.shipped_at(seen),
            "status": seen.status,
            "platform_status": order.status,
            "country_code": "GB" if order.buyer.country.code == "UK" else order.buyer.country.code,
            "payment_method": order.payment.method,
            "total_count": order.total_count,
            "currency": order.currency,
            "items_total": order.subtotal,
            "shipping": order.costs.shipping,
            "fees": order.fees,
            "total": order.grand_total,
            "tax_collected_by_bricklink": order.tax_collected_by_bl,
            "revenue": order.final_total,
            "vat_rate": order.costs.vat_rate,
            "vat_by_seller": ZERO if by_bricklink else vat,
            "vat_by_bricklink": vat if by_bricklink else ZERO,
            "sales_tax_by_seller": ZERO if order.sales_tax_collected_by_bl else tax,
            "sales_tax_by_bricklink": tax if order.sales_tax_collected_by_bl else ZERO,
        }

    def revenue_dates(self) -> list[Row]:
        """One row an order and basis."""
        left_out = {
            "timezone", "order_date", "paid_at", "shipped_at", "status", "platform_status", "total_count",
        }  # fmt: skip
        rows = []
        for row in self.revenue_orders():
            bases = {"order_date": "order_date", "paid_date": "paid_at", "shipped_date": "shipped_at"}
            for basis, name in bases.items():
                at = row[name]
                if isinstance(at, datetime):
                    kept = {key: value for key, value in row.items() if key not in left_out}
                    dates = {"at": at, "day": self.day(at), "month": self.month(at), "year": self.day(at).year}
                    rows.append({**kept, "basis": basis, **dates})
        return rows

    def revenue_by_day(self) -> list[Row]:
        return self._by("day")

    def revenue_by_month(self) -> list[Row]:
        return self._by("month")

    def revenue_by_year(self) -> list[Row]:
        return self._by("year")

    def revenue_by_country(self) -> list[Row]:
        return self._by("month", "country_code")

    def revenue_by_payment_method(self) -> list[Row]:
        return self._by("month", "payment_method")

    def _by(self, *keys: str) -> list[Row]:
        return add_up(self.revenue_dates(), ("store", "basis", *keys, "currency"), SUMS)

    def tax_by_rate_and_country(self) -> list[Row]:
        """VAT and sales tax, told apart by who collects them."""
        taxes = ("vat_by_seller", "vat_by_bricklink", "sales_tax_by_seller", "sales_tax_by_bricklink")
        keys = ("store", "basis", "month", "country_code", "vat_rate", "currency")
        sums = ("total", *taxes, "tax_collected_by_bricklink", "revenue")
        rows = add_up(self.revenue_dates(), keys, sums)
        for row in rows:
            row["net"] = money(row["total"]) - sum((money(row[name]) for name in taxes), ZERO)
            explained = money(row["vat_by_bricklink"]) + money(row["sales_tax_by_bricklink"])
            row["unexplained"] = money(row["tax_collected_by_bricklink"]) - explained
        return rows

    def revenue_items(self) -> list[Row]:
        """Every known line, and a row for what is not known of an order."""
        rows = []
        for seen in self.books.revenue():
            order = seen.order
            lots = self.books.lots.get(order.order_id, ())
            places = places_of_lots(seen, len(lots))
            same: Row = {
                "store": "main",
                "platform": "bricklink",
                "platform_order_id": str(order.order_id),
                "order_date": order.date_ordered,
                "day": self.day(order.date_ordered),
                "month": self.month(order.date_ordered),
                "currency": order.currency,
            }
            for (batch, line), lot in zip(places, lots, strict=True):
                rows.append(
                    same
                    | {
                        "batch_number": batch,
                        "line_number": line,
                        "item_type": lot.item.type,
                        "item_number": lot.item.no,
                        "item_name": lot.item.name,
                        "category_id": lot.item.category_id,
                        "color_id": lot.color.color_id,
                        "color_name": lot.color.name,
                        "condition": lot.condition,
                        "quantity": lot.quantity,
                        "items_total": lot.unit_price_final * lot.quantity,
                    }
                )
            quantity = order.total_count - sum(lot.quantity for lot in lots)
            amount = order.subtotal - sum((lot.unit_price_final * lot.quantity for lot in lots), ZERO)
            if quantity or amount:
                names = (
                    "batch_number", "line_number", "item_type", "item_number", "item_name", "category_id",
                    "color_id", "color_name", "condition",
                )  # fmt: skip
                rows.append(same | dict.fromkeys(names) | {"quantity": quantity, "items_total": amount})
        return rows

    def revenue_by_item_type(self) -> list[Row]:
        return self._items_by("item_type")

    def revenue_by_color(self) -> list[Row]:
        return self._items_by("color_id", named="color_name")

    def revenue_by_category(self) -> list[Row]:
        return self._items_by("item_type", "category_id")

    def revenue_by_item(self) -> list[Row]:
        return self._items_by("item_type", "item_number", named="item_name")

    def revenue_by_condition(self) -> list[Row]:
        return self._items_by("condition")

    def _items_by(self, *keys: str, named: str | None = None) -> list[Row]:
        groups = group(self.revenue_items(), ("store", "month", *keys, "currency"))
        return [
            {
                **key,
                **({named: rows[0][named]} if named else {}),
                "orders": len({row["platform_order_id"] for row in rows}),
                "lots": sum(row["line_number"] is not None for row in rows),
                "quantity": sum(whole(row["quantity"]) for row in rows),
                "items_total": sum((money(row["items_total"]) for row in rows), ZERO),
            }
            for key, rows in groups
        ]

    def new_and_returning_buyers(self) -> list[Row]:
        """Buyers are new in the month of their first order."""
        first: dict[str, date] = {}
        for seen in self.books.revenue():
            if name := seen.order.buyer_name:
                month = self.month(seen.order.date_ordered)
                first[name] = min(month, first.get(name, month))
        rows: list[Row] = []
        for seen in self.books.revenue():
            name, month = seen.order.buyer_name, self.month(seen.order.date_ordered)
            kind = "unknown" if name is None else "new" if first[name] == month else "returning"
            rows.append(
                {
                    "store": "main",
                    "month": month,
                    "buyer_kind": kind,
                    "currency": seen.order.currency,
                    "buyer": name or seen.order.order_id,
                    "revenue": seen.order.final_total,
                }
            )
        return [
            {
                **key,
                "buyers": len({row["buyer"] for row in members}),
                "orders": len(members),
                "revenue": sum((money(row["revenue"]) for row in members), ZERO),
            }
            for key, members in group(rows, ("store", "month", "buyer_kind", "currency"))
        ]

    def open_orders_by_age(self) -> list[Row]:
        """Orders on which something is still to happen."""
        rows: list[Row] = []
        for seen in self.books.now():
            order = seen.order
            if seen.status in {"completed", "cancelled", "problem"}:
                continue
            days = (self.now - order.date_ordered) / timedelta(days=1)
            ages = ((3, "00-02 days"), (8, "03-07 days"), (15, "08-14 days"), (31, "15-30 days"), (61, "31-60 days"))
            age = next((name for below, name in ages if days < below), "61 days and more")
            rows.append(
                {
                    "store": "main",
                    "status": seen.status,
                    "age": age,
                    "currency": order.currency,
                    "paid": order.payment.date_paid is not None,
                    "date": order.date_ordered,
                    "total": order.grand_total,
                    "revenue": order.final_total,
                }
            )
        return [
            {
                **key,
                "orders": len(members),
                "paid_orders": sum(bool(row["paid"]) for row in members),
                "oldest_order_date": min(str(row["date"]) for row in members),
                "total": sum((money(row["total"]) for row in members), ZERO),
                "revenue": sum((money(row["revenue"]) for row in members), ZERO),
            }
            for key, members in group(rows, ("store", "status", "age", "currency"))
        ]

    def cancellations_by_month(self) -> list[Row]:
        """Orders that came to nothing."""
        rows: list[Row] = []
        for seen in self.books.now():
            order = seen.order
            if seen.status not in {"cancelled", "problem"}:
                continue
            paid = order.payment.date_paid is not None
            rows.append(
                {
                    "store": "main",
                    "month": self.month(order.date_ordered),
                    "status": seen.status,
                    "platform_status": order.status,
                    "currency": order.currency,
                    "paid_orders": int(paid),
                    "total": order.grand_total,
                    "revenue_lost": order.final_total,
                    "paid_revenue_lost": order.final_total if paid else ZERO,
                }
            )
        keys = ("store", "month", "status", "platform_status", "currency")
        return add_up(rows, keys, ("paid_orders", "total", "revenue_lost", "paid_revenue_lost"))

    def unknown_statuses(self) -> list[Row]:
        """Statuses nobody knew."""
        rows = [row for row in self.revenue_orders() if row["status"] == "unknown"]
        return [
            {
                **key,
                "orders": len(members),
                "first_order_date": min(str(row["order_date"]) for row in members),
                "last_order_date": max(str(row["order_date"]) for row in members),
                "revenue": sum((money(row["revenue"]) for row in members), ZERO),
            }
            for key, members in group(rows, ("store", "platform_status", "currency"))
        ]

    def status_history(self) -> list[Row]:
        """Every state of every order."""
        rows: list[Row] = []
        for state in self._states():
            seen, order = state.seen, state.seen.order
            rows.append(
                {
                    "store": "main",
                    "platform": "bricklink",
                    "platform_order_id": str(order.order_id),
                    "state_number": state.number,
                    "status": seen.status,
                    "platform_status": order.status,
                    "payment_status": order.payment.status,
                    "order_date": order.date_ordered,
                    "is_filed": order.is_filed,
                    "currency": order.currency,
                    "total": order.grand_total,
                    "final_total": order.final_total,
                    "credit": order.costs.credit,
                    "coupon": order.costs.coupon,
                    "valid_from": state.since,
                    "valid_to": state.until,
                    "is_current": state.until is None,
                    "valid_from_is": "exact" if state.exact else "observed",
                    "not_before": state.not_before,
                    "observed_at": seen.at,
                }
            )
        return rows

    def _states(self) -> Iterator[State]:
        for order_id in self.books.history:
            yield from self.books.states(order_id)

    def statuses_by_month(self) -> list[Row]:
        """The status of every order at the end of every month, looked up one by one."""
        found: dict[tuple[date, str, str], list[Decimal]] = defaultdict(list)
        for order_id, history in self.books.history.items():
            states = self.books.states(order_id)
            placed = min(history[0].order.date_ordered, states[0].since)
            month = self.month(placed)
            while month <= self.month(self.now):
                following = (month + timedelta(days=31)).replace(day=1)
                end = datetime(following.year, following.month, 1, tzinfo=self.zone).astimezone(UTC)
                passed = [state for state in states if state.since < end]
                seen = (passed or states)[-1 if passed else 0].seen
                status = seen.status if passed else "not_seen"
                found[month, status, seen.order.currency].append(seen.order.final_total)
                month = following
        return [
            {
                "store": "main",
                "month": month,
                "status": status,
                "currency": currency,
                "orders": len(amounts),
                "revenue": sum(amounts, ZERO),
            }
            for (month, status, currency), amounts in found.items()
        ]

    def adjustments(self) -> list[Row]:
        """Credits, coupons and decreases, each where it was seen."""
        rows: list[Row] = []
        counting = {seen.order.order_id for seen in self.books.revenue()}
        for order_id, history in self.books.history.items():
            for number, seen in enumerate(history):
                earlier = history[number - 1].order if number else None
                order = seen.order
                at = seen.at if earlier else order.date_ordered
                changes = [
                    ("credit", earlier.costs.credit if earlier else None, order.costs.credit),
                    ("coupon", earlier.costs.coupon if earlier else None, order.costs.coupon),
                ]
                amounts = [(kind, before, after, after - (before or ZERO)) for kind, before, after in changes]
                if earlier and order.final_total < earlier.final_total:
                    less = earlier.final_total - order.final_total
                    amounts.append(("decrease", earlier.final_total, order.final_total, less))
                rows += [
                    {
                        "store": "main",
                        "platform": "bricklink",
                        "platform_order_id": str(order_id),
                        "state_number": number + 1,
                        "kind": kind,
                        "at": at,
                        "month": self.month(at),
                        "currency": order.currency,
                        "before": before,
                        "after": after,
                        "amount": amount,
                        "counts_as_revenue": order_id in counting,
                    }
                    for kind, before, after, amount in amounts
                    if amount
                ]
        return rows

    def adjustments_by_month(self) -> list[Row]:
        """The same, added up."""
        rows = [row for row in self.adjustments() if row["counts_as_revenue"]]
        return [
            {
                **key,
                "orders": len({row["platform_order_id"] for row in members}),
                "amount": sum((money(row["amount"]) for row in members), ZERO),
            }
            for key, members in group(rows, ("store", "month", "kind", "currency"))
        ]

    def fulfilment_times(self) -> list[Row]:
        """Hours between what is known of an order's way."""
        found: dict[tuple[date, str], list[Fraction]] = defaultdict(list)
        for seen in self.books.revenue():
            placed = seen.order.date_ordered
            paid, shipped = seen.order.payment.date_paid, self.books.shipped_at(seen)
            received = self.books.received_at(seen)
            for step, since, till in (
                ("1 placed to paid", placed, paid),
                ("2 paid to shipped", paid, shipped),
                ("3 shipped to received", shipped, received),
                ("4 placed to received", placed, received),
            ):
                if since and till and till >= since:
                    hours = Fraction((till - since) // timedelta(microseconds=1), 3_600_000_000)
                    found[self.month(placed), step].append(hours)
        return [
            {
                "store": "main",
                "month": month,
                "step": step,
                "orders": len(hours),
                "median_hours": quantile(hours, Fraction(1, 2)),
                "p90_hours": quantile(hours, Fraction(9, 10)),
                "average_hours": sum(hours, Fraction(0)) / len(hours),
            }
            for (month, step), hours in found.items()
        ]

    def missing(self) -> list[Row]:
        """Orders whose items were gone before they were ever seen."""
        return [
            {
                "store": "main",
                "platform": "bricklink",
                "platform_order_id": str(seen.order.order_id),
                "missing": "items",
                "reason": "purged",
                "order_date": seen.order.date_ordered,
                "platform_status": seen.order.status,
                "currency": seen.order.currency,
                "total_count": seen.order.total_count,
                "items_total": seen.order.subtotal,
            }
            for seen in self.books.now()
            if not self.books.lots.get(seen.order.order_id) and seen.order.lots
        ]


def places_of_lots(seen: Seen, count: int) -> list[tuple[int, int]]:
    """Batch and line of the first `count` lots: a batch that was never seen comes after them."""
    places = [
        (batch_number, line_number)
        for batch_number, batch in enumerate(seen.order.batches, start=1)
        for line_number, _ in enumerate(batch, start=1)
    ]
    return places[:count]


def group(rows: Iterable[Row], keys: tuple[str, ...]) -> list[tuple[Row, list[Row]]]:
    """Rows by their keys."""
    found: dict[tuple[object, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[tuple(row[key] for key in keys)].append(row)
    return [(dict(zip(keys, values, strict=True)), members) for values, members in found.items()]


def add_up(rows: Iterable[Row], keys: tuple[str, ...], sums: tuple[str, ...]) -> list[Row]:
    """Rows by their keys, with their number and sums."""
    return [
        {**key, "orders": len(members), **{name: sum((money(row[name]) for row in members), ZERO) for name in sums}}
        for key, members in group(rows, keys)
    ]


def money(value: object) -> Decimal:
    """An amount, which has to be one."""
    assert isinstance(value, Decimal | int)
    return Decimal(value)


def whole(value: object) -> int:
    """A number of pieces."""
    assert isinstance(value, int)
    return value


def quantile(values: list[Fraction], part: Fraction) -> Fraction:
    """So many of the values are less, with the way between two of them shared out."""
    ordered = sorted(values)
    place = part * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


REPORTS: dict[str, Callable[[Expected], list[Row]]] = {
    name: method
    for name, method in vars(Expected).items()
    if callable(method) and not name.startswith("_") and name not in {"day", "month"}
}
"""What each report has to show, by its name."""
