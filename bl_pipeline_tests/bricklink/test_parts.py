"""Parts of an order of any kind: asked for by their path, and read by the resource of their lines."""

from __future__ import annotations

import json

import msgspec
import pytest

from bl_pipeline.bricklink import BrickLinkClient, InvalidAnswer, InvalidResource, PartLine, UnreadableLot, read_part
from bl_pipeline_tests.support.api import Api, Reply, envelope


class Message(PartLine, frozen=True, kw_only=True):
    """A part that no table of faults knows."""

    body: str
    sender: str | None = msgspec.field(default=None, name="from")


def test_a_part_is_asked_for_by_the_last_word_of_its_path(api: Api, client: BrickLinkClient) -> None:
    api.replies = [envelope([{"body": "Hello", "from": "ann"}])]

    answer = client.order_part(31, "messages", Message)

    assert [request.path for request in api.requests] == ["/api/store/v1/orders/31/messages"]
    assert json.loads(answer.raw) == [{"body": "Hello", "from": "ann"}]
    assert answer.read() == [[Message(body="Hello", sender="ann")]]


@pytest.mark.parametrize("reply", [envelope(), envelope(None), envelope(code=404)])
def test_a_part_that_may_be_absent_is_empty(api: Api, client: BrickLinkClient, reply: Reply) -> None:
    api.replies = [reply]
    answer = client.order_part(31, "messages", Message, may_be_absent=True)
    assert (answer.raw, answer.read(), len(api.requests)) == (b"[]", [], 1)


def test_a_part_may_not_be_absent_unless_that_was_said(api: Api, client: BrickLinkClient) -> None:
    api.replies = [envelope()]
    with pytest.raises(InvalidAnswer):
        client.order_part(31, "messages", Message)


def test_a_field_that_must_be_there_costs_its_line_and_any_other_its_value() -> None:
    """Planted: every fault taken for one that costs the line, and for one that costs the value."""
    raw = json.dumps([{"from": "ann"}, {"body": "Hello", "from": ["ann"]}, {"body": 7}, "Hello"])

    missing, other_type, no_text, no_object = read_part(raw, Message)[0]

    assert isinstance(missing, UnreadableLot)
    assert "`body`" in missing.error
    assert other_type == Message(body="Hello", sender='["ann"]', unreadable_fields=("from",))
    assert no_text == UnreadableLot(error="Expected `text` - at `$[2].body`")
    assert isinstance(no_object, UnreadableLot)
    with pytest.raises(InvalidResource):
        read_part(b"{}", Message)
