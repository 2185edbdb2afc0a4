"""The schema of Dagster's history, which the first process makes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import inspect
from sqlalchemy.engine import make_url

from bl_pipeline.defs.storage import _prepare, make_schema
from bl_pipeline.warehouse.connections import open_engine
from bl_pipeline.warehouse.preconditions import DAGSTER_SCHEMA
from bl_pipeline_tests.support.waiting import wait_until
from bl_pipeline_tests.warehouse.test_lease import somebody_waits


def test_processes_that_come_at_once_make_the_schema_once(empty_database_url: str) -> None:
    """As a webserver and a daemon do. Planted: the second does not wait, and says that Postgres cannot be reached."""
    engine = open_engine(empty_database_url)
    with ThreadPoolExecutor(1) as pool, engine.connect() as connection:
        make_schema(connection)
        second = pool.submit(_prepare, make_url(empty_database_url))
        wait_until(lambda: somebody_waits(connection) or second.done())
        connection.commit()
        second.result()
        _prepare(make_url(empty_database_url))
        assert DAGSTER_SCHEMA in inspect(connection).get_schema_names()
    engine.dispose()
