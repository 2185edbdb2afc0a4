"""Writes to one order at BrickLink, each with exactly one effect, whatever is lost on the way.

The order is read first, then each request is noted in sync.writes and committed, and only then sent. If its answer is
lost, the order is read before anything else is sent. After the last request the order is read, landed and loaded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from bl_pipeline.bricklink import (
    BrickLinkClient,
    BrickLinkError,
    CredentialsRefused,
    InvalidAnswer,
    Order,
    OrderStatus,
    PaymentStatus,
    RateLimited,
    ServerError,
    TransientError,
    Unreachable,
    read_order,
)
from bl_pipeline.records import ReportedError, Stop, StopReason, SyncRequest, SyncResult
from bl_pipeline.rules.writes import (
    MAX_SENDS,
    WriteKind,
    WriteOutcome,
    WritePlan,
    WriteRequest,
    before_of,
    changed_by_others,
    differences,
    fields_of,
    order_update,
    plan_writes,
)
from bl_pipeline.settings import Store
from bl_pipeline.sync.asking import WriteOrder
from bl_pipeline.sync.fetching import fetch_again, fetch_batch, order_documents
from bl_pipeline.sync.finishing import finish
from bl_pipeline.sync.listing import list_orders
from bl_pipeline.sync.planning import plan_changes
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.sync.settling import NAMES, became_of, describe, name_of, not_sent, settle_write, wait_until_arrived
from bl_pipeline.sync.stops import STOPS, stop_for
from bl_pipeline.sync.threads import in_a_thread
from bl_pipeline.warehouse import landing, state, writes
from bl_pipeline.warehouse.landing import Document
from bl_pipeline.warehouse.writes import Write, WriteAnswer
from bl_pipeline.wording import plural

_PASSING = frozenset(kind.__name__ for kind in (Unreachable, ServerError, InvalidAnswer))
"""Faults of BrickLink and of the network, and not of the order that is to be read."""

CALLS_TO_REFRESH = 1
"""After the last request the order is read once more."""


@dataclass(frozen=True)
class WriteResult(SyncResult):
    """What a run has written, and the SyncResult of the run: of its errors, those of writes come first.

    `already` are the fields that the order had as asked, so that nothing was sent for them.
    """

    writes: list[Write] = field(default_factory=list)
    already: list[str] = field(default_factory=list)

    def as_dict(self) -> dict[str, Any]:
        """The result ready for JSON, with what was written."""
        return {
            **super().as_dict(),
            "already": self.already,
            "writes": [
                {
                    "order_id": write.order_id,
                    "request": write.kind,
                    "asked": write.asked,
                    "before": write.before,
                    "after": write.after,
                    "outcome": write.outcome or "unknown",
                }
                for write in self.writes
            ],
        }


def run_write(session: SyncSession, asked: WriteOrder, *, run_id: str, job: str) -> WriteResult:
    """Write to one order, then refresh it; waits for the store's lock if another sync has it.

    What stops the run is in the result, and so is what was not done. Raises as `run_sync`.
    """
    session.begin(run_id, job=job, of_all_orders=False)
    errors: list[ReportedError] = []
    already: list[str] = []
    with session.step():
        order = _read(session, asked.order_id)
        if order is None and session.is_stopped():
            errors = [{"order_id": asked.order_id, "error": "It could not be read first, so nothing was written."}]
        elif order is not None:
            writer = _Writer(session, asked)
            already = writer.write(order)
            if writer.problems:
                errors = [{"order_id": asked.order_id, "error": "\n".join(writer.problems)}]
    with session.step():
        result = finish(session, errors)
        with session.warehouse.engine.connect() as connection:
            written = writes.of_run(connection, session.warehouse, run_id)
        session.result = WriteResult(**vars(result), writes=written, already=already)
    return session.result


def _read(session: SyncSession, order_id: str) -> Order | None:
    """The order as BrickLink has it now, loaded too; None if it cannot be read, which is noted with the run."""
    request = SyncRequest(order_ids=(order_id,), include_items=False)
    list_orders(session, request)
    known = order_documents(session, [order_id]).get(order_id)
    if plan_changes(session, request) is None:
        return None
    fetch_batch(session, 1, include_items=False)
    document_id = order_documents(session, [order_id]).get(order_id)
    with session.warehouse.engine.connect() as connection:
        if document_id not in (None, known):
            return read_order(landing.read_document(connection, document_id).body)
        failed = {order.order_id: order for order in state.failed_orders(connection, session.warehouse)}
    if order_id in failed and failed[order_id].error_class in _PASSING:
        message = "The BrickLink API cannot be reached, so nothing was written. Check the network, and try again later."
        session.stop(Stop(StopReason.UNREACHABLE, f"{message}\n{failed[order_id].error}"))
    return None


def plan_order(session: SyncSession, asked: WriteOrder, order: Order) -> WritePlan:
    """The requests for what is asked of an order, and the reasons why none is sent: with its guard and its past.

    A run has settled what it could before; of a preview, the order says what the run would settle.
    """
    with session.warehouse.engine.connect() as connection:
        past = writes.of_order(connection, session.warehouse, asked.order_id)
        known = None
        if asked.unchanged_since is not None:
            known = landing.known_order(
                connection, session.warehouse, asked.order_id, at=asked.unchanged_since, not_of_run=session.run_id
            )
    drive_thrus = [write for write in past if write.kind is WriteKind.DRIVE_THRU]
    plan = plan_writes(
        asked.values, order, drive_thru_sent=any(write.outcome == WriteOutcome.DONE for write in drive_thrus)
    )
    refusals = [*plan.refusals]
    if asked.unchanged_since is not None:
        refusals += _guard(session.store, asked.unchanged_since, known, order)
    open_writes = [
        write
        for write in past
        if write.outcome is None and (session.run_id or became_of(session, write, order) is None)
    ]
    if any(request.kind is WriteKind.DRIVE_THRU for request in plan.requests):
        refusals += [describe(session.store, write, None) for write in open_writes if write in drive_thrus]
    refusals += [describe(session.store, write, None) for write in open_writes if write not in drive_thrus]
    return WritePlan([] if refusals else plan.requests, plan.already, refusals)


def _guard(store: Store, since: datetime, known: Document | None, order: Order) -> list[str]:
    """Why an order must not be written to: it is not as the warehouse knew it at `since`. Empty if it is.

    `known` is the order's newest answer of that time, None if there is none.
    """
    at = f"{since:%Y-%m-%d %H:%M:%S} UTC"
    look = store.command(f"order {order.order_id}")
    try:
        changed = None if known is None else differences(order, read_order(known.body))
    except BrickLinkError:
        changed = None
    if changed is None:
        return [
            f"The warehouse has no order {order.order_id} as of {at}, so nothing says whether it has changed since. "
            f"Nothing was sent. Look at the order as it is now, and give a later time: {look}"
        ]
    if not changed:
        return []
    return [f"The order has changed since {at}: {', '.join(changed)}. Nothing was sent. Look at it with: {look}"]


class _Writer:
    """Sends the requests of one run, one after the other, and settles each; `problems` says what was not done."""

    def __init__(self, session: SyncSession, asked: WriteOrder) -> None:
        self._session = session
        self._asked = asked
        self._accepted: list[Write] = []
        """Accepted by BrickLink, and the order was not read since."""
        self.problems: list[str] = []

    def write(self, order: Order) -> list[str]:
        """Send what is to be sent, then refresh the order; the fields that it had already as asked.

        What was not done is added to `problems`, and what stops the run is noted with it.
        """
        plan = plan_order(self._session, self._asked, order)
        self.problems += plan.refusals
        if not plan.requests or not self._has_calls(len(plan.requests) + CALLS_TO_REFRESH):
            return plan.already
        waiting, planned, already = list(plan.requests), order, list(plan.already)
        with self._session.calling(self._session.run_id) as (client, _):
            while waiting:
                request = waiting.pop(0)
                # If an answer was lost, that has taken time, and the order was read since.
                if changed := changed_by_others(request, planned, order):
                    self.problems.append(not_sent(self._session.store, request.kind, self._asked.order_id, changed))
                    break
                if request.asked.items() <= fields_of(order).items():
                    already += request.asked
                    continue
                after = self._until_known(client, request, order)
                if after is None:
                    break
                order = after
        if waiting:
            left = ", ".join(name_of(request.kind, request.asked) for request in waiting)
            self.problems.append(f"Because of this, nothing was sent of: {left}.")
        self._refresh()
        return already

    def _has_calls(self, needed: int) -> bool:
        """Whether all calls are left that the requests need: else none is sent, rather than a part of them."""
        usage = self._session.usage()
        if usage.left >= needed:
            return True
        free = f"Calls are free again from {usage.next_reset_at:%Y-%m-%d %H:%M} UTC. " if usage.next_reset_at else ""
        message = (
            f"The call budget has {plural(usage.left, 'call')} left, and this needs {needed}, so nothing was written. "
            f"{free}To change the budget: BL_DAILY_CALL_LIMIT, BL_CALL_RESERVE."
        )
        self._session.stop(Stop(StopReason.BUDGET, message))
        return False

    def _until_known(self, client: BrickLinkClient, request: WriteRequest, order: Order) -> Order | None:
        """Send one request until it is known what became of it; returns the order as it was last read.

        None if it was not done, or if that is not known.
        """
        for left in reversed(range(MAX_SENDS)):
            write = self._note(request, order)
            answer = self._send(client, request, write)
            if answer is not WriteAnswer.LOST:
                return order if answer is WriteAnswer.ACCEPTED else None
            wait_until_arrived(self._session, write)
            document = self._read_again()
            outcome = None if document is None else settle_write(self._session, write, document, WriteAnswer.LOST)
            if document is not None:
                order = read_order(document.body)
            if outcome is WriteOutcome.DONE:
                return order
            if not left or outcome is not WriteOutcome.NOT_DONE or request.kind is WriteKind.DRIVE_THRU:
                self.problems.append(
                    describe(self._session.store, write, outcome, WriteAnswer.LOST, is_read=document is not None)
                )
                break
        return None

    def _note(self, request: WriteRequest, order: Order) -> Write:
        """Commit to sync.writes what is about to be sent. Raises Interrupted or WarehouseError if it must not be."""
        session = self._session
        session.check_canceled()
        session.check_lock()
        with session.transaction() as connection:
            return writes.note_write(
                connection,
                session.warehouse,
                order_id=self._asked.order_id,
                run_id=session.run_id,
                kind=request.kind,
                asked=request.asked,
                before=before_of(request, order),
                now=session.clock(),
            )

    def _send(self, client: BrickLinkClient, request: WriteRequest, write: Write) -> WriteAnswer:
        """Send one request, and note its answer; returns the answer."""
        now = self._session.clock
        try:
            in_a_thread(self._session, lambda: self._call(client, request))
        except STOPS as error:
            # Whichever it is, BrickLink has done nothing.
            refused = isinstance(error, RateLimited | CredentialsRefused)
            self._session.stop(stop_for(error, now()))
            return self._not_done(write, WriteAnswer.REFUSED if refused else WriteAnswer.NOT_SENT)
        except BrickLinkError as error:
            if error.may_have_effect:
                return self._answered(write, WriteAnswer.LOST)
            if isinstance(error, TransientError):
                self._session.stop(stop_for(error, now(), listing=True))
                return self._not_done(write, WriteAnswer.NOT_SENT)
            self.problems.append(
                f"BrickLink refused {NAMES[request.kind]} of order {write.order_id}, so it is as before.\n{error}"
            )
            return self._answered(write, WriteAnswer.REFUSED, WriteOutcome.REFUSED)
        self._accepted.append(write)
        return self._answered(write, WriteAnswer.ACCEPTED)

    def _call(self, client: BrickLinkClient, request: WriteRequest) -> None:
        order_id = self._asked.order_id
        match request.kind:
            case WriteKind.UPDATE:
                client.update_order(order_id, order_update(request.values))
            case WriteKind.PAYMENT_STATUS:
                client.update_payment_status(order_id, PaymentStatus(str(request.values["payment_status"])))
            case WriteKind.STATUS:
                client.update_order_status(order_id, OrderStatus(str(request.values["status"])))
            case WriteKind.DRIVE_THRU:
                client.send_drive_thru(order_id, mail_me=self._asked.mail_me)

    def _not_done(self, write: Write, answer: WriteAnswer) -> WriteAnswer:
        self.problems.append(describe(self._session.store, write, WriteOutcome.NOT_DONE, answer))
        return self._answered(write, answer, WriteOutcome.NOT_DONE)

    def _answered(self, write: Write, answer: WriteAnswer, outcome: WriteOutcome | None = None) -> WriteAnswer:
        now = self._session.clock()
        with self._session.warehouse.engine.begin() as connection:
            writes.note_answer(connection, write, answer, now)
            if outcome is not None:
                writes.note_outcome(connection, write, outcome, run_id=self._session.run_id, now=now)
        return answer

    def _read_again(self) -> Document | None:
        """The order's new answer, loaded too, by which the accepted writes are settled; None if it cannot be read."""
        order_id = self._asked.order_id
        document = fetch_again(self._session, [order_id]).get(order_id)
        if document is not None:
            for write in self._accepted:
                outcome = settle_write(self._session, write, document, WriteAnswer.ACCEPTED)
                if outcome is not WriteOutcome.DONE:
                    self.problems.append(describe(self._session.store, write, outcome, WriteAnswer.ACCEPTED))
            self._accepted = []
        return document

    def _refresh(self) -> None:
        """Read the order after the last request, unless it was read since."""
        if self._accepted and self._read_again() is None:
            self.problems += [
                describe(self._session.store, write, None, WriteAnswer.ACCEPTED) for write in self._accepted
            ]
