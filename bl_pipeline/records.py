"""The records that the packages pass to each other: one for each thing, with the words for its states.

Times are UTC and aware. An order's id is BrickLink's number as text.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple, TypedDict

from bl_pipeline.columns import AnswerKind, OrderGroup


class Reason(StrEnum):
    """Why an order is fetched, in order of priority."""

    REQUESTED = "requested"
    NEW = "new"
    STATUS_CHANGED = "status_changed"
    CONTENT_CHANGED = "content_changed"
    FAILED_BEFORE = "failed_before"
    BACKLOG = "backlog"
    ITEMS_MISSING = "items_missing"
    FULL_SYNC = "full_sync"
    RECHECK = "recheck"
    OPTIONAL_PARTS = "optional_parts"


class Outcome(StrEnum):
    """The outcome of an order of a run's plan."""

    CREATED = "created"
    UPDATED = "updated"
    SKIPPED = "skipped"
    FAILED = "failed"
    DEFERRED = "deferred"


class StopReason(StrEnum):
    """What stopped a run before everything was done."""

    BUDGET = "budget"
    CREDENTIALS = "credentials"
    UNREACHABLE = "unreachable"
    SETTINGS = "settings"
    ERROR = "error"

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of `bl`."""
        return _EXIT_CODES[self]


class RunStatus(StrEnum):
    """The state of a run, or how it ended."""

    STARTED = "started"
    SUCCEEDED = "succeeded"
    COMPLETED_WITH_ERRORS = "completed_with_errors"
    STOPPED_AT_BUDGET = "stopped_at_budget"
    FAILED = "failed"
    CANCELED = "canceled"


COMPLETE = (RunStatus.SUCCEEDED, RunStatus.COMPLETED_WITH_ERRORS)
"""How a run ends that nothing stopped; what failed is due again in the next one."""


class ExitCode(IntEnum):
    """Exit codes of `bl`."""

    DONE = 0
    OTHER = 1
    USAGE = 2
    SOME_FAILED = 3
    BUDGET = 4
    CREDENTIALS = 5
    UNREACHABLE = 6


PRECEDENCE = (
    ExitCode.CREDENTIALS, ExitCode.UNREACHABLE, ExitCode.USAGE, ExitCode.OTHER, ExitCode.BUDGET, ExitCode.SOME_FAILED,
)  # fmt: skip
"""Which exit code is given if several apply: the first of these."""

_EXIT_CODES = {
    StopReason.CREDENTIALS: ExitCode.CREDENTIALS,
    StopReason.UNREACHABLE: ExitCode.UNREACHABLE,
    StopReason.BUDGET: ExitCode.BUDGET,
    StopReason.SETTINGS: ExitCode.USAGE,
    StopReason.ERROR: ExitCode.OTHER,
}


@dataclass(frozen=True)
class Credentials:
    """What BrickLink's API consumer page issues for a store and an address; the repr shows none of it."""

    consumer_key: str = field(repr=False)
    consumer_secret: str = field(repr=False)
    token_value: str = field(repr=False)
    token_secret: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Budget:
    """The limit of calls in any 24 hours, and how many of these are reserved for other tools with the same key."""

    limit: int
    reserve: int

    @property
    def allowed(self) -> int:
        """Calls the pipeline may make in any 24 hours."""
        return max(self.limit - self.reserve, 0)


@dataclass(frozen=True, slots=True)
class OrderDates:
    """Orders by their order_date: from, up to but not including `before`; None is no limit."""

    start: datetime | None = None
    before: datetime | None = None

    def __contains__(self, order_date: datetime) -> bool:
        return (self.start is None or self.start <= order_date) and (self.before is None or order_date < self.before)


EVERY_DATE = OrderDates()


@dataclass(frozen=True, slots=True)
class FullSync:
    """An open request to fetch orders again: whatever was fetched of them before `requested_at` is fetched once more.

    `full_sync_id` is its row in sync.full_syncs, None if it is not stored.
    """

    requested_at: datetime
    include_items: bool = True
    dates: OrderDates = EVERY_DATE
    full_sync_id: int | None = None


@dataclass(frozen=True, slots=True)
class OptionalPart:
    """A part that is fetched of the orders of some groups only, and only if they are younger than `max_age`."""

    kind: AnswerKind
    groups: frozenset[OrderGroup]
    max_age: timedelta


