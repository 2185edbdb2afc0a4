"""The two order lists as one, each row reduced to a fingerprint that shows whether the order has changed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from datetime import UTC, datetime

from bl_pipeline.bricklink import OrderSummary, UnreadableSummary
from bl_pipeline.records import ListedOrder


def fingerprint(row: OrderSummary, *, is_filed: bool) -> str:
    """Fingerprint of all that a list row says of an order, except the time when its status changed.

    Amounts as the buyer sees them are left out: an exchange rate that moves is no change to the order.
    """
    payment, cost = row.payment, row.cost
    content = (
        row.status,
        row.date_ordered.isoformat(),
        row.buyer_name,
        row.total_count,
        row.unique_count,
        is_filed,
        payment and (payment.method, payment.currency_code, payment.status),
        payment and payment.date_paid and payment.date_paid.isoformat(),
        (cost.currency_code, cost.subtotal, cost.grand_total, cost.final_total),
    )
    return hashlib.blake2b(json.dumps(content).encode(), digest_size=16).hexdigest()


_NOT_READ = datetime.fromtimestamp(0, UTC)


def merge_lists(
    unfiled: Iterable[OrderSummary | UnreadableSummary], filed: Iterable[OrderSummary | UnreadableSummary]
) -> dict[str, ListedOrder]:
    """Both lists by order id.

    An order filed (or taken out of the file) between the two calls may be in both: the filed list was
    asked last, so it is right. A row of which only the id can be read is listed too, with a status of "" and
    a time of 1970: the order itself may well be readable.
    """
    merged: dict[str, ListedOrder] = {}
    for rows, from_filed in ((unfiled, False), (filed, True)):
        for row in rows:
            if isinstance(row, UnreadableSummary):
                merged[row.order_id] = ListedOrder(row.order_id, _NOT_READ, "", None, from_filed, "unreadable")
                continue
            order_id = str(row.order_id)
            is_filed = from_filed if row.is_filed is None else row.is_filed
            merged[order_id] = ListedOrder(
                order_id=order_id,
                order_date=row.date_ordered,
                status=row.status,
                status_changed_at=row.date_status_changed,
                is_filed=is_filed,
                fingerprint=fingerprint(row, is_filed=is_filed),
            )
    return merged
