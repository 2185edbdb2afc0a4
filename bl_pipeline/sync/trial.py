"""One call that shows whether BrickLink accepts the store's credentials."""

from __future__ import annotations

from bl_pipeline.bricklink import BrickLinkClient, RetryPolicy
from bl_pipeline.settings import Store
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.ledger import CallLedger
from bl_pipeline.warehouse.usage import hash_key


def try_connection(store: Store, warehouse: Warehouse, *, asked_by: str) -> int:
    """Ask BrickLink's list of unfiled orders, once, and return how many sales it has.

    `asked_by` is noted in the ledger in place of a run. Raises SettingsError without credentials, BudgetExhausted, and
    BrickLinkError.
    """
    credentials = store.known_credentials()
    with warehouse.engine.connect() as connection:
        key = hash_key(connection, credentials.consumer_key)
    with (
        CallLedger(warehouse.engine, key=key, store=warehouse.store, run_id=asked_by, budget=store.budget) as ledger,
        BrickLinkClient(
            credentials,
            ledger,
            base_url=store.api_url,
            timeout=store.request_timeout,
            retry=RetryPolicy(max_attempts=1),
        ) as client,
    ):
        summaries, _ = client.orders(filed=False).read()
    return len(summaries)