@dataclass(frozen=True, slots=True)
class SyncRequest:
    """What a run is asked for.

    `order_ids`: just these, whatever their state; None is every order. `only_failed`: just those that failed
    before. `full_sync`: fetch again whatever was fetched before now, only of `dates` if these are given. `also`:
    fetch these parts of each order that is fetched, whether they are due or not.
    The planning adds `full_syncs`, those that are open; `rechecks`, the most calls for re-checks of orders that have no
    other reason to be fetched; and `optional_parts`, those that the settings ask for.
    """

    include_filed: bool = True
    include_items: bool = True
    full_sync: bool = False
    also: frozenset[AnswerKind] = frozenset()
    order_ids: tuple[str, ...] | None = None
    only_failed: bool = False
    dates: OrderDates = EVERY_DATE
    full_syncs: Sequence[FullSync] = ()
    rechecks: int = 0
    optional_parts: Sequence[OptionalPart] = ()

    @property
    def of_all_orders(self) -> bool:
        """Whether the run, if nothing stops it, brings every order up to date."""
        return self.order_ids is None and not self.only_failed and self.dates == EVERY_DATE


class ListedOrder(NamedTuple):
    """One sale as BrickLink's lists show it; `status_changed_at` is None if the list has none.

    It is compared as a whole with what the lists said before. A tuple: there is one for each order of the store.

    `fingerprint` is of all that the row says, except `status_changed_at`: see rules/summaries.py.
    """

    order_id: str
    order_date: datetime
    status: str
    status_changed_at: datetime | None
    is_filed: bool
    fingerprint: str


UNREADABLE = ""
"""The fingerprint of a part if what is stored of it is not that of the order, because some could not be read."""


@dataclass(frozen=True, slots=True)
class PartState:
    """What the warehouse knows of one part of an order, such as its items.

    `document_id` is the answer in landing.documents, `fetched_at` when the part was last fetched, changed or not;
    None if never. `fingerprint` is what the order said of its parts at that time, or UNREADABLE.
    """

    document_id: int | None = None
    fetched_at: datetime | None = None
    fingerprint: str | None = None

    @property
    def is_whole(self) -> bool:
        """All of it is stored, of whatever content of the order."""
        return self.fingerprint not in (None, UNREADABLE)


NEVER_FETCHED = PartState()


@dataclass(frozen=True, slots=True)
class OrderState:
    """What the warehouse knows of one order: a row of sync.order_state, and the group of the stored order.

    `listed_` is what the lists say now, `stored_` what they said when the stored order was fetched.
    `order_fingerprint` is what the stored order says of its parts as a whole; the fingerprint of a part is what the
    order said when that part was fetched: they differ if the part may have changed since. The document ids are of
    landing.documents. `attempts` counts failures in a row. `group` is None if no order is stored.
    """

    order_id: str
    order_date: datetime
    listed_fingerprint: str
    listed_status: str
    listed_status_changed_at: datetime | None
    listed_filed: bool | None = None
    is_listed: bool = True
    stored_fingerprint: str | None = None
    stored_status_changed_at: datetime | None = None
    order_document_id: int | None = None
    order_fingerprint: str | None = None
    order_fetched_at: datetime | None = None
    failed_at: datetime | None = None
    attempts: int = 0
    group: str | None = None
    parts: Mapping[AnswerKind, PartState] = field(default_factory=dict)

    def part(self, kind: AnswerKind) -> PartState:
        """The state of one of its parts."""
        return self.parts.get(kind, NEVER_FETCHED)

    @property
    def is_stored(self) -> bool:
        """The warehouse has the order."""
        return self.stored_fingerprint is not None

    @property
    def failed(self) -> bool:
        """The last attempt at the order failed."""
        return self.failed_at is not None

    @property
    def loaded_document_id(self) -> int:
        """The newest document that was loaded of the order or its parts; 0 if none was."""
        return max(self.order_document_id or 0, *(part.document_id or 0 for part in self.parts.values()), 0)


