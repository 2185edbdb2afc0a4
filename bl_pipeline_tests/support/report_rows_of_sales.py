"""The reports of what was sold, worked out again in plain Python from the books, one method a report."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from fractions import Fraction

from bl_pipeline.sandbox import SandboxOrder
from bl_pipeline_tests.support.report_store import Seen, counted_paid_at
from bl_pipeline_tests.support.report_sums import ZERO, Accounts, Row, add_up, group, money, whole

SUMS = (
    "items_total", "shipping", "fees", "tax_collected_by_bricklink", "revenue", "charges", "discounts",
    "sales_tax_by_seller", "sales_tax_by_bricklink", "vat_by_seller", "turnover",
)  # fmt: skip


class SalesReports(Accounts):
    """Revenue, items, tax and buyers."""

    def revenue_orders(self) -> list[Row]:
        """One row an order."""
        return [self._order(seen) for seen in self.books.revenue()]

    def _order(self, seen: Seen) -> Row:
        order = seen.order
        vat, tax, costs = order.vat_amount, order.sales_tax, order.costs
        charges = costs.insurance + costs.etc1 + costs.etc2
        discounts = costs.credit + costs.coupon
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
            "buyer_key": order.buyer.name,
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
            "payment_status": order.payment.status,
            "counted_paid_at": counted_paid_at(order),
            "shipped_at_is": self.books.shipped_at_is(seen),
            "charges": charges,
            "discounts": discounts,
            "turnover": turnover_of(order),
            "first_seen_purged": all(past.order.is_purged for past in self.books.history[order.order_id]),
        }

    def revenue_dates(self) -> list[Row]:
        """One row an order and basis."""
        left_out = {
            "timezone", "order_date", "paid_at", "shipped_at", "status", "platform_status", "total_count",
            "payment_status", "counted_paid_at", "first_seen_purged",
        }  # fmt: skip
        rows = []
        for seen, row in zip(self.books.revenue(), self.revenue_orders(), strict=True):
            paid, shipped = counted_paid_at(seen.order), self.books.shipped_at(seen)
            bases = {
                "order_date": seen.order.date_ordered,
                "paid_date": paid,
                "shipped_date": shipped,
                "tax_point": min((at for at in (paid, shipped) if at), default=None),
            }
            for basis, at in bases.items():
                if at:
                    kept = {key: value for key, value in row.items() if key not in left_out}
                    dates = {"at": at, "day": self._day(at), "month": self._month(at), "year": self._day(at).year}
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
        """VAT and sales tax, by who collects them."""
        taxes = ("vat_by_seller", "vat_by_bricklink", "sales_tax_by_seller", "sales_tax_by_bricklink")
        keys = ("store", "basis", "month", "country_code", "vat_rate", "taxed_by", "currency")
        sums = ("total", *taxes, "tax_collected_by_bricklink", "revenue")
        dated = self.revenue_dates()
        for row in dated:
            row["net"] = money(row["total"]) - sum((money(row[name]) for name in taxes), ZERO)
            row["net_by_seller"] = row["net"] if row["vat_by_seller"] else ZERO
            payers = {name.rpartition("_")[2] for name in taxes if row[name]}
            row["taxed_by"] = "both" if len(payers) == 2 else payers.pop() if payers else "nobody"
        rows = add_up(dated, keys, ("net", "net_by_seller", *sums))
        # The store makes no errors: test_tax.py has orders with some.
        return [row | {"unexplained": ZERO, "unexplained_orders": 0} for row in rows]

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
                "day": self._day(order.date_ordered),
                "month": self._month(order.date_ordered),
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
                        "items_net": net_of(order, lot.unit_price_final * lot.quantity),
                        "order_cost": lot.order_cost,
                    }
                )
            quantity = order.total_count - sum(lot.quantity for lot in lots)
            amount = order.subtotal - sum((lot.unit_price_final * lot.quantity for lot in lots), ZERO)
            if quantity or amount:
                names = (
                    "batch_number", "line_number", "item_type", "item_number", "item_name", "category_id",
                    "color_id", "color_name", "condition", "order_cost",
                )  # fmt: skip
                rows.append(
                    same
                    | dict.fromkeys(names)
                    | {"quantity": quantity, "items_total": amount, "items_net": net_of(order, amount)}
                )
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
                # What has no key has no name of its own.
                **({named: rows[0][named] if key[keys[-1]] is not None else None} if named else {}),
                "orders": len({row["platform_order_id"] for row in rows}),
                "lots": sum(row["line_number"] is not None for row in rows),
                "quantity": sum(whole(row["quantity"]) for row in rows),
                "items_total": sum((money(row["items_total"]) for row in rows), ZERO),
                "items_net": sum((money(row["items_net"]) for row in rows), ZERO),
            }
            for key, rows in groups
        ]

    def new_and_returning_buyers(self) -> list[Row]:
        """Buyers are new in the month of their first order."""
        first: dict[str, date] = {}
        for seen in self.books.revenue():
            if name := seen.order.buyer_name:
                month = self._month(seen.order.date_ordered)
                first[name] = min(month, first.get(name, month))
        rows: list[Row] = []
        for seen in self.books.revenue():
            name, month = seen.order.buyer_name, self._month(seen.order.date_ordered)
            kind = "unknown" if name is None else "new" if first[name] == month else "returning"
            rows.append(
                {
                    "store": "main",
                    "month": month,
                    "buyer_kind": kind,
                    "currency": seen.order.currency,
                    "buyer": name or seen.order.order_id,
                    "revenue": seen.order.final_total,
                    "turnover": turnover_of(seen.order),
                }
            )
        return [
            {
                **key,
                "buyers": len({row["buyer"] for row in members}),
                "orders": len(members),
                "revenue": sum((money(row["revenue"]) for row in members), ZERO),
                "turnover": sum((money(row["turnover"]) for row in members), ZERO),
            }
            for key, members in group(rows, ("store", "month", "buyer_kind", "currency"))
        ]

    def unknown_statuses(self) -> list[Row]:
        """Statuses nobody knew."""
        rows = [row for row in self.revenue_orders() if row["status"] == "unknown" or row["first_seen_purged"]]
        for row in rows:
            row["reason"] = "first_seen_purged" if row["first_seen_purged"] else "unknown_status"
        return [
            {
                **key,
                "orders": len(members),
                "first_order_date": min(str(row["order_date"]) for row in members),
                "last_order_date": max(str(row["order_date"]) for row in members),
                "revenue": sum((money(row["revenue"]) for row in members), ZERO),
            }
            for key, members in group(rows, ("store", "platform_status", "reason", "currency"))
        ]


def net_of(order: SandboxOrder, amount: Decimal) -> Decimal:
    """An amount of items without the VAT that the seller pays, to 4 decimals."""
    rate = order.costs.vat_rate
    if order.vat_collected_by_bl or not order.vat_amount or rate <= 0:
        return amount
    parts = Fraction(abs(amount)) * 100 / (100 + Fraction(rate)) * 10_000
    return (Decimal(int(parts + Fraction(1, 2))) / 10_000).copy_sign(amount)


def turnover_of(order: SandboxOrder) -> Decimal:
    """What is sold, without any tax, whoever pays it."""
    costs = order.costs
    charges, discounts = costs.insurance + costs.etc1 + costs.etc2, costs.credit + costs.coupon
    return order.subtotal + costs.shipping + charges - discounts - order.vat_amount


def places_of_lots(seen: Seen, count: int) -> list[tuple[int, int]]:
    """Batch and line of the first `count` lots: a batch that was never seen comes after them."""
    places = [
        (batch_number, line_number)
        for batch_number, batch in enumerate(seen.order.batches, start=1)
        for line_number, _ in enumerate(batch, start=1)
    ]
    return places[:count]
