from __future__ import annotations

import logging
import traceback
from dataclasses import astuple

import msgspec
import pytest

from bl_pipeline.bricklink import (
    BrickLinkClient,
    BrickLinkError,
    Credentials,
    UnreadableLot,
    read_items,
    read_order,
    read_summaries,
)
from bl_pipeline_tests.bricklink.conftest import CREDENTIALS
from bl_pipeline_tests.support.api import Api, Reply, envelope

SECRETS = astuple(CREDENTIALS)
ORDER = {
    "order_id": 31,
    "date_ordered": "2024-03-01T08:00:00.000Z",
    "status": "PAID",
    "buyer_name": "Personal",
    "buyer_email": "personal@example.org",
    "cost": {"currency_code": "EUR"},
    "shipping": {"address": {"name": {"full": "Personal Name"}, "city": "Personal City"}},
}


def test_credentials_hide_their_values() -> None:
    assert repr(CREDENTIALS) == str(CREDENTIALS) == "Credentials()"
    assert Credentials("a", "b", "c", "d") != Credentials("a", "b", "c", "e")


def test_no_log_shows_a_secret_at_any_level(
    api: Api, client: BrickLinkClient, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("", "urllib3", "oauthlib", "oauthlib.oauth1.rfc5849", "bl_pipeline"):
        caplog.set_level(logging.DEBUG, logger=name or None)
    api.replies = [Reply(b"", 503), envelope(ORDER)]
    client.order(31)
    assert "trying again" in caplog.text
    assert "HTTP/1.1" in caplog.text
    for word in (*SECRETS, "oauth_signature", "oauth_token", "Personal", "personal"):
        assert word not in caplog.text


@pytest.mark.parametrize(
    "reply",
    [
        Reply(drop=True),
        Reply(b"<title>Personal</title>", 500),
        Reply(b'{"Personal'),
        envelope(code=401, description=f"X: {CREDENTIALS.consumer_key}", message=CREDENTIALS.token_value),
        envelope(code=404, description="Personal", message="PERSONAL"),
        envelope("Personal"),
    ],
)
def test_no_error_shows_a_secret_or_part_of_the_answer(api: Api, client: BrickLinkClient, reply: Reply) -> None:
    api.replies = [reply]
    with pytest.raises(BrickLinkError) as caught:
        client.order(31)
    seen: BaseException | None = caught.value
    while seen is not None:  # neither does what an error report would show below it
        shown = "".join(traceback.format_exception(seen, chain=False)) + repr(vars(seen))
        for word in (*SECRETS, "Personal", "PERSONAL"):
            assert word not in shown
        assert isinstance(seen, BrickLinkError)
        seen = seen.__cause__ or seen.__context__


def test_no_resource_or_answer_shows_personal_data(api: Api, client: BrickLinkClient) -> None:
    api.replies = [envelope(ORDER)]
    answer = client.order(31)
    order = answer.read()
    assert repr(order) == "<Order>"
    assert "ersonal" not in f"{answer!r} {order!r} {order} {order.shipping!r}"
    assert list(order.__rich_repr__()) == []


@pytest.mark.parametrize(
    "wrong",
    [{"order_id": "Personal"}, {"cost": "Personal"}, {"date_ordered": "Personal"}, {"cost": {"currency_code": 77123}}],
)
def test_no_complaint_about_a_field_shows_its_value(wrong: dict[str, object]) -> None:
    raw = msgspec.json.encode({**ORDER, **wrong})
    with pytest.raises(BrickLinkError) as caught:
        read_order(raw)
    row = read_summaries(b"[" + msgspec.json.encode({**ORDER, "date_ordered": None}) + b"]")[1][0]
    (lot,) = read_items(b'[[{"item":"Personal","quantity":"Personal"}]]')[0]
    assert isinstance(lot, UnreadableLot)
    named = read_order(msgspec.json.encode({**ORDER, "payment": "Personal", "total_weight": 77123.4567891}))
    for text in (str(caught.value), lot.error, row.error, f"{named.unreadable_fields} $"):
        assert "ersonal" not in text
        assert "77123" not in text
        assert "$" in text
