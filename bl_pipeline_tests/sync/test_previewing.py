"""What a write would cost, how JSON shows it, and whose order it must be."""

from __future__ import annotations

import pytest

from bl_pipeline.rules.writes import WriteKind, WriteRequest
from bl_pipeline.sandbox import SandboxServer
from bl_pipeline.settings import SettingsError
from bl_pipeline.sync.asking import WriteOrder
from bl_pipeline.sync.previewing import Preview, preview_write
from bl_pipeline.sync.writing import CALLS_TO_REFRESH
from bl_pipeline_tests.conftest import MakeSettings, OpenSession

STATUS = WriteRequest(WriteKind.STATUS, {"status": "PAID"}, {"status": "PAID"})
UPDATE = WriteRequest(WriteKind.UPDATE, {"remarks": "x"}, {"remarks": "x"})


def test_calls_are_to_read_to_write_and_to_read_again() -> None:
    assert Preview().calls == 1
    assert Preview(calls_to_settle=2, calls_to_list=3).calls == 6
    assert Preview(requests=[STATUS]).calls == 2 + CALLS_TO_REFRESH
    assert Preview(requests=[STATUS, UPDATE], calls_to_settle=2).calls == 5 + CALLS_TO_REFRESH


def test_json_shows_what_would_be_written() -> None:
    shown = Preview(requests=[STATUS], before=[{"status": "READY"}], already=["remarks"]).as_dict()
    assert shown["requests"] == [
        {"request": "status", "asked": {"status": "PAID"}, "before": {"status": "READY"}, "calls": 1}
    ]
    assert (shown["already"], shown["calls"], shown["success"]) == (["remarks"], 2 + CALLS_TO_REFRESH, True)


def test_under_another_name_of_the_store_nothing_is_asked(
    order_id: int, server: SandboxServer, open_test_session: OpenSession, make_settings: MakeSettings
) -> None:
    """Planted: no look at whose the order is."""
    server.clear_requests()
    session = open_test_session(make_settings(bl_store="shop"))
    with pytest.raises(SettingsError, match="rename-store main shop"):
        preview_write(session, WriteOrder(str(order_id), {"status": "PACKED"}), run_id="a preview")
    assert server.requests == []
