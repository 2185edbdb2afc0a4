from __future__ import annotations

import pickle
import socket
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest

from bl_pipeline.bricklink import (
    BrickLinkClient,
    BrickLinkError,
    CredentialsRefused,
    InvalidAnswer,
    PermissionDenied,
    RateLimited,
    RequestRefused,
    ResourceNotFound,
    RetryPolicy,
    ServerError,
    ServiceDown,
    Unreachable,
)
from bl_pipeline_tests.support.api import Api, Ledger, Reply, envelope

Connect = Callable[..., BrickLinkClient]

PAGE = b"<html><head><title>503 Service Temporarily Unavailable</title></head></html>"


def refusal(code: int, description: str = "", message: str = "", status: int = 200) -> Reply:
    return envelope(code=code, description=description, message=message, status=status)


TRANSIENT = {
    "dropped connection": (Reply(drop=True), Unreachable, "connection"),
    "cut-off body": (Reply(b'{"meta":{"code":200}', cut=True), Unreachable, "connection"),
    "nginx page": (Reply(PAGE, 503), ServerError, "http_503"),
    "page inside a 200": (Reply(b"\n" + PAGE), ServerError, "html"),
    "page inside a 404": (Reply(PAGE, 404), ServerError, "html"),
    "page inside a 403": (Reply(PAGE, 403), ServerError, "html"),
    "empty 500": (Reply(b"", 500), ServerError, "http_500"),
    "500 in the envelope": (refusal(500), ServerError, "code_500"),
    "500 in both": (refusal(500, status=500), ServerError, "http_500"),
    "503 around a good envelope": (envelope([], status=503), ServerError, "http_503"),
    "empty body": (Reply(b""), InvalidAnswer, "InvalidAnswer"),
    "cut JSON": (Reply(b'{"meta":{"code":200},"data":[{"order_'), InvalidAnswer, "InvalidAnswer"),
    "no envelope": (Reply(b"[]"), InvalidAnswer, "InvalidAnswer"),
    "no envelope in a 400": (Reply(b"[]", 400), InvalidAnswer, "InvalidAnswer"),
    "no meta": (Reply(b'{"data":[]}'), InvalidAnswer, "InvalidAnswer"),
    "unreadable code": (envelope([], code="fine"), InvalidAnswer, "InvalidAnswer"),
    "no code": (envelope([], code=None), InvalidAnswer, "InvalidAnswer"),
    "impossible code": (envelope([], code=0), InvalidAnswer, "InvalidAnswer"),
    "an object for a list": (envelope({}), InvalidAnswer, "InvalidAnswer"),
    "depth without end": (Reply(b'{"data":' + b"[" * 200_000), InvalidAnswer, "InvalidAnswer"),
}


@pytest.mark.parametrize("name", TRANSIENT)
def test_a_fault_that_passes_is_tried_again(
    name: str, api: Api, client: BrickLinkClient, ledger: Ledger, waits: list[float]
) -> None:
    fault, _, outcome = TRANSIENT[name]
    api.replies = [fault, fault, envelope([])]
    assert client.orders(filed=False).raw == b"[]"
    assert ledger.outcomes == [outcome, outcome, "ok"]
    assert len(waits) == 2
    assert waits[0] < waits[1]


@pytest.mark.parametrize("name", TRANSIENT)
def test_a_fault_that_stays_is_raised_in_the_end(name: str, api: Api, client: BrickLinkClient) -> None:
    fault, kind, outcome = TRANSIENT[name]
    api.replies = [fault]
    with pytest.raises(kind) as caught:
        client.orders(filed=False)
    assert type(caught.value) is kind
    assert (len(api.requests), caught.value.outcome) == (4, outcome)
    assert caught.value.path == "/orders?direction=in&filed=false"


def test_a_redirect_is_not_followed(api: Api, client: BrickLinkClient, ledger: Ledger) -> None:
    api.replies = [Reply(b"", 302, {"Location": f"{api.url}/error.page?code=500"}), envelope([])]
    client.orders(filed=False)
    assert [request.path.rpartition("/")[2] for request in api.requests] == ["orders?direction=in&filed=false"] * 2
    assert ledger.outcomes == ["http_302", "ok"]


@pytest.mark.parametrize("stalled", ["before the body", "within the body"])
def test_a_timeout_is_tried_again(api: Api, connect: Connect, ledger: Ledger, stalled: str) -> None:
    api.replies = [Reply(b"x" if stalled == "before the body" else b"x" * 100, stall=True), envelope([])]
    # On a busy machine the good answer may come late, too.
    connect(timeout=0.5, retry=RetryPolicy(max_attempts=20)).orders(filed=False)
    assert ledger.outcomes[0] == "timeout"
    assert ledger.outcomes[-1] == "ok"
    assert set(ledger.outcomes) == {"timeout", "ok"}


