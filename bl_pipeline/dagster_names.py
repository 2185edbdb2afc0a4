"""What Dagster's assets, jobs, pools and so on are called: as they are with one store, with its key if there are more.

Apart from the definitions, so that whoever only looks for them does not import Dagster.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bl_pipeline.settings import Store


class Job(StrEnum):
    """The jobs of a store."""

    SYNC_ORDERS = "sync_orders"
    FULL_SYNC = "full_sync"
    REFRESH_ORDER = "refresh_order"
    RETRY_FAILED_ORDERS = "retry_failed_orders"
    REBUILD = "rebuild"
    CANCEL_FULL_SYNC = "cancel_full_sync"
    UPDATE_ORDER = "update_order"
    SEND_DRIVE_THRU = "send_drive_thru"


SYNC_JOBS = (Job.SYNC_ORDERS, Job.FULL_SYNC, Job.REFRESH_ORDER, Job.RETRY_FAILED_ORDERS)
"""Those that fetch orders."""

WRITE_JOBS = (Job.UPDATE_ORDER, Job.SEND_DRIVE_THRU)
"""Those that change an order at BrickLink."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one store's definitions; `store` is its key, and empty if it is the only one."""

    store: str = ""

    def of(self, name: str) -> str:
        """The name of a job, an op, a schedule, a pool, a resource or a group: `sync_orders_bricks_uk`.

        No name may begin with another one and an underscore: with the keys `uk` and `orders_uk` two would be the same.
        """
        return f"{name}_{self.store}" if self.store else str(name)

    def asset(self, name: str) -> list[str]:
        """The key of an asset of the sync, as its parts: `bricks_uk/orders`.

        The key comes first, so that the catalogue has a folder for each store, and `key:"bricks_uk/*"` selects it.
        """
        return [self.store, name] if self.store else [name]

    @property
    def pool(self) -> str:
        """The pool of the store's runs: one at a time, whatever those of other stores do."""
        return self.of("bricklink_api")

    @property
    def graph(self) -> str:
        """The graph of its syncs, under which the Launchpad asks how to sync."""
        return self.of("sync_sales") if self.store else "sync"

    @property
    def resource(self) -> str:
        """The resource with the store's session."""
        return self.of("sync")

    @property
    def schedule(self) -> str:
        """The schedule of its syncs."""
        return self.of("sync_orders_schedule")

    def job(self, name: str) -> str:
        """The name of a job without the store, which has a column of its own in `sync.runs`."""
        return {self.of(job): job for job in Job}.get(name, name)


def names_of(store: Store) -> Names:
    """The names of a store's definitions."""
    return Names(store.key if store.stores > 1 else "")
