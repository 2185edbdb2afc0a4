"""One batch of the fan-out: fetch its orders on a few threads, land each answer, and load what has come meanwhile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from concurrent.futures import Future, wait
from dataclasses import replace
from datetime import datetime
from functools import partial
from math import inf
from threading import Event
from typing import Any

from bl_pipeline.bricklink import Answer, BrickLinkClient, BrickLinkError, OrderError
from bl_pipeline.columns import AnswerKind
from bl_pipeline.records import FailedOrder, Fetch, OrderState, Outcome, Reason
from bl_pipeline.rules.changes import RECHECK_OPEN_AFTER
from bl_pipeline.rules.kinds import KINDS, due_parts, is_refused_for_good, least_pieces, wanted_parts
from bl_pipeline.rules.normalise import NotNormalisable
from bl_pipeline.settings import SettingsError
from bl_pipeline.sync.interruptions import interruption_behind
from bl_pipeline.sync.loading import (
    FetchedOrder,
    PreparedOrder,
    failure,
    failures_of_parts,
    load_prepared,
    prepare,
    read_landed_order,
)
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.sync.stops import STOPS, stop_for
from bl_pipeline.sync.threads import Batcher, as_they_come, in_threads
from bl_pipeline.sync.unexpected import log_unexpected
from bl_pipeline.warehouse import landing, run_orders, runs, state
from bl_pipeline.warehouse.database import WarehouseError
from bl_pipeline.warehouse.landing import Document, Received, UnstorableAnswer
from bl_pipeline.warehouse.ledger import CallLedger

LOADED_TOGETHER = 50
"""Orders fetched, at least, before they are loaded: few enough that little is fetched again if the process dies."""


def fetch_batch(session: SyncSession, batch_number: int, *, include_items: bool) -> Counter[Outcome]:
    """Fetch and load the orders of one batch that are not done yet; returns orders by outcome.

    A failed order is noted, and the others go on. If something stops the run, that is noted with the run, and what
    was fetched before is still loaded. Raises Interrupted at once if the run was canceled: the next run loads what
    has landed.
    """
    with session.warehouse.engine.connect() as connection:
        planned = run_orders.read_batch(connection, session.run_id, batch_number)
    return _fetch_and_load(session, planned, wanted_parts(include_items=include_items))


def fetch_again(session: SyncSession, order_ids: Collection[str]) -> dict[str, Document]:
    """Fetch, land and load these orders, without their parts, whatever is stored of them: one call each.

    Returns the new answers by order id; an order that could not be fetched and loaded now is not among them. Failures
    and stops are noted as by `fetch_batch`. The orders must be in sync.order_state.
    """
    before = order_documents(session, order_ids)
    _fetch_and_load(session, [Fetch(order_id, Reason.REQUESTED) for order_id in order_ids], ())
    new = {(key, found) for key, found in order_documents(session, order_ids).items() if found != before[key]}
    with session.warehouse.engine.connect() as connection:
        return {order_id: landing.read_document(connection, document_id) for order_id, document_id in new}


def order_documents(session: SyncSession, order_ids: Collection[str]) -> dict[str, int | None]:
    """The documents from which these orders are stored, by order id."""
    with session.warehouse.engine.connect() as connection:
        states = state.read_states(connection, session.warehouse, order_ids)
    return {order_id: order.order_document_id for order_id, order in states.items()}


def _fetch_and_load(session: SyncSession, planned: list[Fetch], wanted: Collection[AnswerKind]) -> Counter[Outcome]:
    order_ids = [order.order_id for order in planned]
    with session.warehouse.engine.connect() as connection:
        if runs.read_stop(connection, session.run_id):
            return Counter()
        states = state.read_states(connection, session.warehouse, order_ids)
        landed = landing.not_loaded(connection, session.warehouse, order_ids)
    try:
        with session.calling(session.run_id) as (client, ledger):
            return _Batch(session, client, ledger, states, landed, wanted).fetch_and_load(planned)
    except SettingsError as error:
        session.stop(stop_for(error, session.clock()))
        return Counter()


class _Batch:
    """Orders that are fetched on a few threads, and loaded meanwhile, some at a time.

    `states` and `landed` (documents not loaded yet, oldest first) are by order id, `wanted` are the parts that are
    fetched if they are due.
    """

    def __init__(
        self,
        session: SyncSession,
        client: BrickLinkClient,
        ledger: CallLedger,
        states: Mapping[str, OrderState],
        landed: Mapping[str, list[Document]],
        wanted: Collection[AnswerKind],
    ) -> None:
        self._session = session
        self._client = client
        self._states = states
        self._landed = landed
        self._wanted = wanted
        self._answers = Batcher(partial(_land, session, ledger))
        self._stopped = Event()
        self._fetched: list[FetchedOrder] = []
        self._failures: list[FailedOrder] = []

    def fetch_and_load(self, planned: list[Fetch]) -> Counter[Outcome]:
        """Fetch the planned orders and load what was fetched; returns orders by outcome.

        What stops the run is noted with it. Raises Interrupted if the run was canceled, and WarehouseError if it has
        lost its store.
        """
        session, outcomes = self._session, Counter[Outcome]()
        futures = in_threads(session.store.parallel_requests, self._fetch, planned)
        try:
            for done in as_they_come(session, futures):
                for future in done:
                    self._take(futures[future].order_id, future)
                if len(self._fetched) + len(self._failures) >= LOADED_TOGETHER:
                    outcomes += self._load()
            outcomes += self._load()
        except BaseException as error:
            if interruption_behind(error) is None and not isinstance(error, WarehouseError):
                # An error of our own: no further order, but the calls under way are spent, and their answers land.
                self._stopped.set()
                wait(futures)
            # If the run is being canceled, or has lost its store, nothing waits for slow answers, and none lands.
            session.canceled.set()
            raise
        return outcomes

    def _fetch(self, order: Fetch) -> FetchedOrder | None:
        # Once one order has shown that no call will succeed, the others make none.
        if self._stopped.is_set() or self._session.canceled.is_set():
            return None
        state, landed = self._states[order.order_id], self._landed.get(order.order_id, [])
        try:
            return _Fetcher(self._session, self._client, self._answers, order, state, landed).fetch(self._wanted)
        except STOPS:
            self._stopped.set()
            raise

    def _take(self, order_id: str, future: Future[FetchedOrder | None]) -> None:
        """Take what was fetched of an order, or note why it was not."""
        try:
            answers = future.result()
        except STOPS as error:
            self._session.stop(stop_for(error, self._session.clock()))
        except (BrickLinkError, NotNormalisable, UnstorableAnswer) as error:
            self._failures.append(failure(order_id, error))
        else:
            if answers is not None:
                self._fetched.append(answers)
                self._session.progress.fetched(order_id)

    def _load(self) -> Counter[Outcome]:
        """Load what was fetched since the last load. Raises WarehouseError, and loads nothing, if the store is lost."""
        fetched, failures = self._fetched, self._failures
        self._fetched, self._failures = [], []
        return _load(self._session, fetched, failures, self._states)


def _land(session: SyncSession, ledger: CallLedger, answers: list[Received]) -> list[Document | UnstorableAnswer]:
    """Commit answers of several threads, and with them how their calls ended; an answer may be refused."""
    try:
        with ledger.transaction() as connection:
            documents = landing.land(connection, session.warehouse, session.run_id, answers)
            session.lock_run(connection)
            return [*documents]
    except UnstorableAnswer as error:
        if len(answers) == 1:
            return [error]
    return [found for answer in answers for found in _land(session, ledger, [answer])]


def is_current(document: Document, planned: Fetch, state: OrderState, now: datetime) -> bool:
    """Whether an order that has landed, and was not loaded, can be loaded as it is, so that no call is needed."""
    return (
        # An order requested by its id is always fetched, and an answer that failed is not used again.
        planned.reason is not Reason.REQUESTED
        and state.failed_at is None
        # A re-check and a full sync look for changes that no list shows: an older answer may lack them.
        and (planned.reason not in (Reason.RECHECK, Reason.FULL_SYNC) or now - document.fetched_at < RECHECK_OPEN_AFTER)
        and document.listed_fingerprint == state.listed_fingerprint
        and document.listed_status_changed_at == state.listed_status_changed_at
    )


class _Fetcher:
    """Fetches one order; what has landed of it already, and is still what the list says, is not fetched again."""

    def __init__(
        self,
        session: SyncSession,
        client: BrickLinkClient,
        answers: Batcher[Received, Document | UnstorableAnswer],
        planned: Fetch,
        state: OrderState,
        landed: list[Document],
    ) -> None:
        self._session = session
        self._client = client
        self._answers = answers
        self._planned = planned
        self._state = state
        self._documents = landed

    def fetch(self, wanted: Collection[AnswerKind]) -> FetchedOrder:
        """The order's documents, oldest first: landed before, and landed now, with those of its parts that are due.

        At most one call for the order and one for each part. Raises what stops the run (`STOPS`), and BrickLinkError,
        NotNormalisable or UnstorableAnswer if the order itself cannot be fetched or read. If only a part of it cannot
        be fetched, it raises nothing: `failures` has the reason, or, if it is refused because it is purged or optional,
        `refused_at` the time at which it was asked for.
        """
        document = self._order_document()
        order = read_landed_order(document)
        landed = {later.kind for later in self._documents if later.document_id > document.document_id}
        fetched = FetchedOrder(self._documents)
        for kind in due_parts(order, self._state, wanted, self._planned.force):
            if kind in landed or AnswerKind.ORDER in landed:
                continue
            try:
                may_be_absent = least_pieces(kind, order) == 0
                answer = self._client.order_part(order.order_id, kind, KINDS[kind].line, may_be_absent=may_be_absent)
                self._land(kind, answer)
            except STOPS:
                raise
            except (BrickLinkError, UnstorableAnswer) as error:
                optional = self._planned.reason is Reason.OPTIONAL_PARTS and isinstance(error, OrderError)
                if optional or is_refused_for_good(error, order):
                    fetched.refused_at[kind] = self._session.clock()
                else:
                    # The order itself is loaded without this part.
                    fetched.failures[kind] = failure(self._state.order_id, error)
        return fetched

    def _order_document(self) -> Document:
        """The order's document to load: landed before if it is still current, stored if only parts are to be
        fetched, else fetched and landed now (one call; raises as the client and `_land` do).

        Puts the stored order's document first if parts would otherwise have no order before them.
        """
        landed = [document for document in self._documents if document.kind is AnswerKind.ORDER]
        begins_with_part = bool(self._documents) and self._documents[0].kind is not AnswerKind.ORDER
        if begins_with_part or not self._planned.fetch_order:
            # A part belongs to the order before it: without it it would not be loaded, though no newer one may come.
            with self._session.warehouse.engine.connect() as connection:
                self._documents.insert(0, landing.read_document(connection, self._state.order_document_id))
        if landed and is_current(landed[-1], self._planned, self._state, self._session.clock()):
            return landed[-1]
        if not self._planned.fetch_order:
            return self._documents[0]
        return self._land(AnswerKind.ORDER, self._client.order(self._state.order_id))

    def _land(self, kind: AnswerKind, answer: Answer[Any]) -> Document:
        """Commit an answer, and add it to the order's documents. Raises Interrupted, or UnstorableAnswer."""
        # If it was, another sync may be running by now, and have fetched and loaded a later state of the order.
        self._session.check_canceled(unless_within_seconds=inf)
        state = self._state
        document = self._answers.do(
            Received(
                state.order_id, kind, answer.raw, state.listed_fingerprint, state.listed_status_changed_at,
                answer.received_at,
            )
        )  # fmt: skip
        if isinstance(document, UnstorableAnswer):
            raise document
        self._documents.append(document)
        return document