def test_a_port_where_nobody_listens_is_unreachable(connect: Connect, ledger: Ledger) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        client = connect(base_url=f"http://127.0.0.1:{closed.getsockname()[1]}")
        with pytest.raises(Unreachable) as caught:
            client.orders(filed=False)
    assert str(caught.value) == ("Cannot reach 127.0.0.1 (connection).\n[GET /orders?direction=in&filed=false]")
    assert ledger.outcomes == ["connection"] * 4


def test_a_name_that_does_not_resolve_is_unreachable(connect: Connect) -> None:
    with pytest.raises(Unreachable, match=r"Cannot reach bricklink\.invalid \(dns\)"):
        connect(base_url="https://bricklink.invalid", retry=RetryPolicy(max_attempts=1)).orders(filed=False)


def test_a_server_without_tls_is_unreachable(api: Api, connect: Connect) -> None:
    url = api.url.replace("http:", "https:")
    with pytest.raises(Unreachable, match=r"\(tls\)"):
        connect(base_url=url, retry=RetryPolicy(max_attempts=1)).orders(filed=False)


@pytest.mark.parametrize("reply", [refusal(429), refusal(429, status=429), Reply(PAGE, 429), Reply(b"", 429)])
def test_a_rate_limit_is_tried_once_more(api: Api, client: BrickLinkClient, ledger: Ledger, reply: Reply) -> None:
    api.replies = [reply]
    with pytest.raises(RateLimited):
        client.order(31)
    assert ledger.outcomes == ["RateLimited"] * 2


@pytest.mark.parametrize("status", [429, 503])
def test_the_wait_that_the_server_asks_for_is_kept(
    api: Api, client: BrickLinkClient, waits: list[float], status: int
) -> None:
    api.replies = [Reply(b"", status, {"Retry-After": "17"}), envelope([])]
    client.orders(filed=False)
    assert waits == [17.0]


ASKED_AT = datetime(2024, 3, 1, 8, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    "until",
    [
        "Fri, 01 Mar 2024 08:00:40 GMT",
        "Fri, 01 Mar 2024 08:00:40 -0000",
        "Fri, 01 Mar 2024 10:00:40 +0200",
        "Friday, 01-Mar-24 08:00:40 GMT",
        "Fri Mar  1 08:00:40 2024",
    ],
)
def test_a_wait_until_a_date_is_kept(api: Api, connect: Connect, waits: list[float], status: int, until: str) -> None:
    """Each of the three forms that a date in HTTP may have. Caught: only seconds were understood."""
    api.replies = [Reply(b"", status, {"Retry-After": until}), envelope([])]
    connect(clock=lambda: ASKED_AT).orders(filed=False)
    assert waits == [40.0]


