"""What became of writes whose outcome is not known: decided by reading the order, before anything else is sent.

A write of a run that has died is settled by the next run of the store, whatever its job: it has the store's lock, so no
other run is alive. Only the run that was asked for a write sends it; no other run ever sends it again.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from bl_pipeline.bricklink import Order, read_order
from bl_pipeline.rules.writes import LATE, WriteKind, WriteOutcome, fields_of, settle
from bl_pipeline.settings import Store
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.sync.unexpected import LOG
from bl_pipeline.warehouse import landing, writes
from bl_pipeline.warehouse.landing import Document
from bl_pipeline.warehouse.usage import last_write_at
from bl_pipeline.warehouse.writes import Write, WriteAnswer

NAMES = {
    WriteKind.UPDATE: "the update",
    WriteKind.PAYMENT_STATUS: "the payment status",
    WriteKind.STATUS: "the status",
    WriteKind.DRIVE_THRU: "the drive thru",
}
"""What messages call the requests."""


def settle_writes(session: SyncSession) -> None:
    """Settle the writes that runs before this one have left, with one call for each order; logs what became of them.

    What cannot be decided stays as it is, for the next run. What stops the run is noted with it.
    """
    with session.warehouse.engine.connect() as connection:
        left = writes.unsettled(connection, session.warehouse)
    if not left:
        return
    # What loads an order takes half a second to import: a sync without changes does not wait for it.
    from bl_pipeline.sync.fetching import fetch_again  # noqa: PLC0415

    left = [write for write in left if not _settle_by_what_is_stored(session, write)]
    if not left:
        return
    for write in left:
        wait_until_arrived(session, write)
    documents = fetch_again(session, list(dict.fromkeys(write.order_id for write in left)))
    for write in left:
        document = documents.get(write.order_id)
        outcome = settle_write(session, write, document) if document else None
        LOG.warning("Of an earlier run: %s", describe(session.store, write, outcome, is_read=document is not None))


def _settle_by_what_is_stored(session: SyncSession, write: Write) -> bool:
    """Settle a write whose effect is stored already: a run has loaded the order, and died before it noted the outcome.

    An answer from before the write never shows what was asked for: what the order had already is not sent. The
    answer that showed it first is the one that the status history has.
    """
    from bl_pipeline.sync.fetching import order_documents  # noqa: PLC0415

    document_id = order_documents(session, [write.order_id]).get(write.order_id)
    if document_id is None:
        return False
    with session.warehouse.engine.connect() as connection:
        document = landing.read_document(connection, document_id)
    order = read_order(document.body)
    if settle(write.kind, write.asked, write.before, order, age=timedelta(0)) is not WriteOutcome.DONE:
        return False
    LOG.warning("Of an earlier run: %s", describe(session.store, write, settle_write(session, write, document)))
    return True


def wait_until_arrived(session: SyncSession, write: Write) -> None:
    """Wait until a request whose answer is not known has arrived, if it still does: then the order can be read.

    Not for a drive thru, which is not decided for an hour. Raises Interrupted.
    """
    if write.answer is WriteAnswer.ACCEPTED or write.kind is WriteKind.DRIVE_THRU:
        return
    with session.warehouse.engine.connect() as connection:
        # Noted once, and sent later if the first attempts did not reach BrickLink.
        sent_at = last_write_at(connection, write.run_id) or write.noted_at
    left = min(max(sent_at, write.noted_at) + LATE - session.clock(), LATE).total_seconds()
    if left > 0:
        what = f"{NAMES[write.kind]} of order {write.order_id}"
        LOG.warning(
            "BrickLink's answer to %s was lost. The request may still arrive, so the order is read in %.0f s.",
            what,
            left,
        )
        session.wait(left)


def settle_write(
    session: SyncSession, write: Write, document: Document, answer: WriteAnswer | None = None
) -> WriteOutcome | None:
    """Note what became of a write, by an answer about its order that was asked for after it was sent.

    `answer` is how BrickLink answered it; that of the row if None. Returns None, and notes nothing, if the order does
    not decide it yet.
    """
    order = read_order(document.body)
    outcome = became_of(session, write, order, answer)
    if outcome is None:
        return None
    fields = fields_of(order)
    with session.warehouse.engine.begin() as connection:
        writes.note_outcome(
            connection,
            write,
            outcome,
            run_id=session.run_id,
            now=session.clock(),
            after={name: fields[name] for name in write.before},
            document_id=document.document_id,
        )
    return outcome


def became_of(
    session: SyncSession, write: Write, order: Order, answer: WriteAnswer | None = None
) -> WriteOutcome | None:
    """What became of a write by what the order says now; `answer` as in `settle_write`."""
    accepted = (answer or write.answer) is WriteAnswer.ACCEPTED
    age = session.clock() - write.noted_at
    return settle(write.kind, write.asked, write.before, order, age=age, accepted=accepted)


def describe(
    store: Store, write: Write, outcome: WriteOutcome | None, answer: WriteAnswer | None = None, *, is_read: bool = True
) -> str:
    """What became of a write, what it means, and what to do; without the values that were asked for.

    `is_read`: the order was read since.
    """
    what = _about(write.kind, write.order_id)
    see = f"See it with: {store.command(f'order {write.order_id}')}"
    fields = _fields(write.kind, write.asked)
    accepted = (answer or write.answer) is WriteAnswer.ACCEPTED
    match outcome:
        case WriteOutcome.DONE:
            return f"{what}{fields} was done."
        case WriteOutcome.NOT_DONE if accepted:
            return f"{what}{fields} was accepted by BrickLink, but the order is as before. Look at it there."
        case WriteOutcome.NOT_DONE:
            return f"{what}{fields} was not done: the order is as before. To do it, ask for it again."
        case WriteOutcome.PARTLY_DONE:
            return (
                f"{what}{fields} was done only in part, and the rest is as before. BrickLink ignores costs once an "
                f"order is paid. {see}"
            )
        case WriteOutcome.CHANGED if accepted:
            return (
                f"{what}{fields} was accepted by BrickLink, but the order now says something else: BrickLink stores it "
                f"in another form, or somebody else has changed it since. Nothing more was sent. {see}"
            )
        case WriteOutcome.CHANGED:
            return (
                f"{what}{fields}: BrickLink now has neither what was asked for nor what it had before. Somebody else "
                f"has changed the order meanwhile; that stays, and nothing more was sent. {see}"
            )
    if accepted:
        return (
            f"{what}{fields} was accepted by BrickLink, but the order cannot be read now. The next run reads it first, "
            "and says whether it is so."
        )
    if write.kind is WriteKind.DRIVE_THRU and is_read:
        return (
            f"{what}: BrickLink's answer was lost, and the order does not show that it was sent. The request may "
            "still arrive, so it is not sent again. A sync an hour later says what became of it; or look at the order "
            "at BrickLink."
        )
    return (
        f"{what}{fields}: BrickLink's answer was lost, and the order cannot be read now, so it is not known whether it "
        "was done. Nothing more was sent. The next run reads the order first, and says what became of it."
    )


def not_sent(store: Store, kind: WriteKind, order_id: str, changed: Sequence[str]) -> str:
    """Why a request was not sent: somebody else has changed these fields of the order since it was read first."""
    return (
        f"{_about(kind, order_id)} was not sent: somebody else has changed the order meanwhile "
        f"({_list(changed)}); that stays. See it with: {store.command(f'order {order_id}')}"
    )


def name_of(kind: WriteKind, asked: Collection[str]) -> str:
    """What messages call one request, with the fields of an update: there can be two of them in one run."""
    return f"{NAMES[kind]}{_fields(kind, asked)}"


def _fields(kind: WriteKind, asked: Collection[str]) -> str:
    return f" ({_list(list(asked))})" if kind is WriteKind.UPDATE else ""


def _about(kind: WriteKind, order_id: str) -> str:
    name = f"{NAMES[kind]} of order {order_id}"
    return name[0].upper() + name[1:]


def _list(names: Sequence[str]) -> str:
    return ", ".join(name.replace("_", " ") for name in names)