def _load(
    session: SyncSession, fetched: list[FetchedOrder], failures: list[FailedOrder], states: Mapping[str, OrderState]
) -> Counter[Outcome]:
    """Load what was fetched, and store outcomes and failures, in one transaction; returns orders by outcome.

    `states` is by order id. Raises WarehouseError, and loads nothing, if the store was lost.
    """
    ready: list[list[PreparedOrder]] = []
    for order in fetched:
        prepared = prepare(order, states[order.documents[0].order_id])
        if isinstance(prepared, FailedOrder):
            failures.append(prepared)
        else:
            ready.append(prepared)
    session.check_lock()
    with session.transaction() as connection:
        loaded = load_prepared(connection, session.warehouse, ready)
        outcomes = dict(loaded.outcomes)
        failures += [*loaded.failures, *failures_of_parts(ready, loaded)]
        for failed in failures:
            outcomes[failed.order_id] = Outcome.FAILED
            attempts = states[failed.order_id].attempts + 1
            state.mark_failed(
                connection, session.warehouse, replace(failed, attempts=attempts, failed_at=session.clock())
            )
        run_orders.save_outcomes(connection, session.run_id, outcomes)
    log_unexpected(failures)
    for order_id, outcome in outcomes.items():
        session.progress.done(order_id, outcome)
    return Counter(outcomes.values())
