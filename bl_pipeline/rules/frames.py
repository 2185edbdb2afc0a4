"""The shape of normalised data: the columns of both DataFrames, as Arrow types.

Money and weights are decimal128(19, 4), times timestamps in UTC with microseconds; what is absent is null.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd
import pyarrow as pa

MONEY: pa.DataType = pa.decimal128(19, 4)
TIME: pa.DataType = pa.timestamp("us", tz="UTC")
TEXT: pa.DataType = pa.string()
COUNT: pa.DataType = pa.int64()
FLAG: pa.DataType = pa.bool_()
TEXTS: pa.DataType = pa.list_(pa.string())

ORDERS = pa.schema(
    {
        "platform_order_id": TEXT,
        "display_id": TEXT,
        "order_date": TIME,
        "first_order_date": TIME,
        "status_changed_at": TIME,
        "buyer_name": TEXT,
        "buyer_username": TEXT,
        "buyer_email": TEXT,
        "buyer_order_count": COUNT,
        "status": TEXT,
        "platform_status": TEXT,
        "payment_status": TEXT,
        "payment_method": TEXT,
        "payment_currency": TEXT,
        "paid_at": TIME,
        "subtotal": MONEY,
        "shipping": MONEY,
        "fees": MONEY,
        "total": MONEY,
        "final_total": MONEY,
        "currency": TEXT,
        "insurance": MONEY,
        "etc1": MONEY,
        "etc2": MONEY,
        "tax": MONEY,
        "credit": MONEY,
        "coupon": MONEY,
        "vat_rate": MONEY,
        "vat_amount": MONEY,
        "sales_tax_collected_by_bricklink": FLAG,
        "vat_collected_by_bricklink": FLAG,
        "disp_currency": TEXT,
        "disp_subtotal": MONEY,
        "disp_shipping": MONEY,
        "disp_total": MONEY,
        "disp_final_total": MONEY,
        "disp_insurance": MONEY,
        "disp_etc1": MONEY,
        "disp_etc2": MONEY,
        "disp_credit": MONEY,
        "disp_coupon": MONEY,
        "disp_vat_amount": MONEY,
        "shipping_method_id": COUNT,
        "shipping_method": TEXT,
        "tracking_number": TEXT,
        "tracking_url": TEXT,
        "shipped_at": TIME,
        "country_code": TEXT,
        "shipping_address": TEXT,
        "total_count": COUNT,
        "unique_count": COUNT,
        "total_weight": MONEY,
        "is_filed": FLAG,
        "is_invoiced": FLAG,
        "require_insurance": FLAG,
        "drive_thru_sent": FLAG,
        "remarks": TEXT,
        "seller_username": TEXT,
        "store_name": TEXT,
        "unreadable_fields": TEXTS,
        "order_document_id": COUNT,
        "items_document_id": COUNT,
        "fetched_at": TIME,
    }
)
"""A row of sales.orders, without store and platform; shipping_address is JSON text."""

ORDER_ITEMS = pa.schema(
    {
        "platform_order_id": TEXT,
        "batch_number": pa.int32(),
        "line_number": pa.int32(),
        "inventory_id": COUNT,
        "item_number": TEXT,
        "item_name": TEXT,
        "item_type": TEXT,
        "category_id": COUNT,
        "color_id": COUNT,
        "color_name": TEXT,
        "quantity": COUNT,
        "condition": TEXT,
        "completeness": TEXT,
        "unit_price": MONEY,
        "list_unit_price": MONEY,
        "total_price": MONEY,
        "currency": TEXT,
        "disp_unit_price": MONEY,
        "disp_list_unit_price": MONEY,
        "disp_currency": TEXT,
        "order_cost": MONEY,
        "weight": MONEY,
        "description": TEXT,
        "remarks": TEXT,
        "unreadable_fields": TEXTS,
    }
)
"""A row of sales.order_items, without store and platform."""


def frame(rows: Iterable[Sequence[Any]], schema: pa.Schema) -> pd.DataFrame:
    """Rows in the schema's order as a DataFrame on Arrow, where decimals stay exact.

    Raises pyarrow.ArrowInvalid where a value does not fit its column exactly.
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(schema)
    arrays = [pa.array(values, type=field.type) for values, field in zip(columns, schema, strict=True)]
    return pa.Table.from_arrays(arrays, schema=schema).to_pandas(types_mapper=pd.ArrowDtype)
