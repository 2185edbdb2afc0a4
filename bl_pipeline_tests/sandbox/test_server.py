import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
import requests

from bl_pipeline.sandbox import Fault, RecordedRequest, SandboxServer, Store
from bl_pipeline_tests.sandbox.conftest import NOW, Serve, SignedSession
from bl_pipeline_tests.support.waiting import wait_until


def asked(server: SandboxServer, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    answer = requests.request(method, f"{server.root}/sandbox/{path}", json=body, timeout=120)
    return answer.status_code, answer.json()


def test_requests_are_recorded(serve: Serve, signed: SignedSession, store: Store) -> None:
    server = serve()
    order_id = min(store.sales)
    signed(server).get(f"{server.url}/orders/{order_id}?x=1")
    (request,) = server.requests
    assert abs(datetime.now(UTC) - request.received) < timedelta(minutes=1)
    assert request.timestamp is not None
    assert abs(int(request.timestamp) - request.received.timestamp()) < 60
    assert request.nonce
    assert request.signature
    assert request == RecordedRequest(
        request.received,
        "GET",
        f"/orders/{order_id}",
        "x=1",
        request.nonce,
        request.timestamp,
        request.signature,
        refusal=None,
        fault=None,
        order_ids=(order_id,),
        code=200,
    )
    server.clear_requests()
    assert (server.requests, server.max_in_flight) == ([], 0)


def test_requests_are_answered_side_by_side(serve: Serve, signed: SignedSession) -> None:
    # Long enough for all five to arrive meanwhile, on a busy machine too.
    server = serve(latency=1)
    path = f"{server.url}/orders/{min(server.store.sales)}"
    begun = time.monotonic()
    with ThreadPoolExecutor(5) as pool:
        codes = list(pool.map(lambda _: signed(server).get(path).json()["meta"]["code"], range(5)))
    assert codes == [200] * 5
    assert time.monotonic() - begun >= 1
    assert server.max_in_flight == 5


def test_one_client_after_the_other_is_one_in_flight(serve: Serve, signed: SignedSession) -> None:
    server = serve()
    for _ in range(10):
        signed(server).get(f"{server.url}/orders/1")
    assert server.max_in_flight == 1


def test_a_client_that_left_is_not_in_flight(serve: Serve, signed: SignedSession) -> None:
    server = serve()
    server.faults.next("timeout")
    session = signed(server)
    with pytest.raises(requests.ReadTimeout):
        session.get(f"{server.url}/orders/1", timeout=0.1)
    session.close()

    def alone() -> bool:
        server.clear_requests()
        signed(server).get(f"{server.url}/orders/1")
        return server.max_in_flight == 1

    wait_until(alone)


def test_an_order_can_change_between_two_requests(serve: Serve, signed: SignedSession, store: Store) -> None:
    order_id = next(order.order_id for order in store.sales.values() if not order.is_filed)

    def file_it(request: RecordedRequest) -> None:
        if request.query == "filed=true":
            store.file(order_id)

    server = serve(on_request=file_it)
    session = signed(server)
    lists = [session.get(f"{server.url}/orders?filed={filed}").json()["data"] for filed in ("false", "true")]
    assert all(order_id in {row["order_id"] for row in rows} for rows in lists)


def test_stopping_does_not_wait_for_idle_connections(store: Store, signed: SignedSession) -> None:
    threads = threading.active_count()
    with SandboxServer(store) as server:
        signed(server).get(f"{server.url}/orders/1")
        silent = socket.create_connection(("127.0.0.1", server.port))
        silent.sendall(b"GET /sandbox/nothing HTTP/1.1\r\nHost: x\r\n\r\n")
        assert silent.recv(5) == b"HTTP/"
    # Else this line is not reached: the other end of the connection is kept open.
    with silent, silent.makefile("rb") as answer:
        assert answer.read().endswith(b"}")
    assert threading.active_count() == threads


def test_a_port_in_use_is_said_to_be(serve: Serve, store: Store) -> None:
    with pytest.raises(OSError, match="in use"), SandboxServer(store, port=serve().port):
        pass


def test_a_server_has_an_address_only_while_it_serves(store: Store) -> None:
    with pytest.raises(RuntimeError):
        _ = SandboxServer(store).url


def test_a_client_finds_its_settings(serve: Serve) -> None:
    server = serve()
    assert server.environment() == {
        "BRICKLINK_API_URL": f"http://127.0.0.1:{server.port}/api/store/v1",
        "BRICKLINK_CONSUMER_KEY": server.credentials.consumer_key,
        "BRICKLINK_CONSUMER_SECRET": server.credentials.consumer_secret,
        "BRICKLINK_TOKEN_VALUE": server.credentials.token_value,
        "BRICKLINK_TOKEN_SECRET": server.credentials.token_secret,
    }


def test_the_life_of_an_order_over_http(serve: Serve, store: Store) -> None:
    server = serve()
    status, answered = asked(server, "POST", "orders", {})
    order = f"orders/{answered['order_id']}"
    assert (status, answered) == (200, {"order_id": max(store.sales)})
    steps: list[tuple[str, dict[str, str], str]] = [
        ("edit_costs", {"shipping": "7.25"}, "PENDING"),
        ("edit_remarks", {"remarks": "hello"}, "PENDING"),
        ("add_batch", {}, "UPDATED"),
        ("remove_last_item", {}, "UPDATED"),
        ("set_payment_status", {"status": "Sent"}, "UPDATED"),
        ("pay", {}, "PAID"),
        ("pack", {}, "PACKED"),
        ("ship", {"tracking_no": "T1"}, "SHIPPED"),
        ("edit_tracking", {"tracking_no": "T2"}, "SHIPPED"),
        ("receive", {}, "RECEIVED"),
        ("complete", {}, "COMPLETED"),
        ("set_status", {"status": "STRANGE"}, "STRANGE"),
        ("cancel", {}, "CANCELLED"),
        ("file", {}, "CANCELLED"),
        ("unfile", {}, "CANCELLED"),
        ("purge", {}, "PURGED"),
    ]
    for action, body, expected in steps:
        status, answered = asked(server, "POST", f"{order}/{action}", body)
        assert (action, status, answered["order"]["status"]) == (action, 200, expected)
    assert asked(server, "GET", order) == (200, answered)
    kept = store.order(answered["order"]["order_id"])
    assert (kept.costs.shipping, kept.remarks) == (Decimal("7.25"), "hello")
    assert kept.shipping.tracking_no == "T2"
    assert sum(map(len, answered["items"])) == len(kept.lots) > 0
    assert server.requests == []


def test_the_store_moves_on_over_http(serve: Serve, store: Store) -> None:
    server = serve()
    status, answered = asked(server, "POST", "live", {"new": 2, "changed": 3, "seed": 1})
    assert (status, len(answered["changes"]), len(store.sales)) == (200, 5, 32)
    before = store.now
    _, answered = asked(server, "POST", "advance", {"seconds": 90})
    assert datetime.fromisoformat(answered["now"]) == store.now == before + timedelta(seconds=90)


def test_a_summary_of_the_store_over_http(serve: Serve) -> None:
    store = Store.grow(3, seed=1, now=NOW, filed=1, purged=1, purchases=2)
    for order_id in store.sales:
        if not store.order(order_id).is_purged:
            store.set_status(order_id, "PAID")
    assert asked(serve(store), "GET", "store") == (
        200,
        {
            "now": store.now.isoformat(),
            "sales": 3,
            "filed": 1,
            "purged": 1,
            "purchases": 2,
            "statuses": {"PAID": 2, "PURGED": 1},
            "order_ids": sorted(store.sales),
        },
    )


def test_faults_and_latency_over_http(serve: Serve) -> None:
    server = serve()
    asked(server, "POST", "faults", {"kind": "reset", "path": "/orders/7$", "times": 1})
    asked(server, "POST", "faults", {"kind": "empty"})
    taken = [server.faults.take(path, "") for path in ("/orders/7", "/orders/7", "/orders/7")]
    assert taken == [Fault.RESET, Fault.EMPTY, None]
    asked(server, "POST", "faults", {"rate": 1, "kinds": ["cut"], "seed": 3})
    assert server.faults.take("/orders", "") is Fault.CUT
    asked(server, "POST", "faults/clear")
    assert server.faults.take("/orders", "") is None
    assert asked(server, "POST", "latency", {"seconds": 0.5}) == (200, {"latency": 0.5})
    assert server.latency == 0.5


def test_a_summary_of_the_requests_over_http(serve: Serve, signed: SignedSession) -> None:
    server = serve()
    session = signed(server)
    order = f"/orders/{max(server.store.sales)}"
    for path in ("/orders", "/orders?filed=true", order, f"{order}/items"):
        session.get(server.url + path)
    signed(server, token_secret="wrong").get(server.url + order)
    server.faults.next("html503")
    session.get(server.url + order)
    assert asked(server, "GET", "requests") == (
        200,
        {
            "total": 6,
            "lists": 2,
            "details": 3,
            "items": 1,
            "refused": 1,
            "faults": {"html503": 1},
            "codes": {"200": 4, "401": 1},
            "max_in_flight": 1,
        },
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "nothing", None, 404),
        ("POST", "orders/1/pay", {}, 404),
        ("POST", "orders/1/explode", {}, 404),
        ("POST", "orders/x/pay", {}, 400),
        ("POST", "orders", {"lots": 3}, 400),
        ("POST", "orders", [], 400),
        ("POST", "advance", {}, 400),
        ("POST", "faults", {"kind": "flood"}, 400),
        ("POST", "live", {"changed": 1000}, 409),
    ],
)
def test_what_cannot_be_done_is_said(serve: Serve, method: str, path: str, body: object, status: int) -> None:
    answered, refused = asked(serve(), method, path, body)
    assert (answered, set(refused)) == (status, {"error"})


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "no-cors"},
        {"Host": "evil.example"},
    ],
)
def test_no_web_page_moves_the_store(serve: Serve, headers: dict[str, str]) -> None:
    """What a page of another site can send: its body is text, and no question is asked before."""
    server = serve()
    before = len(server.store.sales)
    for path in ("live", "latency"):
        answer = requests.post(
            f"{server.root}/sandbox/{path}",
            data='{"new": 3}' if path == "live" else '{"seconds": 30}',
            headers={"Content-Type": "text/plain", **headers},
            timeout=5,
        )
        assert answer.status_code == 403
        assert answer.json().keys() == {"error"}
    assert (len(server.store.sales), server.latency) == (before, 0.0)
    assert requests.get(f"{server.url}/orders", headers=headers, timeout=5).status_code == 403
    assert server.requests == []
