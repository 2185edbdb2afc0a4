"""BrickLink's order statuses, the group that each one is in, and which groups count as revenue."""

from __future__ import annotations

from bl_pipeline.columns import OrderGroup

PURGED = "PURGED"

GROUPS = {
    "PENDING": OrderGroup.PENDING,
    "UPDATED": OrderGroup.PENDING,
    "PROCESSING": OrderGroup.PENDING,
    "READY": OrderGroup.PENDING,
    "PAID-PENDING": OrderGroup.PENDING,
    "PAID": OrderGroup.PROCESSING,
    "PACKED": OrderGroup.PROCESSING,
    "SHIPPED": OrderGroup.SHIPPED,
    "RECEIVED": OrderGroup.COMPLETED,
    "COMPLETED": OrderGroup.COMPLETED,
    "OCR": OrderGroup.ON_HOLD,
    "NPB": OrderGroup.PROBLEM,
    "NPX": OrderGroup.PROBLEM,
    "NRS": OrderGroup.PROBLEM,
    "NSS": OrderGroup.PROBLEM,
    "CANCELLED": OrderGroup.CANCELLED,
}
"""BrickLink's status → its group. PURGED is not here: it says nothing of how the order ended."""

STATUSES = (*GROUPS, PURGED)
"""Every status of BrickLink's that is known."""

NOT_REVENUE = (OrderGroup.CANCELLED, OrderGroup.PROBLEM)
"""Groups that are no revenue. A list of exclusions, so that a new status counts and is seen."""

IN_WORK = (OrderGroup.PENDING, OrderGroup.PROCESSING)
"""Groups of orders that are still to be paid, packed or sent."""

UNDECIDED = (OrderGroup.ON_HOLD, OrderGroup.UNKNOWN)
"""Groups of orders that a person has to look at."""

OPEN = (*IN_WORK, OrderGroup.SHIPPED, *UNDECIDED)
"""Groups of orders on which something is still to happen."""

PERHAPS_UNPAID = tuple(group for group in OPEN if group is not OrderGroup.PROCESSING)
"""Groups of open orders of which the status does not say that they are paid."""

NOT_SENT = (*IN_WORK, *UNDECIDED)
"""Groups of open orders of which the status does not say that they are sent."""

PAYMENT_ARRIVED = ("Received", "Completed")
"""BrickLink's payment statuses of which each says that the seller has the money."""

PAYMENT_FAILED = ("Bounced", "Returned")
"""BrickLink's payment statuses of which each says that the buyer has the money again."""


def group_of(platform_status: str, *, previous: str | None, paid: bool) -> str:
    """The group that an order is in.

    `previous` is the group stored so far (None for a new order), `paid` whether the order has a payment date.
    A purged order keeps the last group known, else it is completed if it was paid, else unknown.
    """
    if platform_status == PURGED:
        return previous or (OrderGroup.COMPLETED if paid else OrderGroup.UNKNOWN)
    return GROUPS.get(platform_status, OrderGroup.UNKNOWN)