@dataclass(frozen=True, slots=True)
class Fetch:
    """One order to fetch. `fetch_order`: the order itself, and not only parts of it. `force`: parts to fetch even if
    they are not due.

    `batch_number` is the batch of the run in which it is fetched, from 1; 0 if it has none yet.
    """

    order_id: str
    reason: Reason
    fetch_order: bool = True
    force: frozenset[AnswerKind] = frozenset()
    batch_number: int = 0

    def least_calls(self, parts: Collection[AnswerKind]) -> int:
        """Calls it takes at least, if the run fetches these parts; each that has changed takes one more."""
        if self.reason is Reason.OPTIONAL_PARTS:
            return len(self.force)
        if self.reason in (Reason.NEW, Reason.BACKLOG):
            return int(self.fetch_order) + len(parts)
        certain = sum(kind in self.force for kind in parts)
        return 1 + certain if self.fetch_order else max(certain, min(len(parts), 1))

    def most_calls(self, parts: Collection[AnswerKind]) -> int:
        """Calls it takes at most, if all of these parts have changed."""
        if self.reason is Reason.OPTIONAL_PARTS:
            return len(self.force)
        return int(self.fetch_order) + len(parts)


class ReportedError(TypedDict):
    """An order that failed, as the SyncResult names it, ready for JSON."""

    order_id: str
    error: str


@dataclass(frozen=True, slots=True)
class FailedOrder:
    """An order that could not be fetched, read or stored, and why; the message shows no value of the order.

    `frames` are the lines in which an unexpected error was raised. `failed_at` and `attempts`, the failures in a row,
    are set when the failure is stored in sync.order_state.
    """

    order_id: str
    error: str
    error_class: str
    frames: tuple[str, ...] = ()
    failed_at: datetime | None = None
    attempts: int = 0

    @property
    def reported(self) -> ReportedError:
        """As the result of a run names it."""
        return ReportedError(order_id=self.order_id, error=self.error)


@dataclass(frozen=True, slots=True)
class Stop:
    """What stopped a run before everything was done, and the message that its user reads."""

    reason: StopReason
    message: str


@dataclass(frozen=True)
class SyncResult:
    """What one sync did.

    Counts are orders, except `api_calls`; `duration_seconds` is wall-clock time. `errors` are the orders
    that failed. `last_synced_at` is the end of the last run that brought the warehouse up to date with the lists.
    """

    orders_created: int = 0
    orders_updated: int = 0
    orders_skipped: int = 0
    orders_deferred: int = 0
    errors: list[ReportedError] = field(default_factory=list)
    api_calls: int = 0
    last_synced_at: datetime | None = None
    duration_seconds: float = 0.0
    stop_reason: StopReason | None = None
    message: str | None = None

    @property
    def orders_processed(self) -> int:
        """Orders that are up to date now."""
        return self.orders_created + self.orders_updated + self.orders_skipped

    @property
    def exit_code(self) -> ExitCode:
        """The exit code of `bl`; if several apply, the first in `PRECEDENCE`."""
        if self.stop_reason is not None:
            return self.stop_reason.exit_code
        if self.orders_deferred:
            return ExitCode.BUDGET
        return ExitCode.SOME_FAILED if self.errors else ExitCode.DONE

    @property
    def success(self) -> bool:
        """Everything was done."""
        return self.exit_code == ExitCode.DONE

    @property
    def run_status(self) -> RunStatus:
        """How a run with this result ended."""
        return {
            ExitCode.DONE: RunStatus.SUCCEEDED,
            ExitCode.SOME_FAILED: RunStatus.COMPLETED_WITH_ERRORS,
            ExitCode.BUDGET: RunStatus.STOPPED_AT_BUDGET,
        }.get(self.exit_code, RunStatus.FAILED)

    def as_dict(self) -> dict[str, Any]:
        """The SyncResult under its public names, ready for JSON."""
        return {
            "success": self.success,
            "orders_processed": self.orders_processed,
            "orders_created": self.orders_created,
            "orders_updated": self.orders_updated,
            "orders_skipped": self.orders_skipped,
            "orders_deferred": self.orders_deferred,
            "errors": self.errors,
            "api_calls": self.api_calls,
            "last_synced_at": self.last_synced_at.isoformat() if self.last_synced_at else None,
            "duration_seconds": round(self.duration_seconds, 3),
        }
