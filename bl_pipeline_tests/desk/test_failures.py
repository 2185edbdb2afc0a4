"""What is said of a request that cannot be answered."""

from __future__ import annotations

import pytest
from starlette.testclient import TestClient

from bl_pipeline.sandbox import SandboxServer
from bl_pipeline_tests.conftest import MakeSettings
from bl_pipeline_tests.desk.conftest import OpenDesk
from bl_pipeline_tests.desk.test_api import SYNC


def test_each_kind_of_problem_is_explained(
    client: TestClient, make_settings: MakeSettings, open_desk: OpenDesk
) -> None:
    """Planted: a kind that the page does not have."""
    page = client.get("/problems").text
    only_reads = open_desk(make_settings(bl_desk_read_only=True))
    for answer, kind in (
        (client.get("/api/orders/99"), "no-such-order"),
        (client.get("/api/orders?limit=0"), "invalid-request"),
        (client.get("/api/integrations/bricklink/status?runId=x"), "no-such-run"),
        (only_reads.post("/api/integrations/bricklink/sync"), "read-only"),
    ):
        assert answer.json()["type"] == f"/problems#{kind}"
        assert f'id="{kind}"' in page
    assert client.get("/api/nothing").json()["type"] == "about:blank"


@pytest.mark.parametrize("body", [b'{"includeFiled": true', b"[]", b'"x"', b"{'includeFiled': true}"])
def test_a_body_in_another_form_is_told_the_form(body: bytes, client: TestClient, server: SandboxServer) -> None:
    """Caught: a detail that began with a colon, or named a place in the JSON, and said nothing to do."""
    answers = [client.post(SYNC, content=body, headers={"Content-Type": "application/json"})]
    answers.append(client.post(SYNC, content=b'{"includeFiled": true}', headers={"Content-Type": "text/plain"}))
    for answer in answers:
        assert (answer.status_code, answer.json()["type"]) == (422, "/problems#invalid-request")
        assert "JSON object" in answer.json()["detail"]
        assert "Content-Type: application/json" in answer.json()["detail"]
    named = client.post(SYNC, json={"includeFiled": "perhaps"}).json()["detail"]
    assert named.startswith("includeFiled: ")
    assert server.requests == []
