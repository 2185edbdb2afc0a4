"""What the tests of reliability share: a world of a store."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bl_pipeline_tests.support.world import RememberingStore, World, new_world


@pytest.fixture
def world(store: RememberingStore, database_url: str) -> Iterator[World]:
    """The store of the module, and an empty warehouse."""
    with new_world(store, database_url) as world:
        yield world
