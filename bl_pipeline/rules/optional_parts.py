"""Parts that are only fetched if the settings ask for them, and when they are asked for: messages and feedback.

Nothing in the lists or in an order shows that they have changed, so each question costs a call. An order is asked about
while it is young: a day after the last time, then ever more rarely.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import Fetch, OptionalPart, OrderState, Reason
from bl_pipeline.rules.kinds import is_purged

ASK_AGAIN_AFTER = timedelta(days=1)

_NEVER = timedelta.max


def _waited(kind: AnswerKind, state: OrderState, now: datetime) -> timedelta | None:
    """For how long a part has been due: the longest for one that was never fetched; None if it is not due.

    It is due again after a day, and after a quarter of the age that the order had the last time: about 16 calls for an
    order in its first two months.
    """
    fetched_at = state.part(kind).fetched_at
    if fetched_at is None:
        return _NEVER
    due = fetched_at + max(ASK_AGAIN_AFTER, (fetched_at - state.order_date) / 4)
    return now - due if due <= now else None


def optional_fetches(
    states: Mapping[str, OrderState],
    planned: Collection[str],
    optional_parts: Sequence[OptionalPart],
    calls: int,
    now: datetime,
) -> list[Fetch]:
    """The optional parts that are due, of orders that are not `planned`: for at most `calls` calls.

    What was never fetched comes first, of the newest orders first; then what has waited longest. Purged orders are
    left out, and those that have failed. `states` is by order id.
    """
    due: list[tuple[timedelta, OrderState, frozenset[AnswerKind]]] = []
    for state in states.values():
        if state.order_id in planned or not state.is_stored or state.failed or is_purged(state.listed_status):
            continue
        waited = {
            part.kind: wait
            for part in optional_parts
            if state.group in part.groups
            and now - state.order_date <= part.max_age
            and (wait := _waited(part.kind, state, now)) is not None
        }
        if waited:
            due.append((max(waited.values()), state, frozenset(waited)))
    due.sort(key=lambda entry: (entry[0], entry[1].order_date, entry[1].order_id), reverse=True)
    fetches: list[Fetch] = []
    for _, state, kinds in due:
        if len(kinds) <= calls:
            fetches.append(Fetch(state.order_id, Reason.OPTIONAL_PARTS, fetch_order=False, force=kinds))
            calls -= len(kinds)
    return fetches
