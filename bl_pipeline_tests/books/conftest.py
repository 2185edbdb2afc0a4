"""A warehouse without orders, into whose history a test writes states, and the journal that has to come of them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bl_pipeline.settings import load_settings
from bl_pipeline.warehouse.database import Warehouse, open_warehouse
from bl_pipeline_tests.support.servers import TEMPLATE, Postgres


@pytest.fixture
def books(postgres: Postgres) -> Iterator[Warehouse]:
    """A warehouse of its own, without orders."""
    with (
        postgres.database(TEMPLATE) as url,
        open_warehouse(load_settings(env_file=None, bl_database_url=url, bl_store="main")) as warehouse,
    ):
        yield warehouse
