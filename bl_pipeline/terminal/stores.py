"""`bl stores`: the stores of the installation, and how each stands. No call, nothing written."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` is quick)

from __future__ import annotations

from typing import TYPE_CHECKING

from bl_pipeline.terminal.console import print_json, show
from bl_pipeline.terminal.reading import Json

if TYPE_CHECKING:
    from bl_pipeline.sync.status import Status


def stores(as_json: Json = False) -> None:
    """The stores, and how each stands: the indicator, orders, the last sync, API calls left."""
    found = read_stores()
    if as_json:
        print_json([status.as_dict() for status in found])
    else:
        from bl_pipeline.terminal.views import stores_view

        show(stores_view(found))


def read_stores() -> list[Status]:
    """The status of each store of the settings, in their order."""
    from bl_pipeline.settings import load_stores

    settings = load_stores()
    from bl_pipeline.sync.status import read_statuses, status_of_nothing
    from bl_pipeline.warehouse.database import NothingStored, address, read_warehouse

    try:
        with read_warehouse(settings[0]) as warehouse:
            return read_statuses((one.store for one in settings), warehouse)
    except NothingStored:
        return [status_of_nothing(one.store, address(one)) for one in settings]
