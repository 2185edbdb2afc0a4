"""The desk while Postgres goes away and comes back."""

from __future__ import annotations

import os
import signal
from threading import Thread

import pytest

from bl_pipeline_tests.conftest import MakeSettings
from bl_pipeline_tests.desk.conftest import OpenDesk
from bl_pipeline_tests.support.clusters import cluster, new_home
from bl_pipeline_tests.support.waiting import wait_until

pytestmark = pytest.mark.slow


def test_an_embedded_postgres_that_is_killed_is_used_again(make_settings: MakeSettings, open_desk: OpenDesk) -> None:
    """Planted: a pool that is kept after its server has gone."""
    with new_home() as home:
        client = open_desk(make_settings(bl_home=home, bl_database_url=None))
        assert client.get("/").status_code == 200
        pid, _ = cluster(home).postmaster() or (0, 0)
        assert pid
        os.kill(pid, signal.SIGKILL)

        answers = []

        def answered() -> bool:
            answers.append(client.get("/"))
            return answers[-1].status_code == 200

        wait_until(answered)
        # Until then nothing but a page that says what is wrong, and what to do.
        assert {answer.status_code for answer in answers} <= {200, 503}
        assert all("Try again" in answer.text for answer in answers if answer.status_code == 503)
        client.app.state.desks.only.source.close()  # type: ignore[attr-defined]


def test_two_browsers_at_once(make_settings: MakeSettings, open_desk: OpenDesk, database_url: str) -> None:
    """More requests at a time than the pool has connections."""
    client = open_desk(make_settings())
    found: list[int] = []
    threads = [Thread(target=lambda: found.append(client.get("/").status_code)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [200] * 40
