from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import pytest
import requests
from requests_oauthlib import OAuth1

from bl_pipeline.sandbox import Credentials, SandboxServer, Store

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

Serve = Callable[..., SandboxServer]
SignedSession = Callable[..., requests.Session]


@pytest.fixture
def store() -> Store:
    return Store.grow(30, seed=5, now=NOW, filed=4, purged=3)


@pytest.fixture
def serve(store: Store) -> Iterator[Serve]:
    """Serves the store, or another one, until the test is over."""
    with ExitStack() as stack:

        def serve(served: Store = store, **options: Any) -> SandboxServer:
            return stack.enter_context(SandboxServer(served, credentials=Credentials.generate(1), **options))

        yield serve


@pytest.fixture
def signed() -> Iterator[SignedSession]:
    """A session of requests-oauthlib, an independent signer; single secrets can be replaced."""
    with ExitStack() as stack:

        def signed(server: SandboxServer, **others: str) -> requests.Session:
            session = stack.enter_context(requests.Session())
            session.trust_env = False
            secrets = vars(server.credentials) | others
            session.auth = OAuth1(
                secrets["consumer_key"],
                secrets["consumer_secret"],
                secrets["token_value"],
                secrets["token_secret"],
            )
            return session

        yield signed
