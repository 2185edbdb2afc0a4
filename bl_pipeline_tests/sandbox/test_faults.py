from typing import Any

import pytest
import requests

from bl_pipeline.sandbox import PASSING, WRONG_TYPES, Credentials, Fault, Faults, SandboxServer, Store
from bl_pipeline_tests.sandbox.conftest import NOW, Serve, SignedSession

ANSWERED = [fault for fault in Fault if fault not in {Fault.TIMEOUT, Fault.RESET, Fault.CUT_SHORT}]


@pytest.fixture
def server(serve: Serve) -> SandboxServer:
    return serve()


@pytest.fixture
def session(server: SandboxServer, signed: SignedSession) -> requests.Session:
    return signed(server)


def met(server: SandboxServer, session: requests.Session, fault: Fault, path: str = "") -> requests.Response:
    server.faults.next(fault)
    return session.get(server.url + (path or detail(server)), timeout=120, allow_redirects=False)


def detail(server: SandboxServer) -> str:
    return f"/orders/{max(server.store.sales)}"


def good(server: SandboxServer) -> dict[str, Any]:
    return server.wire.detail(server.store.order(max(server.store.sales)))


def test_a_stalled_request_is_not_answered(server: SandboxServer, session: requests.Session) -> None:
    server.faults.next("timeout")
    with pytest.raises(requests.ReadTimeout):
        session.get(server.url + detail(server), timeout=0.2)
    assert (server.requests[0].fault, server.requests[0].code) == (Fault.TIMEOUT, None)


def test_a_stall_ends_with_the_server(store: Store, signed: SignedSession) -> None:
    with SandboxServer(store) as server:
        server.faults.next(Fault.TIMEOUT)
        with pytest.raises(requests.ReadTimeout):
            signed(server).get(server.url + detail(server), timeout=0.1)
    # Else this line is reached after an hour only, the usual stall.


def test_a_stall_ends_after_its_time(serve: Serve, signed: SignedSession) -> None:
    server = serve(stall=0.1)
    server.faults.next(Fault.TIMEOUT)
    with pytest.raises(requests.ConnectionError):
        signed(server).get(server.url + detail(server), timeout=120)


def test_a_reset_is_a_reset(server: SandboxServer, session: requests.Session) -> None:
    server.faults.next(Fault.RESET)
    with pytest.raises(requests.ConnectionError, match="Connection reset by peer"):
        session.get(server.url + detail(server))


def test_an_answer_cut_short_is_not_whole(server: SandboxServer, session: requests.Session) -> None:
    server.faults.next(Fault.CUT_SHORT)
    with pytest.raises(requests.exceptions.ChunkedEncodingError, match="more expected"):
        session.get(server.url + detail(server))


