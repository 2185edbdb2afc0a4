"""What is different between two answers about one order, column by column."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from bl_pipeline.bricklink import InvalidResource, read_order
from bl_pipeline.columns import TABLES, AnswerKind
from bl_pipeline.rules.normalise import NotNormalisable, order_row

_NAMES = [column.name for column in TABLES[AnswerKind.ORDER].columns]
_NOT_COMPARED = frozenset(
    {"status", "first_order_date", "fetched_at", "order_document_id", "items_document_id", "country_code"}
)


@dataclass(frozen=True)
class Difference:
    """A column of sales.orders, its value in the older answer, and in the newer one."""

    column: str
    before: Any
    after: Any


def order_differences(before: bytes, after: bytes) -> list[Difference] | None:
    """The columns of the order that differ, in the order of the table; None if one of the answers cannot be read.

    What the buyer saw (disp_) follows from the other amounts, and is left out.
    """
    try:
        old, new = _columns(before), _columns(after)
    except (InvalidResource, NotNormalisable):
        return None
    return [
        Difference(name, old[name], new[name])
        for name in _NAMES
        if old[name] != new[name] and name not in _NOT_COMPARED and not name.startswith("disp_")
    ]


def count_lots(items: bytes) -> int:
    """The lots in an answer about items, in batches or in one list, those that cannot be read included."""
    batches = json.loads(items) or []
    return sum(len(batch) if isinstance(batch, list) else 1 for batch in batches)


def _columns(body: bytes) -> dict[str, Any]:
    row = order_row(
        read_order(body), status="", fetched_at=datetime.min.replace(tzinfo=UTC), order_document_id=0,
        items_document_id=None,
    )  # fmt: skip
    found = dict(zip(_NAMES, row, strict=True))
    found["shipping_address"] = json.loads(found["shipping_address"] or "null")
    return found
