"""What the warehouse has to store of a sandbox order, computed from the store itself and not from its answers."""

from __future__ import annotations

import html
import json
from collections.abc import Collection, Iterable
from decimal import ROUND_HALF_UP, Decimal
from typing import Any

from sqlalchemy import text

from bl_pipeline.sandbox import Lot, SandboxOrder, Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.tables import parts, replaced_items

Row = dict[str, Any]

STATUS = {
    "PENDING": "pending",
    "UPDATED": "pending",
    "PROCESSING": "pending",
    "READY": "pending",
    "PAID-PENDING": "pending",
    "PAID": "processing",
    "PACKED": "processing",
    "SHIPPED": "shipped",
    "RECEIVED": "completed",
    "COMPLETED": "completed",
    "OCR": "on_hold",
    "NPB": "problem",
    "NPX": "problem",
    "NRS": "problem",
    "NSS": "problem",
    "CANCELLED": "cancelled",
}
"""The design's table, written down again."""

ORDER_PROVENANCE = {"order_document_id", "items_document_id", "fetched_at"}


def plain(escaped: str | None) -> str | None:
    """Text as a person would read it."""
    return None if escaped is None else html.unescape(html.unescape(escaped))


def shown(order: SandboxOrder, amount: Decimal, places: str = "0.0001") -> Decimal:
    """An amount as the buyer saw it."""
    return (amount * order.disp_rate).quantize(Decimal(places), ROUND_HALF_UP)


def order_row(order: SandboxOrder, *, first_order_date: Any = None, status: str | None = None) -> Row:
    """The row of sales.orders except its origin; `status` if it does not follow from the order."""
    costs, address, shipping, payment = order.costs, order.shipping.address, order.shipping, order.payment
    lines = {
        "name": address.full_name,
        "first_name": address.first,
        "last_name": address.last,
        "full": address.full,
        "address1": address.address1,
        "address2": address.address2,
        "city": address.city,
        "state": address.state,
        "postal_code": address.postal_code,
        "country_code": address.country_code,
        "phone_number": address.phone_number,
    }
    if status is None and order.is_purged:
        status = "completed" if payment.date_paid else "unknown"
    return {
        "store": "main",
        "platform": "bricklink",
        "platform_order_id": str(order.order_id),
        "display_id": f"BL-{order.order_id}",
        "order_date": order.date_ordered,
        "first_order_date": first_order_date or order.date_ordered,
        "status_changed_at": order.date_status_changed,
        "buyer_name": plain(address.full_name),
        "buyer_username": order.buyer_name,
        "buyer_email": order.buyer.email,
        "buyer_order_count": order.buyer_order_count,
        "status": status or STATUS.get(order.status, "unknown"),
        "platform_status": order.status,
        "payment_status": payment.status,
        "payment_method": plain(payment.method),
        "payment_currency": payment.currency_code,
        "paid_at": payment.date_paid,
        "subtotal": order.subtotal,
        "shipping": costs.shipping,
        "fees": order.fees,
        "total": order.grand_total,
        "final_total": order.final_total,
        "currency": order.currency,
        "insurance": costs.insurance,
        "etc1": costs.etc1,
        "etc2": costs.etc2,
        "tax": order.sales_tax,
        "credit": costs.credit,
        "coupon": costs.coupon,
        "vat_rate": costs.vat_rate,
        "vat_amount": order.vat_amount,
        "sales_tax_collected_by_bricklink": order.sales_tax_collected_by_bl,
        "vat_collected_by_bricklink": order.vat_collected_by_bl,
        "disp_currency": order.disp_currency,
        "disp_subtotal": shown(order, order.subtotal),
        "disp_shipping": shown(order, costs.shipping),
        "disp_total": shown(order, order.grand_total, "0.01"),
        "disp_final_total": shown(order, order.final_total, "0.01"),
        "disp_insurance": shown(order, costs.insurance),
        "disp_etc1": shown(order, costs.etc1),
        "disp_etc2": shown(order, costs.etc2),
        "disp_credit": shown(order, costs.credit),
        "disp_coupon": shown(order, costs.coupon),
        "disp_vat_rate": costs.vat_rate,
        "disp_vat_amount": shown(order, order.vat_amount),
        "shipping_method_id": shipping.method_id,
        "shipping_method": plain(shipping.method),
        "tracking_number": shipping.tracking_no,
        "tracking_url": shipping.tracking_link,
        "shipped_at": shipping.date_shipped,
        "country_code": "GB" if address.country_code == "UK" else address.country_code,
        "address_state": plain(address.state),
        "postal_code": plain(address.postal_code),
        "shipping_address": {name: plain(line) for name, line in lines.items() if line is not None},
        "total_count": order.total_count,
        "unique_count": order.unique_count,
        "total_weight": order.total_weight,
        "is_filed": order.is_filed,
        "is_invoiced": order.is_invoiced,
        "require_insurance": order.require_insurance,
        "drive_thru_sent": order.drive_thru_sent,
        "remarks": plain(order.remarks),
        "seller_username": order.seller_name,
        "store_name": plain(order.store_name),
        "unreadable_fields": None,
    }


