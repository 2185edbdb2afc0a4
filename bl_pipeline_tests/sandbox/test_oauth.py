import pytest
import requests
from requests_oauthlib import OAuth1

from bl_pipeline.sandbox import Credentials, Store
from bl_pipeline_tests.sandbox.conftest import Serve, SignedSession


def refused(answer: requests.Response) -> str:
    answered = answer.json()
    assert (answer.status_code, set(answered), answered["meta"]["code"]) == (200, {"meta"}, 401)
    assert answered["meta"]["message"] == "BAD_OAUTH_REQUEST"
    return str(answered["meta"]["description"])


def test_a_signed_request_is_answered(serve: Serve, signed: SignedSession, store: Store) -> None:
    server = serve()
    answer = signed(server).get(f"{server.url}/orders", params={"filed": "True", "direction": "in"})
    assert answer.headers["Content-Type"] == "text/html;charset=utf-8"
    assert {row["order_id"] for row in answer.json()["data"]} == {
        order.order_id for order in store.sales.values() if order.is_filed
    }


@pytest.mark.parametrize(
    ("secret", "description"),
    [
        ("consumer_key", "CONSUMER_KEY_UNKNOWN: Invalid Consumer Key"),
        ("consumer_secret", "SIGNATURE_INVALID: Invalid Signature"),
        ("token_value", "TOKEN_REJECTED: Invalid Access Token"),
        ("token_secret", "SIGNATURE_INVALID: Invalid Signature"),
    ],
)
def test_a_wrong_secret_is_refused(serve: Serve, signed: SignedSession, secret: str, description: str) -> None:
    server = serve()
    assert refused(signed(server, **{secret: "wrong"}).get(f"{server.url}/orders")) == description


def test_a_query_that_was_not_signed_is_refused(serve: Serve, signed: SignedSession) -> None:
    server = serve()
    session = signed(server)
    request = session.prepare_request(requests.Request("GET", f"{server.url}/orders"))
    request.url = f"{server.url}/orders?filed=true"
    assert refused(session.send(request)) == "SIGNATURE_INVALID: Invalid Signature"


def test_a_nonce_is_good_for_one_request(serve: Serve, signed: SignedSession) -> None:
    server = serve()
    session = signed(server)
    request = session.prepare_request(requests.Request("GET", f"{server.url}/orders"))
    assert session.send(request).json()["meta"]["code"] == 200
    assert refused(session.send(request)) == "NONCE_USED: Nonce already used"
    first, second = server.requests
    assert (first.nonce, first.refusal) == (second.nonce, None)
    assert second.refusal == "NONCE_USED: Nonce already used"


@pytest.mark.parametrize("header", [None, "Basic abc", "OAuth nonsense", 'OAuth realm="x"'])
def test_a_request_without_a_signature_is_refused(serve: Serve, header: str | None) -> None:
    server = serve()
    headers = {} if header is None else {"Authorization": header}
    assert "PARAMETER_" in refused(requests.get(f"{server.url}/orders", headers=headers, timeout=5))


def test_parameters_belong_in_the_header(serve: Serve) -> None:
    server = serve()
    secrets = server.credentials
    auth = OAuth1(
        secrets.consumer_key,
        secrets.consumer_secret,
        secrets.token_value,
        secrets.token_secret,
        signature_type="query",
    )
    assert "PARAMETER_ABSENT" in refused(requests.get(f"{server.url}/orders", auth=auth, timeout=5))


def test_another_signature_method_is_refused(serve: Serve) -> None:
    server = serve()
    secrets = server.credentials
    auth = OAuth1(
        secrets.consumer_key,
        secrets.consumer_secret,
        secrets.token_value,
        secrets.token_secret,
        signature_method="PLAINTEXT",
    )
    assert "SIGNATURE_INVALID" in refused(requests.get(f"{server.url}/orders", auth=auth, timeout=5))


def test_an_old_timestamp_is_refused(serve: Serve) -> None:
    server = serve()
    secrets = server.credentials
    auth = OAuth1(
        secrets.consumer_key,
        secrets.consumer_secret,
        secrets.token_value,
        secrets.token_secret,
        timestamp="1700000000",
    )
    assert "SIGNATURE_INVALID" in refused(requests.get(f"{server.url}/orders", auth=auth, timeout=5))


def test_credentials_follow_from_a_seed_and_do_not_show_themselves() -> None:
    assert Credentials.generate(4) == Credentials.generate(4) != Credentials.generate()
    assert repr(Credentials.generate(4)) == "Credentials(...)"
