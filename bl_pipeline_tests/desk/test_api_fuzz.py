"""Requests that a generator makes of the endpoints' own description: none is a 500, each answer is as described."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import hypothesis
import pytest
import schemathesis
from hypothesis import HealthCheck, given
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    negative_data_rejection,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline_tests.conftest import MakeSettings, Sync
from bl_pipeline_tests.desk.conftest import OpenDesk

CHECKS: list[Any] = [
    schemathesis.checks.not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
    allow_header_conformance,
    negative_data_rejection,
]
MANY = int(os.environ.get("BL_TEST_EXAMPLES", "300"))


def fuzz(app: Any, order_ids: list[str], examples: int, *, same_each_time: bool) -> Counter[tuple[str, int]]:
    """So many requests to each endpoint in the way described, and as many in others; half of them of real orders.

    Returns how often each status code was answered. Raises if an answer is not as described.
    """
    answered: Counter[tuple[str, int]] = Counter()
    schema = schemathesis.openapi.from_asgi("/api/openapi.json", app)

    def ask(operation: Any, mode: GenerationMode) -> None:
        @hypothesis.settings(
            max_examples=examples, derandomize=same_each_time, database=None, deadline=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(mode), real=st.none() | st.sampled_from(order_ids))
        def one(case: Any, real: str | None) -> None:
            if "id" in case.path_parameters and real is not None and mode is GenerationMode.POSITIVE:
                case.path_parameters["id"] = real
            found = case.call()
            answered[operation.label, found.status_code] += 1
            case.validate_response(found, checks=CHECKS)

        one()

    for result in schema.get_all_operations():
        assert isinstance(result, Ok), "the description is wrong"
        operation = result.ok()
        ask(operation, GenerationMode.POSITIVE)
        if not operation.path.endswith(("/status", "/stores")):  # one takes any text, the other takes nothing
            ask(operation, GenerationMode.NEGATIVE)
    return answered


def show(answered: Counter[tuple[str, int]]) -> None:
    """Print the counts, for `pytest -rP`."""
    for (label, status), number in sorted(answered.items()):
        print(f"{label}: {status}, {number} times")  # noqa: T201


@pytest.mark.slow
def test_no_request_is_a_500(
    synced: Sync, make_settings: MakeSettings, open_desk: OpenDesk, store: Store, server: SandboxServer
) -> None:
    """The same requests each time, at the end of the budget, so that none of them starts a process.

    Planted: the exception of an unexpected error for offsets of more than 1000; a field named otherwise than described.
    """
    client = open_desk(make_settings(bl_daily_call_limit=0, bl_call_reserve=0))
    answered = fuzz(client.app, [str(key) for key in store.sales], 25, same_each_time=True)
    show(answered)
    assert {status for _, status in answered} >= {200, 404, 422, 429}
    assert all(answered[f"GET {path}", 200] for path in ("/api/orders", "/api/orders/{id}"))
    assert server.requests == []


@pytest.mark.full
@pytest.mark.timeout(3600)
def test_no_request_is_a_500_while_runs_go_on(synced: Sync, open_desk: OpenDesk, make_settings: MakeSettings) -> None:
    """Many requests, others each time; what they start are real runs, one after the other."""
    client = open_desk(make_settings())
    orders = client.get("/api/orders", params={"limit": 100}).json()["orders"]
    answered = fuzz(client.app, [order["platformOrderId"] for order in orders], MANY, same_each_time=False)
    show(answered)
    assert answered["POST /api/integrations/bricklink/sync", 202]
    assert {status for _, status in answered} >= {200, 202, 404, 409, 422}
