"""The desk's access to the warehouse: opened once, kept, and opened anew after Postgres was gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from threading import Lock

from sqlalchemy import Connection

from bl_pipeline.settings import Settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse, read_warehouse


class _Opened:
    """A warehouse that is opened when it is asked for; `count` is how often it was."""

    def __init__(self, settings: Settings) -> None:
        self._open = partial(read_warehouse if settings.bl_desk_read_only else open_warehouse, settings)
        self.count = 0
        self._lock = Lock()
        self._stack = ExitStack()
        self._warehouse: Warehouse | None = None

    def warehouse(self) -> Warehouse:
        with self._lock:
            if self._warehouse is None:
                self._warehouse = self._stack.enter_context(self._open())
                self.count += 1
            return self._warehouse

    def close(self, count: int | None) -> None:
        with self._lock:
            if count in (None, self.count):
                self._warehouse = None
                self._stack.close()


class Source:
    """The warehouse of one store, for requests that come at the same time.

    A read-only desk takes the warehouse as it is. `other` is one of another store in the same warehouse: both use the
    same connections.
    """

    def __init__(self, settings: Settings, other: Source | None = None) -> None:
        self._opened: _Opened = other._opened if other else _Opened(settings)
        self._store = settings.bl_store
        self._timezone = settings.bl_timezone

    @property
    def opened(self) -> int:
        """How often the warehouse was opened."""
        return self._opened.count

    def warehouse(self) -> Warehouse:
        """The open warehouse, in the time zone that pages show. Raises as `open_warehouse`, or `read_warehouse`."""
        # What is stored is the time zone of the last sync, and before the first one there is none.
        return replace(self._opened.warehouse(), store=self._store, timezone=self._timezone)

    def reader(self) -> Warehouse:
        """The same, with connections in which Postgres itself refuses every change."""
        warehouse = self.warehouse()
        return replace(warehouse, engine=warehouse.engine.execution_options(postgresql_readonly=True))

    @contextmanager
    def reading(self) -> Iterator[tuple[Connection, Warehouse]]:
        """A connection of `reader`, which shows everything as it is at one moment, and the reader."""
        reader = self.reader()
        with reader.engine.connect() as connection:
            yield connection.execution_options(isolation_level="REPEATABLE READ"), reader

    def close(self, opened: int | None = None) -> None:
        """Close it; the next request opens it again. An embedded Postgres that was killed is started then.

        With `opened`, only if it was not opened anew since that count: another request has seen the same failure.
        """
        self._opened.close(opened)
