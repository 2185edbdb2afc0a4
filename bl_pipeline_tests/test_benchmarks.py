"""The benchmarks: their page is made from their results, and a fast wrong result is an error."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest

from benchmarks import api, product
from benchmarks.goals import GOALS
from benchmarks.growth import moved
from benchmarks.orders import WrongResult, make, read
from benchmarks.page import BEGIN, PAGE
from benchmarks.page import generated as written
from benchmarks.page import read as kept
from benchmarks.processes import ProcessFailed, call, clean_environment, run
from bl_pipeline_tests.test_project import PROJECT, PYPROJECT, locked

FOLDER = PROJECT / "benchmarks"
LOCK = (FOLDER / "requirements.lock").read_text()


def test_the_page_is_what_the_results_say() -> None:
    """Planted: a figure changed by hand in the page."""
    assert PAGE.read_text().partition(BEGIN)[2].strip() == (written(kept()) if kept() else "").strip()


def test_each_result_has_the_figures_of_its_goals() -> None:
    for goal in GOALS:
        if goal.topic in kept():
            assert goal.figure in kept()[goal.topic].result.figures


def allocate(mib: int) -> int:
    """Have so much memory for a moment, in this process and in a child."""
    code = f"import time; memory = bytearray({mib} << 20); time.sleep(0.3)"
    child = subprocess.Popen([sys.executable, "-c", code])
    memory = bytearray(mib << 20)
    time.sleep(0.3)
    del memory
    return child.wait()


@pytest.mark.slow
def test_the_peak_is_that_of_a_process_and_its_children() -> None:
    """Also if the memory was given back. Planted: only the process itself; only what it has at the end."""
    exit_code, ended = call(allocate, 300)
    assert exit_code == 0
    assert ended.seconds > 0.3
    assert 600 < ended.peak_mib < 1200


def test_a_process_that_fails_is_an_error() -> None:
    with pytest.raises(ProcessFailed, match="ZeroDivisionError"):
        run([sys.executable, "-c", "1 / 0"], clean_environment())


def test_the_competitors_have_a_lock_of_their_own() -> None:
    """With hashes and without an index, and none of them is a dependency of the product."""
    assert re.findall(r"https?://|file:|--(?:extra-)?index-url|--find-links", LOCK) == []
    packages = re.findall(r"^([a-z][\w.-]*)==.*\\\n +--hash=sha256:", LOCK, re.MULTILINE)
    assert len(packages) == len(re.findall(r"^[a-z][\w.-]*==", LOCK, re.MULTILINE)) > 10
    assert "dlt" in packages
    assert "dlt" not in locked()
    assert "benchmarks" not in str(PYPROJECT["tool"]["hatch"])


@pytest.mark.parametrize(
    "damage",
    [
        "DELETE FROM sales.order_items WHERE ctid = (SELECT min(ctid) FROM sales.order_items)",
        "UPDATE sales.order_items SET total_price = total_price + 0.0001"
        " WHERE ctid = (SELECT min(ctid) FROM sales.order_items)",
        "UPDATE sales.orders SET final_total = final_total - 0.0001 WHERE ctid = (SELECT min(ctid) FROM sales.orders)",
        "DELETE FROM sync.order_state WHERE ctid = (SELECT min(ctid) FROM sync.order_state)",
    ],
)
def test_a_wrong_result_is_an_error(database_url: str, tmp_path: Path, damage: str) -> None:
    """Whatever way has loaded it: a lot too few, a ten-thousandth too much, a state that is not there."""
    sums = make(tmp_path / "orders", 20)
    product.land(database_url, read(tmp_path / "orders"))
    assert product.rebuild(database_url)[0] == 20
    product.check_stored("rebuild", database_url, sums)
    with psycopg.connect(database_url) as connection:
        connection.execute(damage.encode())
    with pytest.raises(WrongResult):
        product.check_stored("rebuild", database_url, sums)


@pytest.mark.slow
def test_orders_of_a_store_that_postgres_has_made_can_change(database_url: str, tmp_path: Path) -> None:
    """Caught: answers that could not land, because their numbers were taken."""
    make(tmp_path / "orders", 5)
    product.fill(database_url, 100)
    order_ids = moved(tmp_path / "orders", tmp_path / "changed", 100, 0, 5)
    with api.serve(tmp_path / "changed") as bricklink:
        found = product.refresh(database_url, bricklink, order_ids)
    assert (found["updated"], found["calls"]) == (5, 10)


@pytest.mark.slow
def test_an_outdated_report_is_found(database_url: str, tmp_path: Path) -> None:
    make(tmp_path / "orders", 20)
    product.land(database_url, read(tmp_path / "orders"))
    product.rebuild(database_url)
    product.make_tables(database_url)
    assert product.outdated_reports(database_url) == {}
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT pg_get_viewdef('reports.revenue_by_country')").fetchone()
        assert row is not None
        old = row[0].rstrip(";")
        connection.execute(
            f"CREATE OR REPLACE VIEW reports.revenue_by_country AS SELECT * FROM ({old}) v OFFSET 1".encode()
        )
    assert product.outdated_reports(database_url) == {"revenue_by_country": 1}
