"""Messages and feedback reach the warehouse exactly, if the settings ask for them, and cost nothing else a call."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from sqlalchemy import text

from bl_pipeline.columns import AnswerKind
from bl_pipeline.sandbox import Fault, SandboxServer, Store
from bl_pipeline.settings import SettingsError
from bl_pipeline.sync.rebuild import rebuild
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import Clock, MakeSettings, Sync
from bl_pipeline_tests.support.sales_rows import as_json, dump, plain
from bl_pipeline_tests.support.sessions import session_at

ALWAYS: dict[str, Any] = {
    "bl_messages": "all", "bl_feedback": "all", "bl_messages_days": 36500, "bl_feedback_days": 36500,
}  # fmt: skip
TABLES = ("sales.orders", "sales.order_items", "sales.order_messages", "sales.order_feedback")


def stored(warehouse: Warehouse, table: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of a table by order, in their order, without what all of an order share."""
    rows: dict[str, list[dict[str, Any]]] = {}
    with warehouse.engine.connect() as connection:
        query = text(f"SELECT * FROM sales.{table} ORDER BY platform_order_id, line_number")
        for row in connection.execute(query).mappings():
            values = dict(row)
            assert (values.pop("store"), values.pop("platform"), values.pop("unreadable_fields")) == (
                "main", "bricklink", None,
            )  # fmt: skip
            rows.setdefault(values.pop("platform_order_id"), []).append(values)
    return rows


def in_the_store(store: Store) -> tuple[dict[str, list[dict[str, Any]]], dict[str, list[dict[str, Any]]]]:
    """The rows there must be, of the orders that are not purged, computed from the store itself."""
    messages, feedback = {}, {}
    for order in store.sales.values():
        if order.is_purged:
            continue
        messages[str(order.order_id)] = [
            {
                "line_number": number, "sent_at": message.date_sent, "sender": message.sender,
                "recipient": message.recipient, "subject": plain(message.subject), "body": plain(message.body),
            }
            for number, message in enumerate(store.conversations.messages(order), start=1)
        ]  # fmt: skip
        feedback[str(order.order_id)] = [
            {
                "line_number": number, "feedback_id": each.feedback_id, "rated_at": each.date_rated,
                "rating": each.rating, "rating_of": each.rating_of_bs, "sender": each.sender,
                "recipient": each.recipient, "comment": plain(each.comment), "reply": plain(each.reply),
            }
            for number, each in enumerate(store.conversations.feedback(order), start=1)
        ]  # fmt: skip
    return {key: rows for key, rows in messages.items() if rows}, {key: rows for key, rows in feedback.items() if rows}


def conversation_calls(server: SandboxServer) -> int:
    """How many questions there were since the last look."""
    calls = sum(request.path.endswith(("/messages", "/feedback")) for request in server.requests)
    server.clear_requests()
    return calls


def test_without_a_setting_there_is_no_call(synced: Sync, server: SandboxServer, warehouse: Warehouse) -> None:
    assert conversation_calls(server) == 0
    synced.clock.advance(days=2)
    assert synced().api_calls > 2
    assert conversation_calls(server) == 0


def test_all_of_it_is_stored_as_it_is_and_survives_a_rebuild(
    synced: Sync, server: SandboxServer, store: Store, warehouse: Warehouse, make_settings: MakeSettings, clock: Clock
) -> None:
    """Two calls an order, once; the next sync has none. Planted: a table left out of the rebuild."""
    settings = make_settings(**ALWAYS)
    asked = sum(not order.is_purged for order in store.sales.values())

    result = synced(settings=settings)

    assert (result.errors, result.api_calls, conversation_calls(server)) == ([], 2 + 2 * asked, 2 * asked)
    messages, feedback = in_the_store(store)
    assert (stored(warehouse, "order_messages"), stored(warehouse, "order_feedback")) == (messages, feedback)
    assert len(messages) > 3
    assert len(feedback) > 3
    assert synced(settings=settings).api_calls == 2

    before = as_json(dump(warehouse, *TABLES))
    with session_at(settings, clock) as session:
        session.take_lock(lambda: None)
        assert not rebuild(session).undone
    assert as_json(dump(warehouse, *TABLES)) == before
    assert synced(settings=settings).api_calls == 2