def item_rows(order: SandboxOrder) -> list[Row]:
    """The rows of sales.order_items."""
    return [
        _item_row(order, lot, batch_number, line_number)
        for batch_number, batch in enumerate(order.batches, start=1)
        for line_number, lot in enumerate(batch, start=1)
    ]


def _item_row(order: SandboxOrder, lot: Lot, batch_number: int, line_number: int) -> Row:
    return {
        "store": "main",
        "platform": "bricklink",
        "platform_order_id": str(order.order_id),
        "batch_number": batch_number,
        "line_number": line_number,
        "inventory_id": lot.inventory_id,
        "item_number": lot.item.no,
        "item_name": lot.item.name,
        "item_type": lot.item.type,
        "category_id": lot.item.category_id,
        "color_id": lot.color.color_id,
        "color_name": lot.color.name,
        "quantity": lot.quantity,
        "condition": lot.condition,
        "completeness": lot.completeness,
        "unit_price": lot.unit_price_final,
        "list_unit_price": lot.unit_price,
        "total_price": lot.unit_price_final * lot.quantity,
        "currency": order.currency,
        "disp_unit_price": shown(order, lot.unit_price_final),
        "disp_list_unit_price": shown(order, lot.unit_price),
        "disp_currency": order.disp_currency,
        "order_cost": Decimal(0),
        "weight": lot.weight,
        "description": plain(lot.description),
        "remarks": plain(lot.remarks),
        "unreadable_fields": None,
    }


MISTYPED = {"total_count", "inventory_id"}
"""What the sandbox's faults of type make unreadable without losing an order or a lot: fields and columns."""


def as_read(right: Row, stored: Row) -> Row:
    """The right row, if a fault has made fields of it unreadable: they are named, and null.

    A purged order keeps the value that an answer before had.
    """
    unreadable = stored["unreadable_fields"]
    if not unreadable or not MISTYPED.issuperset(unreadable):
        return right
    is_purged = right.get("platform_status") == "PURGED"
    values = {name: right[name] if is_purged and stored[name] == right[name] else None for name in unreadable}
    return {**right, **values, "unreadable_fields": unreadable}


def items_as_read(right: list[Row], stored: list[Row]) -> list[Row]:
    """The right lines of an order, with the fields that could not be read."""
    if len(right) != len(stored):
        return right
    return [as_read(line, other) for line, other in zip(right, stored, strict=True)]


def stored_orders(warehouse: Warehouse, *, without: Iterable[str] = ORDER_PROVENANCE) -> dict[str, Row]:
    """sales.orders by order id."""
    rows = dump(warehouse, "sales.orders")["sales.orders"]
    dropped = set(without)
    return {
        row["platform_order_id"]: {name: value for name, value in row.items() if name not in dropped} for row in rows
    }


def stored_items(warehouse: Warehouse) -> dict[str, list[Row]]:
    """sales.order_items by order id."""
    found: dict[str, list[Row]] = {}
    for row in dump(warehouse, "sales.order_items")["sales.order_items"]:
        found.setdefault(row["platform_order_id"], []).append(row)
    return found


TABLES = {
    "landing.documents": "document_id",
    "sales.orders": "platform_order_id",
    **{table.fullname: ", ".join(table.primary_key.columns.keys()) for table in parts.values()},
    "sales.replaced_items": ", ".join(replaced_items.primary_key.columns.keys()),
    "sales.order_status_history": "document_id",
    "sync.order_state": "platform_order_id",
}


def assert_in_step(
    warehouse: Warehouse, store: Store, *, without: Collection[int] = (), but_for: Collection[str] = ()
) -> None:
    """The warehouse is as the store, but for these orders and columns, and for when an order was placed first."""

    def kept(row: Row) -> Row:
        return {name: value for name, value in row.items() if name not in {"first_order_date", *but_for}}

    sales = [order for order in store.sales.values() if order.order_id not in without]
    assert {order_id: kept(row) for order_id, row in stored_orders(warehouse).items()} == {
        str(order.order_id): kept(order_row(order)) for order in sales
    }
    assert stored_items(warehouse) == {
        str(order.order_id): item_rows(order) for order in sales if not order.is_purged and order.lots
    }


def dump(warehouse: Warehouse, *tables: str) -> dict[str, list[Row]]:
    """Every row of these tables, or of all that have orders."""
    with warehouse.engine.connect() as connection:
        return {
            table: [
                dict(row)
                for row in connection.execute(text(f"SELECT * FROM {table} ORDER BY {TABLES[table]}")).mappings()
            ]
            for table in tables or TABLES
        }


def versions(warehouse: Warehouse) -> dict[str, list[Any]]:
    """Where and by which transaction each row was written: moves with any write, of the same values too."""
    with warehouse.engine.connect() as connection:
        return {
            table: [
                tuple(row)
                for row in connection.execute(text(f"SELECT ctid::text, xmin::text FROM {table} ORDER BY {key}"))
            ]
            for table, key in TABLES.items()
        }


def as_json(rows: Any) -> str:
    """Rows as text that is the same only if every value and its type of number is."""
    return json.dumps(rows, default=repr, indent=1)
