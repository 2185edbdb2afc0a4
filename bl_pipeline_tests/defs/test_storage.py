"""The schema of Dagster's history, which the first process makes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import inspect
from sqlalchemy.engine import make_url

from bl_pipeline.defs.storage import WarehouseStorage, _prepare, make_schema
from bl_pipeline.warehouse.connections import open_engine
from bl_pipeline.warehouse.preconditions import DAGSTER_SCHEMA
from bl_pipeline_tests.support.servers import Postgres
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


def test_a_server_that_starts_anew_is_waited_for(
    isolated: pytest.MonkeyPatch, postgres: Postgres, empty_database_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Planted: the first refusal ends the process, and with it `bl up`."""
    isolated.setenv("BL_DATABASE_URL", empty_database_url)
    name = make_url(empty_database_url).database
    with psycopg.connect(postgres.admin_url, autocommit=True) as admin, ThreadPoolExecutor(1) as pool:
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        opened = pool.submit(WarehouseStorage.from_config_value, None, {})
        wait_until(lambda: "Retrying" in caplog.text or opened.done())
        admin.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
        assert opened.result().run_storage.get_run_records() == []
    assert "not currently accepting connections" in caplog.text
