"""Every request is signed: its method, its URL and its query, with a nonce of its own, and never its body."""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count
from urllib.parse import quote, unquote

import pytest
from oauthlib.oauth1 import RequestValidator, SignatureOnlyEndpoint

from bl_pipeline.bricklink import BrickLinkClient
from bl_pipeline.bricklink.envelope import ORDER
from bl_pipeline.bricklink.reading import read_order
from bl_pipeline.bricklink.transport import Method
from bl_pipeline_tests.bricklink.conftest import CREDENTIALS
from bl_pipeline_tests.support.api import Api, Reply, Request, envelope

Connect = Callable[..., BrickLinkClient]


class Validator(RequestValidator):
    """Knows one store's credentials and every nonce it has seen."""

    enforce_ssl = False
    timestamp_lifetime = 10**9

    def __init__(self) -> None:
        super().__init__()
        self.nonces: list[str] = []
        self.timestamps: list[str] = []

    def check_client_key(self, client_key: str) -> bool:
        return True

    def check_access_token(self, request_token: str) -> bool:
        return True

    def check_nonce(self, nonce: str) -> bool:
        return True

    def validate_timestamp_and_nonce(
        self, client_key: str, timestamp: str, nonce: str, *tokens: object, **named: object
    ) -> bool:
        fresh = nonce not in self.nonces
        self.nonces.append(nonce)
        self.timestamps.append(timestamp)
        return fresh

    def validate_client_key(self, client_key: str, request: object) -> bool:
        return client_key == CREDENTIALS.consumer_key

    def get_client_secret(self, client_key: str, request: object) -> str:
        return CREDENTIALS.consumer_secret

    def get_access_token_secret(self, client_key: str, token: str, request: object) -> str:
        return CREDENTIALS.token_secret if token == CREDENTIALS.token_value else "wrong"


def signed(api: Api, validator: Validator, reply: Reply) -> Callable[[Request], Reply]:
    """Answers with `reply` if the signature is right, else as BrickLink does if it is not."""

    def check(request: Request) -> Reply:
        host = api.url.removesuffix("/api/store/v1")
        endpoint = SignatureOnlyEndpoint(validator)
        valid, _ = endpoint.validate_request(host + request.path, request.method, None, request.headers)
        return reply if valid else envelope(code=401, message="BAD_OAUTH_REQUEST")

    return check


def test_requests_are_signed_query_included(api: Api, connect: Connect) -> None:
    validator = Validator()
    api.replies = [signed(api, validator, envelope([]))]
    client = connect(clock=lambda: datetime(2024, 3, 1, tzinfo=UTC))
    client.orders(filed=True)
    client.order_items(31)
    assert validator.timestamps == ["1709251200"] * 2


def test_every_attempt_is_signed_with_a_nonce_of_its_own(api: Api, connect: Connect) -> None:
    validator = Validator()
    client = connect()
    api.replies = [signed(api, validator, Reply(b"", 503))] * 3 + [signed(api, validator, envelope([]))]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: client.order_items(31), range(8)))
    assert len(validator.nonces) == len(set(validator.nonces)) == 8 + 3


def test_the_nonce_may_be_handed_in(api: Api, connect: Connect) -> None:
    numbers = count(1)
    api.replies = [envelope([])]
    connect(nonce=lambda: f"nonce-{next(numbers)}").orders(filed=False)
    assert 'oauth_nonce="nonce-1"' in api.requests[0].headers["Authorization"]


@pytest.mark.parametrize("method", ["GET", "PUT", "POST"])
def test_a_write_is_signed_with_its_own_method(api: Api, connect: Connect, method: Method) -> None:
    """Planted: `GET` in every signature."""
    validator = Validator()
    api.replies = [signed(api, validator, envelope({}))]
    connect()._call(method, "/orders/31", ORDER, read_order, body={"remarks": "x"} if method != "GET" else None)
    assert [request.method for request in api.requests] == [method]


def test_the_signature_is_of_the_method_the_url_and_the_query_only(api: Api, connect: Connect) -> None:
    """Worked out by hand, as RFC 5849 says, section 3.4. Planted: a body in the signature."""
    api.replies = [envelope({})]
    client = connect(clock=lambda: datetime(2024, 3, 1, tzinfo=UTC), nonce=lambda: "n-1")
    client._call("PUT", "/orders/31?mail_me=true", ORDER, read_order, body="a=b")
    (request,) = api.requests
    given = dict(re.findall(r'(\w+)="([^"]*)"', request.headers["Authorization"]))
    signature = unquote(given.pop("oauth_signature"))
    assert {name: unquote(value) for name, value in given.items()} == {
        "oauth_consumer_key": CREDENTIALS.consumer_key,
        "oauth_token": CREDENTIALS.token_value,
        "oauth_signature_method": "HMAC-SHA1",
        "oauth_timestamp": "1709251200",
        "oauth_nonce": "n-1",
        "oauth_version": "1.0",
    }
    parameters = "&".join(sorted([*(f"{name}={value}" for name, value in given.items()), "mail_me=true"]))
    base = "&".join(quote(part, safe="") for part in ("PUT", f"{api.url}/orders/31", parameters))
    key = f"{CREDENTIALS.consumer_secret}&{CREDENTIALS.token_secret}"
    assert signature == base64.b64encode(hmac.digest(key.encode(), base.encode(), hashlib.sha1)).decode()
    assert request.body == b'"a=b"'