def test_what_is_new_is_found_when_it_is_due_and_replaces_nothing_else(
    synced: Sync, server: SandboxServer, store: Store, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(**ALWAYS, bl_rechecks_per_day=0)
    synced(settings=settings)
    order_id = max(order.order_id for order in store.sales.values() if not order.is_purged)
    store.write_message(order_id, "Is it there &amp; well?", "Hello")
    store.rate(order_id, 2, "Late")
    before = dump(warehouse, "sales.orders", "sales.order_items")
    conversation_calls(server)

    synced.clock.advance(days=100)
    synced(settings=settings)

    assert conversation_calls(server) >= 2
    messages, feedback = in_the_store(store)
    assert stored(warehouse, "order_messages")[str(order_id)] == messages[str(order_id)]
    assert stored(warehouse, "order_feedback")[str(order_id)] == feedback[str(order_id)]
    assert as_json(dump(warehouse, "sales.orders", "sales.order_items")) == as_json(before)


def test_an_order_requested_by_its_id_can_have_them_too(
    synced: Sync, server: SandboxServer, store: Store, warehouse: Warehouse
) -> None:
    order = next(order for order in store.sales.values() if store.conversations.messages(order))
    result = synced(
        "refresh_order", order_ids=[str(order.order_id)], include_items=False, also=frozenset({AnswerKind.MESSAGES})
    )
    assert (result.errors, result.api_calls) == ([], 2)
    assert set(stored(warehouse, "order_messages")) == {str(order.order_id)}


def test_what_was_stored_before_the_purge_stays(
    synced: Sync, server: SandboxServer, store: Store, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    settings = make_settings(**ALWAYS)
    synced(settings=settings)
    order = next(
        order for order in store.sales.values() if order.status == "COMPLETED" and store.conversations.feedback(order)
    )
    kept = stored(warehouse, "order_feedback")[str(order.order_id)]
    store.purge(order.order_id)
    conversation_calls(server)

    synced.clock.advance(days=100)
    synced(settings=settings)

    assert not [request for request in server.requests if f"/{order.order_id}/feedback" in request.path]
    assert stored(warehouse, "order_feedback")[str(order.order_id)] == kept


def test_a_refusal_costs_the_order_nothing_and_is_not_repeated_at_once(
    synced: Sync, server: SandboxServer, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """Planted: a refusal taken for a failure of the order, which would be fetched again by every sync."""
    settings = make_settings(**ALWAYS)
    server.faults.on("/messages$", Fault.FORBIDDEN)

    first, second = synced(settings=settings), synced(settings=settings)

    assert (first.exit_code, first.errors, second.api_calls) == (0, [], 2)
    assert stored(warehouse, "order_messages") == {}
    assert stored(warehouse, "order_feedback") != {}


def test_an_answer_that_is_cut_is_no_refusal_and_is_asked_for_again(
    synced: Sync, server: SandboxServer, store: Store, warehouse: Warehouse, make_settings: MakeSettings
) -> None:
    """Planted: whatever goes wrong with a part that is optional taken for a refusal."""
    settings = make_settings(**ALWAYS)
    order_id = next(order_id for order_id, messages in in_the_store(store)[0].items() if messages)
    server.faults.on(f"/{order_id}/messages$", Fault.CUT)
    assert [error["order_id"] for error in synced(settings=settings).errors] == [order_id]
    assert order_id not in stored(warehouse, "order_messages")
    server.faults.clear()
    # The first one fetches the order that has failed, the second one what is optional of it.
    assert all(synced(settings=settings).success for _ in range(2))
    assert order_id in stored(warehouse, "order_messages")


def test_the_budget_is_kept_and_changes_come_first(
    synced: Sync, server: SandboxServer, store: Store, make_settings: MakeSettings
) -> None:
    """Planted: messages planned with calls that the changes need."""
    new = store.place_order()
    used = len(server.requests)
    # One request at a time, so that their order is that of the plan.
    settings = make_settings(**ALWAYS, bl_daily_call_limit=used + 2 + 8, bl_call_reserve=0, bl_max_parallel_requests=1)

    result = synced(settings=settings)

    assert (result.errors, result.orders_created, result.orders_deferred) == ([], 1, 0)
    calls = server.requests[used:]
    first = next(number for number, request in enumerate(calls) if request.path.endswith(("/messages", "/feedback")))
    assert f"/orders/{new}" in [request.path for request in calls[:first]]
    assert len(calls) <= 2 + 8


def test_nobody_s_words_are_in_a_log(
    synced: Sync, store: Store, make_settings: MakeSettings, caplog: pytest.LogCaptureFixture
) -> None:
    for order in store.sales.values():
        store.write_message(order.order_id, "XYZZY", "XYZZY")
        store.rate(order.order_id, 1, "XYZZY")
    caplog.set_level(logging.DEBUG)
    assert synced(settings=make_settings(**ALWAYS)).errors == []
    assert "XYZZY" not in caplog.text


@pytest.mark.parametrize(("value", "ok"), [("all", True), ("Pending shipped", True), ("paid", False), ("all x", False)])
def test_the_setting_is_checked(make_settings: MakeSettings, value: str, ok: bool) -> None:
    if ok:
        assert make_settings(bl_messages=value).store.optional_parts
    else:
        with pytest.raises(SettingsError, match=r"BL_MESSAGES.*pending, processing"):
            make_settings(bl_messages=value)
