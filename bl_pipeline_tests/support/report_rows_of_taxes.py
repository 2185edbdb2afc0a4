"""The reports of taxes worked out again: from the books of a store, and from the tax settings of its seller."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

from bl_pipeline_tests.support.report_rows_of_sales import SalesReports
from bl_pipeline_tests.support.report_store import Seen, counted_paid_at
from bl_pipeline_tests.support.report_sums import ZERO, Row, group, money, whole
from bl_pipeline_tests.support.taxes import Facts, tax_of
from bl_pipeline_tests.support.us_states import state_of_sale


class TaxReports(SalesReports):
    """Kinds of tax, and what a return is made of."""

    def tax_orders(self) -> list[Row]:
        """One row an order that counts."""
        return [self._taxed(seen) for seen in self.books.revenue()]

    def _taxed(self, seen: Seen) -> Row:
        order = seen.order
        code = order.buyer.country.code
        paid, shipped = counted_paid_at(order), self.books.shipped_at(seen)
        facts = Facts(
            country="GB" if code == "UK" else code,
            postal_code=order.shipping.address.postal_code,
            day=self._day(min((at for at in (paid, shipped) if at), default=order.date_ordered)),
            total=order.grand_total,
            final_total=order.final_total,
            vat_rate=order.costs.vat_rate,
            vat_amount=order.vat_amount,
            vat_by_bricklink=order.vat_collected_by_bl,
            sales_tax=order.sales_tax,
            sales_tax_by_bricklink=order.sales_tax_collected_by_bl,
        )
        tax = tax_of(self.taxes, facts)
        is_clear = tax.net is not None
        return {
            "store": "main",
            "platform": "bricklink",
            "platform_order_id": str(order.order_id),
            "tax_date": facts.day,
            "country_code": facts.country,
            "special_territory": tax.territory,
            "region": tax.region,
            "tax_kind": tax.kind,
            "rate": tax.rate,
            "rate_source": tax.source,
            "currency": order.currency,
            "gross": order.grand_total,
            "net": tax.net,
            "vat": tax.vat,
            "other_tax": order.grand_total - money(tax.net) - money(tax.vat) if is_clear else None,
            "revenue": order.final_total,
            "unclear": tax.unclear,
            "bricklink_vat": tax.bricklink_vat,
            "timezone": self.zone.key,
            "order_date": order.date_ordered,
            "counted_paid_at": paid,
            "shipped_at": shipped,
        }

    def tax_return(self) -> list[Row]:
        """The orders added up for each basis and month."""
        taxed = {row["platform_order_id"]: row for row in self.tax_orders()}
        dated = [
            taxed[row["platform_order_id"]] | {"basis": row["basis"], "month": row["month"]}
            for row in self.revenue_dates()
        ]
        return added_up_for_a_return(dated)

    def sales_tax_by_state(self) -> list[Row]:
        """Sales to the United States, by state."""
        addresses = {str(seen.order.order_id): seen.order for seen in self.books.revenue()}
        sold = []
        for row in self.revenue_dates():
            order = addresses[str(row["platform_order_id"])]
            address = order.shipping.address
            state = state_of_sale(order.buyer.country.code, address.state, address.postal_code, order.sales_tax)
            if state is not None:
                sold.append({**row, "state": state, "is_facilitated": order.sales_tax_collected_by_bl})
        return sales_by_state(sold)


def added_up_for_a_return(dated: list[Row]) -> list[Row]:
    """Rows of tax_orders, once for each basis, as rows of tax_return."""
    keys = (
        "store", "basis", "month", "country_code", "special_territory", "region", "tax_kind", "rate", "rate_source",
        "currency", "unclear",
    )  # fmt: skip
    sums = ("gross", "net", "vat", "other_tax", "revenue")
    return [
        {
            **key,
            "orders": len(rows),
            **{name: _sum(row[name] for row in rows) for name in sums},
        }
        for key, rows in group(dated, keys)
    ]


def _sum(values: Iterable[object]) -> Decimal | None:
    """What is known, added; None if nothing is."""
    known = [money(value) for value in values if value is not None]
    return sum(known, ZERO) if known else None


def sales_by_state(sold: list[Row]) -> list[Row]:
    """Rows of revenue_dates with their state, added up."""
    rows: list[Row] = []
    for key, members in group(sold, ("store", "basis", "month", "state", "currency")):
        taxed = []
        for row in members:
            by_seller, by_bricklink = (money(row[f"sales_tax_by_{who}"] or 0) for who in ("seller", "bricklink"))
            # Of an order without a total nobody knows the gross.
            gross = ZERO if row["total"] is None else money(row["total"]) - by_seller - by_bricklink
            taxed.append((gross, row["is_facilitated"], by_seller, by_bricklink))
        rows.append(
            {
                **key,
                "orders": len(members),
                "gross_sales": sum((gross for gross, *_ in taxed), ZERO),
                "facilitated_sales": sum((gross for gross, by_bricklink, *_ in taxed if by_bricklink), ZERO),
                "seller_taxed_sales": sum((gross for gross, other, tax, _ in taxed if tax and not other), ZERO),
                "untaxed_sales": sum((gross for gross, other, tax, _ in taxed if not tax and not other), ZERO),
                "tax_by_seller": sum((tax for *_, tax, _ in taxed), ZERO),
                "tax_by_bricklink": sum((tax for *_, tax in taxed), ZERO),
            }
        )
    for row in rows:
        year = [
            other
            for other in rows
            if all(other[name] == row[name] for name in ("store", "basis", "state", "currency"))
            and 0 <= _months(row["month"]) - _months(other["month"]) < 12
        ]
        row["gross_12_months"] = sum((money(other["gross_sales"]) for other in year), ZERO)
        row["orders_12_months"] = sum(whole(other["orders"]) for other in year)
    return rows


def _months(month: object) -> int:
    assert isinstance(month, date)
    return month.year * 12 + month.month
