"""Changes of several orders, previewed or sent one after the other in a thread: a page shows how far it is.

They are in memory only, because they have what was typed; what was sent is in the history of each order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from threading import Event, Lock, Thread
from uuid import uuid4

from bl_pipeline.warehouse.fulfilment import Row

_KEPT = 20
"""So many results can be looked at again."""
_END_TIMEOUT = 30.0  # seconds for a write to end in good order when the desk ends


class ChangeStatus(StrEnum):
    """How it stands with what is asked of one order."""

    READY = "ready"
    DONE = "done"
    AS_ASKED = "as_asked"
    """BrickLink has all of it already."""
    REFUSED = "refused"
    STOPPED = "stopped"


@dataclass(frozen=True)
class Line:
    """One request: what it changes, as (field, before, after), and what became of it."""

    request: str
    changes: list[tuple[str, str, str]]
    outcome: str = ""


@dataclass(frozen=True)
class Change:
    """What is asked of one order, as it was typed, and how it stands. `calls` is what sending it costs."""

    order: Row
    typed: Mapping[str, str]
    status: ChangeStatus
    message: str = ""
    lines: list[Line] = field(default_factory=list)
    calls: int = 0


@dataclass
class Changes:
    """What is asked of some orders, and how far it is: `done` grows order by order.

    `looked_at` is the time of the preview. `stop` says why those that follow are not tried. `used` and `settling` are
    API calls: those of the preview, and those that earlier requests need.
    """

    asked: list[tuple[Row, dict[str, str]]]
    looked_at: datetime
    is_sent: bool
    key: str = field(default_factory=lambda: uuid4().hex)
    done: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stop: str = ""
    used: int = 0
    settling: int = 0
    ended: Event = field(default_factory=Event)


class Working:
    """The changes that are worked on, and the latest that ended."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._known: dict[str, tuple[Changes, Thread]] = {}
        self.closing = Event()
        """Set when the desk ends: no further order is begun."""

    def start(self, changes: Changes, work: Callable[[Changes], None]) -> None:
        """Begin; `work` says in `changes` how far it is."""

        def run() -> None:
            try:
                work(changes)
            finally:
                changes.ended.set()

        thread = Thread(target=run, name="changes", daemon=True)
        with self._lock:
            ended = [key for key, (known, _) in self._known.items() if known.ended.is_set()]
            for key in ended[: max(len(self._known) - _KEPT + 1, 0)]:
                del self._known[key]
            self._known[changes.key] = changes, thread
        thread.start()

    def find(self, key: str) -> Changes | None:
        """The changes of this key; None if they are not known, or not any more."""
        with self._lock:
            known = self._known.get(key)
        return known[0] if known else None

    def close(self) -> None:
        """End after the order that is worked on now; if that takes too long, the next run says what became of it."""
        self.closing.set()
        with self._lock:
            threads = [thread for _, thread in self._known.values()]
        for thread in threads:
            thread.join(_END_TIMEOUT)
