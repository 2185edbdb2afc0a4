"""Terminals that are not UTF-8: other signs, exit 0, and never an error."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
from pathlib import Path

import psycopg
import pytest

from bl_pipeline.sandbox import Store
from bl_pipeline.terminal.console import forget_impossible_width
from bl_pipeline.terminal.encoding import plain
from bl_pipeline_tests.terminal.conftest import BL, Bl

pytestmark = pytest.mark.slow

NAME = "Chloé Łukasz 大阪 😀"


def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    """`bl` in a process of its own, in this environment except the variables given."""
    return subprocess.run([*BL, *arguments], env={**os.environ, **variables}, capture_output=True, check=False)


@pytest.fixture
def order_id(synced_bl: Bl, store: Store) -> str:
    """An order whose buyer has a name that no old encoding has."""
    order_id = str(max(store.sales))
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        connection.execute("UPDATE sales.orders SET buyer_name = %s WHERE platform_order_id = %s", [NAME, order_id])
    return order_id


@pytest.mark.parametrize(
    ("variables", "encoding", "name"),
    [
        ({"PYTHONIOENCODING": "latin-1"}, "latin-1", "Chloé ?ukasz ?? ?"),
        ({"PYTHONIOENCODING": "ascii"}, "ascii", "Chloe ?ukasz ?? ?"),
        ({"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, "ascii", "Chloe ?ukasz ?? ?"),
    ],
    ids=["latin-1", "ascii", "LC_ALL=C"],
)
def test_every_command_that_shows_something_does_in_any_terminal(
    order_id: str, variables: dict[str, str], encoding: str, name: str, tmp_path: Path
) -> None:
    shown = {}
    for arguments in (
        ["status"],
        ["orders"],
        ["orders", "--search", "Chloé"],
        ["order", order_id],
        ["report"],
        ["report", "revenue_by_month"],
        ["report", "revenue_by_item"],
        ["sync", "--full"],
    ):
        done = run(*arguments, COLUMNS="140", **variables)
        assert done.returncode == 0, (arguments, done.stderr.decode(encoding))
        assert b"Traceback" not in done.stderr
        shown[" ".join(arguments)] = done.stdout.decode(encoding)
        done.stderr.decode(encoding)
    assert shown["status"].startswith("* synced")
    assert "####" in shown["report revenue_by_month"]
    assert "-----" in shown["orders"]
    for command in ("orders", "orders --search Chloé", f"order {order_id}"):
        assert name in shown[command], command

    as_json = json.loads(run("orders", "--json", **variables).stdout)
    assert as_json[0]["order_date"]
    refused = run("orders", "--status", "größe→", **variables)
    assert (refused.returncode, b"There is no status" in refused.stderr) == (2, True)
    for target in ("-", str(tmp_path / "items.csv")):
        done = run("report", "revenue_items", "--csv", target, **variables)
        assert done.returncode == 0, done.stderr
        text = (done.stdout if target == "-" else (tmp_path / "items.csv").read_bytes()).decode("utf-8")
        assert len(list(csv.reader(io.StringIO(text)))) > 10


def test_json_and_csv_say_names_in_full_in_any_terminal(order_id: str) -> None:
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        connection.execute("UPDATE sales.order_items SET item_name = %s", [NAME])
    ascii_only = {"PYTHONIOENCODING": "ascii"}
    assert json.loads(run("order", order_id, "--json", **ascii_only).stdout)["buyer_name"] == NAME
    written = run("report", "revenue_items", "--csv", "-", **ascii_only).stdout.decode("utf-8")
    assert NAME in {row["item_name"] for row in csv.DictReader(io.StringIO(written))}


def test_a_terminal_of_utf_8_gets_the_signs_themselves(order_id: str) -> None:
    done = run("orders", PYTHONIOENCODING="utf-8")
    assert NAME in done.stdout.decode("utf-8")
    # Bytes of an argument that are no UTF-8 are no reason to fail either.
    refused = subprocess.run(
        [*[part.encode() for part in BL], b"orders", b"--status", b"\xff"], capture_output=True, check=False
    )
    assert (refused.returncode, b"There is no status" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "encoding", "shown"),
    [
        ("● a → b …", "ascii", "* a > b ~"),
        ("█▌▏", "latin-1", "##."),
        ("é Ł 😀", "latin-1", "é ? ?"),
        ("é", "ascii", "e"),
        ("\udcff", "utf-8", "?"),
        ("as it is", "ascii", "as it is"),
    ],
)
def test_signs_are_replaced_by_one_that_is_like_it(text: str, encoding: str, shown: str) -> None:
    assert plain(text, encoding) == shown
    assert len(shown) == len(text), "tables stay aligned"


def test_an_impossible_width_counts_as_not_set(isolated: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Caught: COLUMNS=0 showed nothing, 1 a letter a line, and ² a traceback."""
    isolated.setenv("BL_HOME", str(tmp_path / "nowhere"))
    isolated.delenv("COLUMNS", raising=False)
    for arguments, widths in ((["status"], ("0", "²", "39")), (["--help"], ("0",)), (["nonsense"], ("1",))):
        usual = run(*arguments)
        assert len((usual.stdout + usual.stderr).decode().splitlines()) > 3
        for columns in widths:
            shown = run(*arguments, COLUMNS=columns)
            assert (shown.returncode, shown.stdout, shown.stderr) == (usual.returncode, usual.stdout, usual.stderr)
    for columns in ("", "-5", "wide", "٣٠", "1001", "9" * 5000):
        isolated.setenv("COLUMNS", columns)
        forget_impossible_width()
        assert "COLUMNS" not in os.environ, columns
    isolated.setenv("COLUMNS", "40")
    forget_impossible_width()
    assert os.environ["COLUMNS"] == "40"
