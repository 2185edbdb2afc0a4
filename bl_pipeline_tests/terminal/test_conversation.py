"""`bl messages` and `bl feedback`: what is stored, what there is to do if nothing is, and --fetch."""

from __future__ import annotations

import pytest

from bl_pipeline.sandbox import Fault, SandboxOrder, SandboxServer, Store
from bl_pipeline_tests.terminal.conftest import Bl, expect, json_of

pytestmark = pytest.mark.slow


@pytest.fixture
def order(store: Store) -> SandboxOrder:
    """An order with messages and feedback of every kind."""
    found = next(order for order in store.sales.values() if order.status == "COMPLETED")
    store.write_message(found.order_id, "Where\nis \x1b[31mit&#63;", "Question &amp; answer")
    store.write_message(found.order_id, "No subject here")
    store.rate(found.order_id, 2, "Late, but &quot;nice&quot;")
    return found


def test_what_was_never_asked_for_says_how_to_ask(synced_bl: Bl, order: SandboxOrder) -> None:
    for kind in ("messages", "feedback"):
        said = expect(synced_bl(kind, str(order.order_id)), 0).stdout
        assert (
            said.split()
            == (
                f"Nobody has asked BrickLink for the {kind} of order {order.order_id}. "
                f"Ask with: bl {kind} {order.order_id} --fetch"
            ).split()
        )
        assert json_of(synced_bl(kind, str(order.order_id), "--json")) == {
            "platform_order_id": str(order.order_id), "fetched_at": None, kind: [],
        }  # fmt: skip


def test_messages_are_fetched_and_shown_in_full(
    synced_bl: Bl, order: SandboxOrder, store: Store, server: SandboxServer
) -> None:
    """Two calls. Planted: a control character that reaches the terminal; the items fetched too."""
    shown = expect(synced_bl("messages", f"BL-{order.order_id}", "--fetch"), 0).stdout

    assert [request.path for request in server.requests] == [
        f"/orders/{order.order_id}", f"/orders/{order.order_id}/messages",
    ]  # fmt: skip
    messages = store.conversations.messages(order)
    assert f"{messages[-2].sender} to {messages[-2].recipient}, Question & answer\n  Where\n  is  [31mit?\n" in shown
    assert shown.endswith("no subject\n  No subject here\n")
    assert shown.count(" to ") >= len(messages)
    values = json_of(expect(synced_bl("messages", str(order.order_id), "--json"), 0))
    assert [row["body"] for row in values["messages"]][-2:] == ["Where\nis \x1b[31mit?", "No subject here"]
    assert values["fetched_at"].endswith("+00:00")
    assert values["messages"][-1]["sent_at"] == messages[-1].date_sent.isoformat()


def test_feedback_says_who_rated_whom_and_how(synced_bl: Bl, order: SandboxOrder, store: Store) -> None:
    shown = expect(synced_bl("feedback", str(order.order_id), "--fetch"), 0).stdout

    rated = store.conversations.feedback(order)[-1]
    assert f'{rated.sender} to {rated.recipient}, complaint of the seller\n  Late, but "nice"\n' in shown
    values = json_of(expect(synced_bl("feedback", str(order.order_id), "--json"), 0))
    assert (values["feedback"][-1]["rating"], values["feedback"][-1]["rating_of"]) == (2, "S")
    report = expect(synced_bl("report", "feedback_by_month"), 0).stdout
    assert "complaint" in report


def test_an_order_without_messages_says_when_that_was(synced_bl: Bl, store: Store) -> None:
    silent = next(order.order_id for order in store.sales.values() if not store.conversations.messages(order))
    shown = expect(synced_bl("messages", str(silent), "--fetch"), 0).stdout
    assert shown.startswith(f"Order {silent} had no messages when BrickLink was asked: 20")


@pytest.mark.parametrize("arguments", [(), ("--json",)])
def test_an_order_that_is_not_there(synced_bl: Bl, arguments: tuple[str, ...]) -> None:
    result = expect(synced_bl("messages", "77", *arguments), 1)
    assert (result.stdout, "no order 77" in result.stderr) == ("", True)


def test_a_refusal_is_reported_with_the_exit_code_of_the_run(
    synced_bl: Bl, order: SandboxOrder, server: SandboxServer
) -> None:
    server.faults.on("/messages$", Fault.FORBIDDEN)
    refused = expect(synced_bl("messages", str(order.order_id), "--fetch"), 3)
    assert "BrickLink does not let this store see the order" in refused.stderr
    server.faults.clear()
    server.faults.on("", Fault.UNAUTHORIZED)
    assert "refused the credentials" in expect(synced_bl("messages", str(order.order_id), "--fetch"), 5).stderr
