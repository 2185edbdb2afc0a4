"""One batch of the fan-out: fetch its orders on a few threads, land each answer, then load them all at once."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from threading import Event

from bl_pipeline.bricklink import (
    BrickLinkClient,
    BrickLinkError,
    CredentialsRefused,
    InvalidResource,
    OrderError,
    RateLimited,
    ServiceDown,
)
from bl_pipeline.defs.loading import Answers, Failure, Prepared, failure, held, load_prepared, prepare, read_landed_order
from bl_pipeline.defs.session import SyncSession
from bl_pipeline.defs.steps import order_state, stop
from bl_pipeline.defs.stops import stop_for
from bl_pipeline.settings import SettingsError
from bl_pipeline.sync.changes import Reason, items_needed
from bl_pipeline.sync.normalise import NotNormalisable, order_key
from bl_pipeline.sync.statuses import PURGED
from bl_pipeline.warehouse import landing, runs, state
from bl_pipeline.warehouse.landing import Document, Kind, UnstorableAnswer
from bl_pipeline.warehouse.ledger import BudgetExhausted
from bl_pipeline.warehouse.runs import PlannedOrder
from bl_pipeline.warehouse.state import StateRow

_STOPS = (BudgetExhausted, CredentialsRefused, RateLimited, ServiceDown)


def fetch_batch(session: SyncSession, batch_number: int, *, include_items: bool) -> dict[str, int]:
    """Fetch and load the orders of one batch that are not done yet; returns orders by outcome.

    An order that fails is noted and the others go on. What stops everything is noted with the run, and what
    was fetched before it is loaded all the same. Canceled, it raises at once: what has landed is loaded by the
    next run.
    """
    with session.warehouse.engine.connect() as connection:
        if runs.read_stop(connection, session.run_id):
            return {}
        planned = runs.read_batch(connection, session.run_id, batch_number)
        order_ids = [order.order_id for order in planned]
        states = state.read_states(connection, session.warehouse, order_ids)
        landed = landing.landed_but_not_loaded(connection, session.warehouse, order_ids)
    fetched, failures = _fetch_all(session, planned, states, landed, include_items=include_items)
    prepared = [prepare(answers, held(states.get(answers.order_id))) for answers in fetched]
    failures += [order for order in prepared if isinstance(order, Failure)]
    return _load(session, [order for order in prepared if isinstance(order, Prepared)], failures)


def _fetch_all(
    session: SyncSession,
    planned: list[PlannedOrder],
    states: Mapping[str, StateRow],
    landed: Mapping[str, list[Document]],
    *,
    include_items: bool,
) -> tuple[list[Answers], list[Failure]]:
    fetched: list[Answers] = []
    failures: list[Failure] = []
    stopped = Event()
    with session.client(session.run_id) as client:
        pool = ThreadPoolExecutor(session.settings.bl_max_parallel_requests, thread_name_prefix="fetch")

        def fetch(order: PlannedOrder) -> Answers | None:
            # Once one order has shown that no call will succeed, the others make none.
            if stopped.is_set() or session.canceled.is_set():
                return None
            fetcher = _Fetcher(session, client, order, states[order.order_id], landed.get(order.order_id, []))
            try:
                return fetcher.fetch(include_items=include_items)
            except _STOPS:
                stopped.set()
                raise

        try:
            futures: dict[Future[Answers | None], str] = {
                pool.submit(fetch, order): order.order_id for order in planned
            }
            for future in as_completed(futures):
                try:
                    answers = future.result()
                except _STOPS as error:
                    stop(session, *stop_for(error))
                except (BrickLinkError, NotNormalisable, UnstorableAnswer) as error:
                    failures.append(failure(futures[future], error))
                else:
                    if answers is not None:
                        fetched.append(answers)
        except BaseException:
            # Canceled (or broken): no waiting for slow answers, no further call.
            session.canceled.set()
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        pool.shutdown()
    return fetched, failures


class _Fetcher:
    """Fetches one order; what a run that died has landed of it is not fetched again."""

    def __init__(
        self,
        session: SyncSession,
        client: BrickLinkClient,
        planned: PlannedOrder,
        row: StateRow,
        landed: list[Document],
    ) -> None:
        self._session = session
        self._client = client
        self._planned = planned
        self._row = row
        # Whoever asks for an order by its id wants it from BrickLink.
        self._landed = [] if planned.reason == Reason.REQUESTED else landed

    def fetch(self, *, include_items: bool) -> Answers:
        order_id = self._row.order_id
        document = self._order_document()
        order = read_landed_order(document)
        purged = order.status == PURGED
        needed = include_items and items_needed(
            order_state(self._row), order_key(order), purged=purged, force=self._planned.force_items
        )
        if not needed:
            return Answers(order_id, document)
        for landed in reversed(self._landed):
            if landed.kind == "items" and landed.document_id > document.document_id:
                return Answers(order_id, document, landed)
        try:
            answer = self._client.order_items(order_id, purged=purged)
        except OrderError as error:
            if not purged or isinstance(error, InvalidResource):
                raise
            return Answers(order_id, document, items_asked_at=self._session.clock())
        return Answers(order_id, document, self._land("items", answer.raw))

    def _order_document(self) -> Document:
        if not self._planned.fetch_order:
            with self._session.warehouse.engine.connect() as connection:
                return landing.read_document(connection, self._row.order_document_id)
        for landed in reversed(self._landed):
            if landed.kind == "order":
                return landed
        return self._land("order", self._client.order(self._row.order_id).raw)

    def _land(self, kind: Kind, body: bytes) -> Document:
        return landing.land(
            self._session.warehouse,
            run_id=self._session.run_id,
            order_id=self._row.order_id,
            kind=kind,
            body=body,
            listed_hash=self._row.listed_hash,
            listed_status_changed_at=self._row.listed_status_changed_at,
            fetched_at=self._session.clock(),
        )


def _load(session: SyncSession, prepared: list[Prepared], failures: list[Failure]) -> dict[str, int]:
    session.lock.check()
    with session.warehouse.engine.begin() as connection:
        loaded, refused = load_prepared(connection, session.warehouse, prepared)
        outcomes = {order.loaded.order_id: order.outcome for order in loaded}
        for failed in [*failures, *refused]:
            outcomes[failed.order_id] = "failed"
            state.mark_failed(
                connection,
                session.warehouse,
                failed.order_id,
                error=failed.error,
                error_class=failed.error_class,
                now=session.clock(),
            )
        runs.save_outcomes(connection, session.run_id, outcomes)
    counts: dict[str, int] = {}
    for order_id, outcome in outcomes.items():
        session.progress.done(order_id, outcome)
        counts[outcome] = counts.get(outcome, 0) + 1
    return counts
