from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bl_pipeline.bricklink import BrickLinkClient, Credentials
from bl_pipeline_tests.support.api import Api, Ledger

CREDENTIALS = Credentials("C0FFEE-consumer-key", "5EC-consumer-secret", "70CE-token-value", "70CE-token-secret")


@pytest.fixture
def api() -> Iterator[Api]:
    api = Api()
    yield api
    api.close()


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


@pytest.fixture
def waits() -> list[float]:
    """The waits that the client asked for; none of them is really waited."""
    return []


@pytest.fixture
def connect(api: Api, ledger: Ledger, waits: list[float]) -> Iterator[Callable[..., BrickLinkClient]]:
    """Make a client of the test's server; what is not given is harmless."""
    clients = []

    def make(**options: Any) -> BrickLinkClient:
        options = {"base_url": api.url, "timeout": 5.0, "sleep": waits.append, **options}
        clients.append(BrickLinkClient(CREDENTIALS, options.pop("call_log", ledger), **options))
        return clients[-1]

    yield make
    for client in clients:
        client.close()


@pytest.fixture
def client(connect: Callable[..., BrickLinkClient]) -> BrickLinkClient:
    return connect()
