"""One call shows whether BrickLink accepts the credentials, and how many sales are not filed."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from bl_pipeline.bricklink import BrickLinkError
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.settings import Settings
from bl_pipeline.sync.trial import try_connection
from bl_pipeline.warehouse.database import Warehouse


def test_it_makes_one_call_which_the_ledger_knows(
    settings: Settings, warehouse: Warehouse, server: SandboxServer, store: Store
) -> None:
    """Planted: the call repeated after a fault; counted for nobody; the filed orders counted, too."""
    unfiled = sum(not order.is_filed for order in store.sales.values())
    assert try_connection(settings.store, warehouse, asked_by="doctor") == unfiled
    server.faults.on("/orders", Fault.HTTP500)
    with pytest.raises(BrickLinkError):
        try_connection(settings.store, warehouse, asked_by="doctor")
    assert [request.path for request in server.requests] == ["/orders"] * 2
    with warehouse.engine.connect() as connection:
        noted = connection.execute(text("SELECT run_id, outcome FROM sync.api_calls ORDER BY call_id")).all()
    assert [row.run_id for row in noted] == ["doctor"] * 2
    assert [row.outcome == "ok" for row in noted] == [True, False]
