"""The desk's warehouse: opened once, anew after a failure, and left as it is by a read-only desk."""

from __future__ import annotations

import psycopg
from sqlalchemy import text

from bl_pipeline.desk.source import Source
from bl_pipeline.settings import Settings
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import MakeSettings
from bl_pipeline_tests.desk.conftest import OpenDesk
from bl_pipeline_tests.support.servers import Postgres


def test_it_is_closed_once_for_each_failure(settings: Settings) -> None:
    """Planted: a request that failed late closes what another one has opened since."""
    source = Source(settings)
    first, opened = source.warehouse(), source.opened
    source.close(opened)
    again = source.warehouse()
    assert again.engine is not first.engine
    source.close(opened)
    assert source.warehouse().engine is again.engine
    source.close()
    assert source.opened == 2


def test_a_read_only_desk_makes_nothing(
    make_settings: MakeSettings, open_desk: OpenDesk, warehouse: Warehouse, postgres: Postgres
) -> None:
    """Planted: tables made, or brought up to date, when the desk opens the warehouse."""
    with postgres.database("template1") as empty:
        page = open_desk(make_settings(bl_desk_read_only=True, bl_database_url=empty)).get("/")
        assert (page.status_code, "nothing was synced yet" in page.text) == (503, True)
        with psycopg.connect(empty) as connection:
            assert connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'sync'").fetchone() == (0,)

    older = text("UPDATE sync.alembic_version SET version_num = '0013' RETURNING version_num")
    with warehouse.engine.begin() as connection:
        version = connection.scalar(older)
    page = open_desk(make_settings(bl_desk_read_only=True)).get("/")
    assert (page.status_code, "not up to date" in page.text) == (503, True)
    with warehouse.engine.connect() as connection:
        assert connection.scalar(text("SELECT version_num FROM sync.alembic_version")) == version
