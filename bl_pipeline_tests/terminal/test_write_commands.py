"""`bl update` and `bl drive-thru`: what they send, what they say, and their exit codes."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from bl_pipeline.bricklink import OrderStatus, PaymentStatus
from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.settings import load_settings
from bl_pipeline.sync.session import open_session
from bl_pipeline_tests.terminal.conftest import FIELDS, Bl, expect, json_of


@pytest.fixture
def order_id(bl: Bl, store: Store, server: SandboxServer) -> str:
    """A new order that is not paid; the warehouse does not know it yet."""
    order_id = store.place_order()
    server.clear_requests()
    return str(order_id)


def sent(server: SandboxServer) -> list[str]:
    return [request.path.split("/")[-1] for request in server.requests if request.method != "GET"]


def select(statement: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        return connection.execute(statement).fetchall()


@pytest.fixture
def taken(bl: Bl) -> Iterator[None]:
    """A sync of the store is running."""
    with open_session(load_settings()) as session:
        assert session.lock.try_acquire()
        yield


EVERY_OPTION = [
    "--status", "shipped", "--payment-status", "received", "--tracking-no", "TR1", "--tracking-link",
    "https://post.example/TR1", "--date-shipped", "2026-06-15T10:00Z", "--method-id", "9", "--shipping", "4.75",
    "--insurance", "1", "--credit", "0.5", "--etc1", "0.25", "--etc2", "0.1", "--remarks", "between us", "--filed",
]  # fmt: skip


def test_every_option_arrives(order_id: str, bl: Bl, store: Store, server: SandboxServer) -> None:
    """Planted: an option left out of what is sent."""
    result = json_of(expect(bl("update", f"BL-{order_id}", *EVERY_OPTION, "--json"), 0))
    assert list(result) == [*FIELDS, "already", "writes"]
    assert (result["success"], result["already"]) == (True, [])
    assert [(write["request"], write["outcome"]) for write in result["writes"]] == [
        ("update", "done"), ("payment_status", "done"), ("status", "done"), ("update", "done"),
    ]  # fmt: skip
    assert result["writes"][1]["before"] == {"payment_status": "None"}
    now = store.order(int(order_id))
    shipping, costs = now.shipping, now.costs
    assert (now.status, now.payment.status, now.is_filed, now.remarks) == ("SHIPPED", "Received", True, "between us")
    assert (shipping.tracking_no, shipping.tracking_link) == ("TR1", "https://post.example/TR1")
    assert (shipping.method_id, f"{shipping.date_shipped:%Y-%m-%d %H:%M}") == (9, "2026-06-15 10:00")
    assert (costs.shipping, costs.insurance, costs.credit, costs.etc1, costs.etc2) == tuple(
        map(Decimal, ("4.75", "1", "0.5", "0.25", "0.1"))
    )
    history = json_of(expect(bl("order", order_id, "--json"), 0))["status_history"]
    assert [state["is_ours"] for state in history] == [False, *[True] * (len(history) - 1)]
    assert expect(bl("order", order_id), 0).stdout.count("bl update") == len(history) - 1 > 0
    again = expect(bl("update", order_id, *EVERY_OPTION), 0)
    assert "Already as asked: status, payment status, tracking no" in again.stdout
    assert len(sent(server)) == 4
    # What the seller wrote is in the tables of the warehouse, and in what was asked for; nowhere else.
    assert "between us" not in again.stdout + again.stderr
    assert select("SELECT count(*) FROM dagster.event_logs WHERE event LIKE '%between us%'") == [(0,)]


def test_a_dry_run_shows_each_request_and_its_cost(order_id: str, bl: Bl, server: SandboxServer) -> None:
    shown = expect(bl("update", order_id, *EVERY_OPTION, "--dry-run"), 0).stdout
    assert f"  3. PUT /orders/{order_id}/status: 1 call\n     status: PENDING -> SHIPPED\n" in shown
    for line in (
        "tracking no: (none) -> TR1",
        "shipping: 14.83 -> 4.75",
        "remarks: (none) -> between us",
        "is filed: no -> yes",
    ):
        assert f"     {line}\n" in shown, shown
    assert "8 API calls in all: 2 to find the order, 1 to read it, 4 to write, 1 to read it again. Nothing" in shown
    result = json_of(expect(bl("drive-thru", order_id, "--dry-run", "--json"), 0))
    assert list(result) == [*FIELDS, "already", "requests", "calls"]
    assert (result["requests"], result["calls"], result["api_calls"]) == (
        [{"request": "drive_thru", "asked": {"drive_thru": True}, "before": {"drive_thru": False}, "calls": 1}], 5, 1,
    )  # fmt: skip
    assert (sent(server), select("SELECT * FROM sync.writes")) == ([], [])
    refused = expect(bl("update", "99", "--filed", "--dry-run"), 3).stdout
    assert refused.startswith("Nothing would be sent: order BL-99\n")
    assert "in all" not in refused
    # It costs what was said, and less once the order is known.
    assert json_of(expect(bl("update", order_id, *EVERY_OPTION, "--json"), 0))["api_calls"] == 8
    assert json_of(expect(bl("drive-thru", order_id, "--dry-run", "--json"), 0))["calls"] == 3


def test_a_drive_thru_is_sent_once(order_id: str, bl: Bl, store: Store, server: SandboxServer) -> None:
    assert "POST" in expect(bl("drive-thru", order_id, "--mail-me"), 0).stdout
    again = expect(bl("drive-thru", order_id), 0).stdout
    assert again.startswith("Nothing was sent: ")
    assert "The drive thru was sent already. It is never sent a second time." in again
    assert store.drive_thrus(int(order_id)) == 1
    assert [request.query for request in server.requests if request.method == "POST"] == ["mail_me=true"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to change"),
        (["--status", "CANCELLED"], "SHIPPED"),
        (["--payment-status", "Sent"], "Received"),
        (["--shipping", "a lot"], "no amount"),
        (["--shipping", "-1"], "shipping"),
        (["--shipping", "1e3"], "no amount"),
        (["--credit", "1_0"], "no amount"),
        (["--etc1", "-0"], "no amount"),
        (["--date-shipped", "soon"], "'soon' is no day. Write it as 2026-03-14 or 2026-03-14T09:30Z."),
        (["--date-shipped", "2026-11"], "'2026-11' is no day"),
        (["--method-id", "99999999999"], "method_id"),
        (["--date-shipped", "0001-01-01"], "no time of an order"),
        (["--date-shipped", "2999-01-01"], "from 1995"),
        (["--remarks", "caf\udce9"], "no text"),
        (["--remarks", "x", "--if-unchanged-since", "2999-01-01"], "in the future"),
    ],
)
def test_wrong_usage_costs_no_call(
    arguments: list[str], message: str, order_id: str, bl: Bl, server: SandboxServer
) -> None:
    result = expect(bl("update", order_id, *arguments, "--json", BL_TIMEZONE="Asia/Tokyo"), 2)
    assert message in result.stderr
    assert result.stderr.endswith("Nothing was sent.\n")
    assert json.loads(result.stdout)["success"] is False
    assert server.requests == []


@pytest.mark.slow
def test_exit_codes(order_id: str, bl: Bl, store: Store, server: SandboxServer) -> None:
    """3 refused for this order, 4 budget, 5 credentials, 6 not reachable."""
    store.pay(int(order_id))
    refused = json_of(expect(bl("update", order_id, "--shipping", "9", "--json"), 3))
    assert (refused["success"], refused["errors"][0]["order_id"]) == (False, order_id)
    shown = expect(bl("update", order_id, "--shipping", "9"), 3).stdout
    assert shown.startswith(f"Nothing was sent: order BL-{order_id}\n")
    assert "paid" in shown
    assert (
        "so nothing was written"
        in expect(bl("update", order_id, "--filed", BL_DAILY_CALL_LIMIT="6", BL_CALL_RESERVE="0"), 4).stderr
    )
    server.faults.next("unauthorized")
    assert json_of(expect(bl("update", order_id, "--filed", "--json"), 5))["success"] is False
    expect(bl("update", order_id, "--filed", BRICKLINK_API_URL="http://127.0.0.1:1/"), 6)
    for limit in ("0", "2"):  # none for the lists, and none for the order
        stopped = expect(bl("drive-thru", str(store.place_order()), BL_DAILY_CALL_LIMIT=limit, BL_CALL_RESERVE="0"), 4)
        assert "It could not be read first, so nothing was written." in stopped.stdout
    dry = expect(bl("update", order_id, "--filed", "--dry-run", BL_DAILY_CALL_LIMIT="0", BL_CALL_RESERVE="0"), 4)
    assert "Nothing was written; this has used 0 API calls." in dry.stdout
    assert "It could not be read, so it is not known what would be sent." in dry.stdout
    assert sent(server) == []


def test_while_a_sync_is_running(order_id: str, bl: Bl, server: SandboxServer, taken: None) -> None:
    """As a second sync does. Planted: the lock not asked for."""
    running = "A sync or another command of this store is running, so nothing was written"
    assert running in expect(bl("update", order_id, "--filed"), 1).stderr
    assert running in expect(bl("drive-thru", order_id), 1).stderr
    assert server.requests == []


def test_the_help_names_the_statuses_that_can_be_set(bl: Bl) -> None:
    shown = " ".join(expect(bl("update", "--help"), 0).stdout.split())
    assert f"The status: {', '.join(OrderStatus)}." == shown_list(shown, "The status")
    assert f"The payment's status: {', '.join(PaymentStatus)}." == shown_list(shown, "The payment's status")


def shown_list(text: str, name: str) -> str:
    """What the help says of an option, with a comma in place of its last `or`."""
    return f"{name}: {text.partition(f'{name}: ')[2].partition('.')[0].replace(' or ', ', ')}."
