"""HTTP as urllib3 speaks it: connections, faults of the network, and what of a machine is not used."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from bl_pipeline.bricklink import BrickLinkClient, RetryPolicy, Unreachable
from bl_pipeline.bricklink.transport import network_fault
from bl_pipeline_tests.support.api import Api, Reply, Request, envelope

Connect = Callable[..., BrickLinkClient]


def all_closed(api: Api) -> bool:
    """Whether the server sees all connections closed, sooner or later."""
    until = time.monotonic() + 60
    while api.open_connections and time.monotonic() < until:
        time.sleep(0.01)
    return api.open_connections == 0


def test_calls_one_after_the_other_share_a_connection(api: Api, client: BrickLinkClient) -> None:
    api.replies = [envelope([])]
    for _ in range(3):
        threading.Thread(target=client.orders, kwargs={"filed": False}).run()
    assert api.connections == 1


def test_parallel_calls_never_share_a_connection_and_all_are_closed(api: Api, connect: Connect) -> None:
    together = threading.Barrier(3)

    def reply(request: Request) -> Reply:
        together.wait(60)
        return envelope([])

    api.replies = [reply]
    client = connect(timeout=60.0)
    with ThreadPoolExecutor(3) as pool:
        for _ in range(2):
            list(pool.map(lambda _: client.orders(filed=False), range(3)))
    assert (api.connections, api.open_connections) == (3, 3)
    client.close()
    assert all_closed(api)


def test_a_connection_ends_with_a_failed_attempt_or_a_closed_client(api: Api, connect: Connect) -> None:
    def reply(request: Request) -> Reply:
        client.close()
        return envelope([])

    client = connect()
    api.replies = [Reply(drop=True), envelope([]), reply]
    client.orders(filed=False)
    assert api.connections == 2
    client.orders(filed=False)
    assert api.connections == 2
    assert all_closed(api)


def test_a_transport_that_was_handed_in_is_not_closed(connect: Connect) -> None:
    """It has one method only, and is its owner's."""

    class Asked:
        def __getattr__(self, name: str) -> object:
            raise AssertionError(f"asked for {name}")

    connect(transport=Asked()).close()


def test_the_machines_proxy_and_netrc_are_not_used(
    api: Api, client: BrickLinkClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "")
    api.replies = [envelope([])]
    client.orders(filed=False)
    assert api.requests[0].headers["User-Agent"].startswith("bl_pipeline/")


def test_a_password_in_the_url_does_not_replace_the_signature(api: Api, connect: Connect) -> None:
    """Caught: a library makes an `Authorization: Basic` of it."""
    api.replies = [envelope([])]
    connect(base_url=api.url.replace("http://", "http://user:password@")).orders(filed=False)
    assert api.requests[0].headers["Authorization"].startswith("OAuth ")


CONNECTION = urllib3.connection.HTTPConnection("127.0.0.1")


@pytest.mark.parametrize(
    ("error", "word", "may_have_arrived"),
    [
        (urllib3.exceptions.NameResolutionError("nowhere", CONNECTION, socket.gaierror()), "dns", False),
        (urllib3.exceptions.NewConnectionError(CONNECTION, "refused"), "connection", False),
        (urllib3.exceptions.ConnectTimeoutError(), "timeout", False),
        (urllib3.exceptions.SSLError(), "tls", True),
        (urllib3.exceptions.ReadTimeoutError(urllib3.HTTPConnectionPool("127.0.0.1"), "/", "late"), "timeout", True),
        (TimeoutError(), "timeout", True),
        (ConnectionResetError(), "connection", True),
    ],
)
def test_what_an_error_says_of_the_network(error: Exception, word: str, may_have_arrived: bool) -> None:
    """By itself or within another; a write that has certainly not arrived may be sent again."""
    assert network_fault(error) == (word, may_have_arrived)
    assert network_fault(urllib3.exceptions.ProtocolError("aborted", error)) == (word, may_have_arrived)


@pytest.mark.timeout(10)
def test_errors_that_carry_one_another_are_one_fault() -> None:
    """Planted: a walk over what errors carry that meets the same one again and again."""
    error = urllib3.exceptions.HTTPError()
    error.args = (error,)
    assert network_fault(error) == ("connection", True)


def test_an_error_of_the_network_brings_nothing_of_the_request_along(api: Api, connect: Connect) -> None:
    api.replies = [Reply(drop=True)]
    with pytest.raises(Unreachable) as caught:
        connect(retry=RetryPolicy(max_attempts=1)).orders(filed=False)
    assert (caught.value.__cause__, caught.value.__context__) == (None, None)
