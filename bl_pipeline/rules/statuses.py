"""BrickLink's order statuses, what each one means, and which count as revenue."""

from __future__ import annotations

PURGED = "PURGED"
UNKNOWN = "unknown"

STATUSES = {
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
"""BrickLink's status → normalised status. PURGED is not here: it says nothing of how the order ended."""

NOT_REVENUE = frozenset({"cancelled", "problem"})
"""Normalised statuses that are no revenue. A list of exclusions, so that a new status counts and is seen."""

OPEN = frozenset({"pending", "processing", "shipped", "on_hold", UNKNOWN})
"""Normalised statuses of orders on which something is still to happen."""


def is_known(platform_status: str) -> bool:
    """Whether this code knows BrickLink's status."""
    return platform_status == PURGED or platform_status in STATUSES


def normalise_status(platform_status: str, *, previous: str | None, paid: bool) -> str:
    """The normalised status of an order.

    `previous` is the status stored so far (None for a new order), `paid` whether the order has a payment date.
    A purged order keeps the last status known, else it is completed if it was paid, else unknown.
    """
    if platform_status == PURGED:
        return previous or ("completed" if paid else UNKNOWN)
    return STATUSES.get(platform_status, UNKNOWN)
