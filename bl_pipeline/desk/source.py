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


class Source:
    """The warehouse of one store, for requests that come at the same time.

    A read-only desk takes the warehouse as it is. `opened` counts how often it was opened.
    """

    def __init__(self, settings: Settings) -> None:
        self._open = partial(read_warehouse if settings.bl_desk_read_only else open_warehouse, settings)
        self._timezone = settings.bl_timezone
        self.opened = 0
        self._lock = Lock()
        self._stack = ExitStack()
        self._warehouse: Warehouse | None = None

    def warehouse(self) -> Warehouse:
        """The open warehouse, in the time zone that pages show. Raises as `open_warehouse`, or `read_warehouse`."""
        with self._lock:
            if self._warehouse is None:
                opened = self._stack.enter_context(self._open())
                # What is stored is the time zone of the last sync, and before the first one there is none.
                self._warehouse = replace(opened, timezone=self._timezone)
                self.opened += 1
            return self._warehouse

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
        with self._lock:
            if opened in (None, self.opened):
                self._warehouse = None
                self._stack.close()
