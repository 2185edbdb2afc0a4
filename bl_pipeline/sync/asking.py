"""What is asked of an order at BrickLink, from values as a user writes them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from bl_pipeline.bricklink import RequestRefused
from bl_pipeline.questions import QuestionError, in_utc, parse_order_number, parse_time
from bl_pipeline.rules.writes import COSTS, Value, checked
from bl_pipeline.settings import Store


class NotAsked(ValueError):
    """What is asked for cannot be asked of BrickLink; the message says why, and that nothing was sent."""


@dataclass(frozen=True, slots=True)
class WriteOrder:
    """What is asked of one order: fields as `rules.writes.checked` returns them, or `drive_thru`.

    `unchanged_since`: nothing is sent if the order now differs from what the warehouse knew of it at that time.
    `mail_me`: the seller gets a copy of the drive thru.
    """

    order_id: str
    values: Mapping[str, Value] = field(repr=False)
    unchanged_since: datetime | None = None
    mail_me: bool = False


def ask(
    store: Store,
    order_id: str,
    given: Mapping[str, Any],
    *,
    now: datetime,
    unchanged_since: str | None = None,
    mail_me: bool = False,
) -> WriteOrder:
    """What is asked of an order; amounts and times are text, a time without an offset is one of the store.

    A value that is None is not asked for. Raises NotAsked if BrickLink would not take a value, or if nothing is given.
    """
    try:
        number = parse_order_number(order_id)
        values = {name: value for name, value in given.items() if value is not None}
        for name in values.keys() & set(COSTS):
            values[name] = _amount(name, values[name])
        if "date_shipped" in values:
            values["date_shipped"] = _day(store, values["date_shipped"])
        since = None if unchanged_since is None else _time(store, unchanged_since)
        if since is not None and since > now:
            raise RequestRefused(f"{unchanged_since} is in the future. Give the time at which you looked at the order.")
        return WriteOrder(number, checked(values), since, mail_me)
    except (RequestRefused, QuestionError) as error:
        raise NotAsked(f"{error}\nNothing was sent.") from None


def _amount(name: str, written: str) -> Decimal:
    # Decimal would take 1_0 and 1e3, too: most often a typing error.
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)?", written.strip(), re.ASCII):
        raise RequestRefused(f"{name}: {written!r} is no amount. Write it as 4.50, and not below 0.")
    return Decimal(written.strip())


def _time(store: Store, written: str) -> datetime:
    moment = parse_time(written)
    try:
        return in_utc(moment, store.timezone)
    except OverflowError:
        raise RequestRefused(f"{written} is no time of an order.") from None


def _day(store: Store, written: str) -> datetime:
    # A parcel is sent on a day: a month is most often a typing error.
    if not re.fullmatch(r"[0-9]{4}(-[0-9]{1,2})?", written.strip()):
        with suppress(QuestionError):
            return _time(store, written)
    raise RequestRefused(f"date_shipped: {written!r} is no day. Write it as 2026-03-14 or 2026-03-14T09:30Z.")