def test_a_cut_answer_is_half_of_the_json(server: SandboxServer, session: requests.Session) -> None:
    whole = session.get(server.url + detail(server)).content
    assert met(server, session, Fault.CUT).content == whole[: len(whole) // 2]


@pytest.mark.parametrize(
    ("fault", "status", "start"),
    [
        (Fault.EMPTY, 200, ""),
        (Fault.HTML200, 200, "<!DOCTYPE html><html><head><title>BrickLink"),
        (Fault.HTML503, 503, "<html>\r\n<head><title>503 Service Temporarily Unavailable"),
        (Fault.RATE_LIMIT_HTTP, 429, "<html>\r\n<head><title>429 Too Many Requests"),
        (Fault.HTTP500, 500, "<html>\r\n<head><title>500 Internal Server Error"),
    ],
)
def test_pages_in_place_of_answers(
    server: SandboxServer, session: requests.Session, fault: Fault, status: int, start: str
) -> None:
    answer = met(server, session, fault)
    assert (answer.status_code, answer.text[: len(start)]) == (status, start)
    assert server.requests[0].code is None
    assert bool(answer.text) == bool(start)


@pytest.mark.parametrize(
    ("fault", "status", "meta"),
    [
        (Fault.RATE_LIMIT_ENVELOPE, 200, (429, "TOO_MANY_REQUESTS", "API call limit exceeded")),
        (Fault.ENVELOPE500, 200, (500, "INTERNAL_SERVER_ERROR", "INTERNAL_SERVER_ERROR")),
        (Fault.UNAUTHORIZED, 200, (401, "BAD_OAUTH_REQUEST", "SIGNATURE_INVALID: Invalid Signature")),
        (Fault.UNAUTHORIZED_HTTP, 401, (401, "BAD_OAUTH_REQUEST", "SIGNATURE_INVALID: Invalid Signature")),
        (
            Fault.IP_MISMATCH,
            200,
            (
                401,
                "BAD_OAUTH_REQUEST",
                f"TOKEN_IP_MISMATCHED: consumer: {Credentials.generate(1).consumer_key} IP: 203.0.113.7",
            ),
        ),
        (Fault.FORBIDDEN, 200, (403, "PERMISSION_DENIED", "PERMISSION_DENIED")),
    ],
)
def test_refusals_in_the_envelope(
    serve: Serve, signed: SignedSession, fault: Fault, status: int, meta: tuple[int, str, str]
) -> None:
    server = serve()
    answer = met(server, signed(server), fault)
    code, message, description = meta
    answered = {"meta": {"description": description, "message": message, "code": code}}
    assert (answer.status_code, answer.json()) == (status, answered)
    assert server.requests[0].code == code


def test_a_redirect_leads_to_a_page(server: SandboxServer, session: requests.Session) -> None:
    answer = met(server, session, Fault.REDIRECT)
    assert (answer.status_code, answer.headers["Location"]) == (302, "/error.page?code=500")
    server.faults.next(Fault.REDIRECT)
    followed = session.get(server.url + detail(server))
    assert (followed.status_code, followed.headers["Content-Type"]) == (200, "text/html")
    assert server.requests[-1].path == "/error.page"


def test_good_answers_without_good_data(server: SandboxServer, session: requests.Session) -> None:
    meta = {"description": "OK", "message": "OK", "code": 200}
    assert met(server, session, Fault.DATA_ABSENT).json() == {"meta": meta}
    assert met(server, session, Fault.DATA_NULL).json() == {"meta": meta, "data": None}
    assert met(server, session, Fault.WRONG_TYPE_DATA).json() == {"meta": meta, "data": "OK"}
    assert met(server, session, Fault.CODE_AS_STRING).json() == {
        "meta": meta | {"code": "200"},
        "data": good(server),
    }


def test_values_of_the_wrong_type_in_a_detail(server: SandboxServer, session: requests.Session) -> None:
    whole = good(server)
    grand_total = whole["cost"]["grand_total"].replace(".", ",")
    assert met(server, session, Fault.WRONG_TYPE_MONEY).json()["data"] == whole | {
        "cost": whole["cost"] | {"grand_total": grand_total}
    }
    assert met(server, session, Fault.WRONG_TYPE_COUNT).json()["data"] == whole | {"total_count": "many"}
    assert met(server, session, Fault.WRONG_TYPE_ID).json()["data"] == whole | {"order_id": {"value": 1}}


def test_values_of_the_wrong_type_in_items(server: SandboxServer, session: requests.Session) -> None:
    path = f"{detail(server)}/items"

    def first(fault: Fault) -> Any:
        return met(server, session, fault, path).json()["data"][0][0]

    assert "," in first(Fault.WRONG_TYPE_MONEY)["unit_price_final"]
    assert first(Fault.WRONG_TYPE_COUNT)["quantity"] == "many"
    assert first(Fault.WRONG_TYPE_ID)["inventory_id"] == {"value": 1}


def test_every_other_fault_leaves_the_connection_usable(server: SandboxServer, session: requests.Session) -> None:
    for fault in ANSWERED:
        met(server, session, fault)
        assert session.get(server.url + detail(server)).json()["data"] == good(server)


def test_the_wrong_types_take_turns() -> None:
    faults = Faults()
    faults.next(Fault.WRONG_TYPE, times=5)
    assert [faults.take("/orders", "") for _ in range(5)] == [*WRONG_TYPES, WRONG_TYPES[0]]


def test_a_queue_is_worked_off() -> None:
    faults = Faults()
    faults.next("reset", "empty", times=2)
    taken = [faults.take("/orders", "") for _ in range(5)]
    assert taken == [Fault.RESET, Fault.EMPTY, Fault.RESET, Fault.EMPTY, None]


def test_a_path_meets_its_fault_so_many_times() -> None:
    faults = Faults()
    faults.on(r"/orders/123$", "reset", times=2)
    faults.on(r"filed=true", "empty")
    assert faults.take("/orders/1234", "") is None
    assert [faults.take("/orders/123", "") for _ in range(3)] == [Fault.RESET, Fault.RESET, None]
    assert [faults.take("/orders", "filed=true") for _ in range(9)] == [Fault.EMPTY] * 9
    faults.clear()
    assert faults.take("/orders", "filed=true") is None


def test_chance_follows_from_its_seed() -> None:
    runs = []
    for _ in range(2):
        faults = Faults()
        faults.at_random(0.3, seed=8)
        runs.append([faults.take("/orders", "") for _ in range(300)])
    assert runs[0] == runs[1]
    assert set(runs[0]) == {None, *PASSING}
    assert 60 < sum(fault is not None for fault in runs[0]) < 120


@pytest.mark.parametrize("rate", [-0.1, 1.1])
def test_a_rate_is_a_share(rate: float) -> None:
    with pytest.raises(ValueError, match="rate"):
        Faults().at_random(rate)


def test_an_unknown_fault_is_refused() -> None:
    with pytest.raises(ValueError, match="flood"):
        Faults().next("flood")


def test_a_spoilt_answer_names_no_orders(serve: Serve, signed: SignedSession) -> None:
    server = serve(Store.grow(5, now=NOW, filed=0))
    session = signed(server)
    met(server, session, Fault.CUT, "/orders")
    met(server, session, Fault.CODE_AS_STRING, "/orders")
    spoilt, answered = server.requests
    assert (spoilt.order_ids, set(answered.order_ids)) == ((), set(server.store.sales))
