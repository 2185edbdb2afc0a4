"""The desk's access to the warehouse: opened once, kept, and opened anew after Postgres was gone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock

from sqlalchemy import Connection

from bl_pipeline.settings import Settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse


class Source:
    """The warehouse of one store, for requests that come at the same time."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = Lock()
        self._opened = ExitStack()
        self._warehouse: Warehouse | None = None

    def warehouse(self) -> Warehouse:
        """The open warehouse. Raises as `open_warehouse`."""
        with self._lock:
            if self._warehouse is None:
                self._warehouse = self._opened.enter_context(open_warehouse(self._settings))
            return self._warehouse

    @contextmanager
    def reading(self) -> Iterator[tuple[Connection, Warehouse]]:
        """A connection in which Postgres itself refuses every change."""
        warehouse = self.warehouse()
        with warehouse.engine.connect().execution_options(postgresql_readonly=True) as connection:
            yield connection, warehouse

    def close(self) -> None:
        """Close it; the next request opens it again. An embedded Postgres that was killed is started then."""
        with self._lock:
            self._warehouse = None
            self._opened.close()