@pytest.mark.parametrize(
    ("asked", "seconds"),
    [
        ("Sat, 02 Mar 2024 07:00:00 GMT", 23 * 3600.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", 24 * 3600.0),
        ("99999999999999999999", 24 * 3600.0),
        ("9" * 400, 24 * 3600.0),
    ],
)
def test_a_wait_longer_than_a_run_can_wait_ends_the_attempts(
    api: Api, connect: Connect, waits: list[float], asked: str, seconds: float
) -> None:
    """Caught: a number of ten digits was ignored, and the call repeated at once."""
    api.replies = [Reply(b"", 503, {"Retry-After": asked}), envelope([])]
    with pytest.raises(ServerError) as caught:
        connect(clock=lambda: ASKED_AT).orders(filed=False)
    assert (caught.value.retry_after, waits) == (seconds, [])


@pytest.mark.parametrize(
    "asked",
    ["Fri, 01 Mar 2024 07:59:00 GMT", "Mon, 01 Jan 0001 00:00:00 GMT", "Fri, 99 Foo 2024", "-5", "1.5", ""],
)
def test_a_wait_that_is_over_or_cannot_be_read_is_ignored(
    api: Api, connect: Connect, waits: list[float], asked: str
) -> None:
    api.replies = [Reply(b"", 503, {"Retry-After": asked}), envelope([])]
    connect(clock=lambda: ASKED_AT).orders(filed=False)
    assert 0.5 <= waits[0] <= 1.0


REFUSED = {
    "401 in the envelope": refusal(401, "SIGNATURE_INVALID: Invalid Signature", "BAD_OAUTH_REQUEST"),
    "401 in both": refusal(401, message="BAD_OAUTH_REQUEST", status=401),
    "401 as a page": Reply(PAGE, 401),
    "401 empty": Reply(b"", 401),
    "401 around a good envelope": envelope([], status=401),
    "another code": refusal(400, message="BAD_OAUTH_REQUEST"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_credentials_stop_at_once_and_for_good(
    name: str, api: Api, client: BrickLinkClient, ledger: Ledger
) -> None:
    api.replies = [REFUSED[name], envelope({})]
    with pytest.raises(
        CredentialsRefused, match=r"BrickLink\'s API consumer page \(bricklink\.com/v2.* IP address and mask"
    ):
        client.order(31)
    with pytest.raises(CredentialsRefused) as caught:
        client.order(32)
    assert caught.value.path == "/orders/32"
    assert ledger.outcomes == ["CredentialsRefused"]


def test_403_on_a_list_is_about_the_credentials(api: Api, client: BrickLinkClient) -> None:
    api.replies = [refusal(403, message="PERMISSION_DENIED")]
    with pytest.raises(CredentialsRefused):
        client.orders(filed=True)


@pytest.mark.parametrize("address", ["203.0.113.7", "2001:db8::7"])
def test_a_changed_address_is_reported_without_the_key(api: Api, client: BrickLinkClient, address: str) -> None:
    api.replies = [refusal(401, f"TOKEN_IP_MISMATCHED: consumer: ABCDEF0123 IP: {address}", "BAD_OAUTH_REQUEST")]
    with pytest.raises(CredentialsRefused) as caught:
        client.orders(filed=False)
    assert caught.value.message == (
        f"BrickLink does not accept calls from this machine's IP address {address}, which has changed. "
        "No order can be fetched. Register the new address on BrickLink's API consumer page "
        "(bricklink.com/v2/api/register_consumer.page) and use its token."
    )
    assert caught.value.reason == "TOKEN_IP_MISMATCHED"
    assert "ABCDEF0123" not in repr(vars(caught.value)) + str(caught.value)


def test_a_refused_time_points_to_the_clock(api: Api, client: BrickLinkClient) -> None:
    api.replies = [refusal(401, "TIMESTAMP_REFUSED: 1709251200", "BAD_OAUTH_REQUEST")]
    with pytest.raises(CredentialsRefused, match="Check the clock"):
        client.orders(filed=False)


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, RequestRefused),
        (403, PermissionDenied),
        (404, ResourceNotFound),
        (405, RequestRefused),
        (415, RequestRefused),
        (418, RequestRefused),
        (422, RequestRefused),
    ],
)
def test_trouble_with_one_order_is_not_retried_and_lets_others_be_had(
    api: Api, client: BrickLinkClient, code: int, kind: type[BrickLinkError], status: int
) -> None:
    api.replies = [refusal(code, "NOT_IN_UPDATABLE_STATUS", status=status), envelope([])]
    with pytest.raises(kind) as caught:
        client.order(31)
    assert (caught.value.http_status, caught.value.code, caught.value.path) == (status, code, "/orders/31")
    assert caught.value.reason == "NOT_IN_UPDATABLE_STATUS"
    assert caught.value.outcome == kind.__name__
    assert client.order_items(32).raw == b"[]"
    assert len(api.requests) == 2


def test_a_dead_service_is_given_up_after_ten_failures(api: Api, client: BrickLinkClient, ledger: Ledger) -> None:
    api.replies = [Reply(PAGE, 503)]
    for order_id in (31, 32):
        with pytest.raises(ServerError):
            client.order(order_id)
    with pytest.raises(ServiceDown):
        client.order(33)
    with pytest.raises(ServiceDown):
        client.orders(filed=False)
    assert ledger.outcomes == ["http_503"] * 10


def test_the_last_failure_is_not_blamed_on_the_order(api: Api, connect: Connect, waits: list[float]) -> None:
    api.replies = [Reply(PAGE, 503)]
    with pytest.raises(ServiceDown):
        connect(retry=RetryPolicy(max_failures_in_a_row=4)).order(31)
    assert (len(api.requests), len(waits)) == (4, 3)


def test_threads_give_a_dead_service_up_together(api: Api, client: BrickLinkClient) -> None:
    def fetch(order_id: int) -> type[BrickLinkError]:
        with pytest.raises(BrickLinkError) as caught:
            client.order(order_id)
        return type(caught.value)

    api.replies = [Reply(PAGE, 503)]
    with ThreadPoolExecutor(4) as pool:
        kinds = list(pool.map(fetch, range(1, 41)))
    assert kinds[-1] is ServiceDown
    assert 10 <= len(api.requests) <= 13  # those under way when the tenth failed are seen through


def test_failures_with_answers_between_them_do_not_add_up(api: Api, connect: Connect) -> None:
    client = connect(retry=RetryPolicy(max_failures_in_a_row=2))
    for answer in (envelope([]), refusal(404), envelope([]), envelope([])):
        api.replies = [Reply(PAGE, 503), answer]
        client.order_items(31, purged=True)
    assert len(api.requests) == 8


def test_orders_without_data_do_not_pass_for_a_dead_service(api: Api, client: BrickLinkClient) -> None:
    api.replies = [envelope()]
    for order_id in range(1, 5):
        with pytest.raises(InvalidAnswer):
            client.order(order_id)
    assert len(api.requests) == 16


def test_errors_survive_a_process_boundary() -> None:
    error = ServerError(
        "BrickLink failed.", method="PUT", path="/orders/31", http_status=200, code=500, reason="INTERNAL_ERROR"
    )
    copy = pickle.loads(pickle.dumps(error))
    assert str(copy) == str(error) == ("BrickLink failed.\n[PUT /orders/31, HTTP 200, code 500, INTERNAL_ERROR]")
