"""Metrics of the stores for Prometheus, from the warehouse alone: no call is made."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from fastapi import APIRouter, Request, Response
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from bl_pipeline.desk.state import view_of
from bl_pipeline.records import RunStatus
from bl_pipeline.rules.indicator import Indicator
from bl_pipeline.settings import Store
from bl_pipeline.sync.status import Status, read_status, state_after_runs
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.runs import Run, last_runs


@dataclass(frozen=True)
class Measured:
    """What is known of one store: its status, the exit code of `bl status --check`, and the last run that has ended."""

    status: Status
    check_exit_code: int
    last_ended: Run | None


def measure(store: Store, warehouse: Warehouse, now: datetime) -> Measured:
    """Look at one store. Raises as `read_status`."""
    with warehouse.engine.connect() as connection:
        check = state_after_runs(store, connection, warehouse, now)
        # The latest one may be under way.
        ended = [run for run in last_runs(connection, warehouse, limit=2) if run.status is not RunStatus.STARTED]
    return Measured(read_status(store, warehouse, now), check.exit_code, ended[0] if ended else None)


def exposition(stores: Iterable[Measured]) -> bytes:
    """The metrics of these stores in Prometheus's text format."""
    registry = CollectorRegistry()
    registry.register(_Stores(list(stores)))
    return generate_latest(registry)


def _age(store: Measured) -> float | None:
    synced = store.status.last_synced_at
    return (store.status.now - synced).total_seconds() if synced else None


_NUMBERS: tuple[tuple[str, str, Callable[[Measured], float | None]], ...] = (
    (
        "status_check_exit_code",
        "Exit code of bl status --check: 0 if the store is in step after the runs that have ended.",
        lambda store: store.check_exit_code,
    ),
    ("last_complete_sync_age_seconds", "Time since the last complete sync ended; none if there was none.", _age),
    ("orders_stored", "Orders in the warehouse.", lambda store: store.status.orders),
    ("orders_failed", "Orders that could not be fetched or read.", lambda store: store.status.failed_orders),
    (
        "api_calls_used",
        "API calls of the last 24 hours with the API key.",
        lambda store: store.status.calls.used,
    ),
    ("api_calls_left", "API calls left in these 24 hours.", lambda store: store.status.calls.left),
    (
        "last_run_duration_seconds",
        "How long the last run took that has ended.",
        lambda store: store.last_ended.duration_seconds if store.last_ended else None,
    ),
)


class _Stores(Collector):
    def __init__(self, stores: Sequence[Measured]) -> None:
        self._stores = stores

    def collect(self) -> Iterator[Metric]:
        """Each metric with a sample of each store; without one if there is no value."""
        yield self._one_hot(
            "store_state",
            "1 at how the store stands, as bl status says it; syncing while a sync runs.",
            tuple(Indicator),
            lambda store: store.status.indicator,
        )
        yield self._one_hot(
            "last_run_state",
            "1 at how the last run ended that has ended.",
            tuple(status for status in RunStatus if status is not RunStatus.STARTED),
            lambda store: store.last_ended.status if store.last_ended else None,
        )
        for name, text, value in _NUMBERS:
            family = GaugeMetricFamily(f"bl_pipeline_{name}", text, labels=["store"])
            for store in self._stores:
                if (number := value(store)) is not None:
                    family.add_metric([store.status.store], number)
            yield family

    def _one_hot(
        self, name: str, text: str, words: Sequence[StrEnum], word_of: Callable[[Measured], StrEnum | None]
    ) -> Metric:
        family = GaugeMetricFamily(f"bl_pipeline_{name}", text, labels=["store", "state"])
        for store in self._stores:
            if (own := word_of(store)) is not None:
                for word in words:
                    family.add_metric([store.status.store, word], float(word == own))
        return family


router = APIRouter()


@router.get("/metrics")
def metrics(request: Request) -> Response:
    """How each store stands, for Prometheus; only the one of the address if it names one."""
    desks = view_of(request, None).desks
    stores = [measure(desk.settings.store, desk.source.reader(), desk.clock()) for desk in desks]
    return Response(exposition(stores), media_type=CONTENT_TYPE_LATEST)
