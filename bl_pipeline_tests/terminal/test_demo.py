"""`bl demo` and `bl up --demo`: a world of their own, and nothing left of it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.request import Request, urlopen

import psycopg
import pytest

from bl_pipeline.postgres import embedded
from bl_pipeline.terminal.demo_world import demo_world
from bl_pipeline_tests.support.waiting import wait_until
from bl_pipeline_tests.terminal.conftest import BL, free_port, processes_of

pytestmark = pytest.mark.slow

EXAMPLE = Path(__file__).parents[2] / "examples" / "graphql_sync.py"
SELLERS = {
    "BL_DATABASE_URL": "postgresql://seller:hunter2@127.0.0.1:1/nowhere",
    "BL_STORE": "sellers",
    "BL_DAILY_CALL_LIMIT": "1",
    "BL_CALL_RESERVE": "1",
    "BRICKLINK_API_URL": "http://127.0.0.1:1/real",
    "BRICKLINK_CONSUMER_KEY": "sellerskey",
    "BRICKLINK_CONSUMER_SECRET": "sellersconsumersecret",
    "BRICKLINK_TOKEN_VALUE": "sellerstoken",
    "BRICKLINK_TOKEN_SECRET": "sellerstokensecret",
}


@pytest.fixture
def seller(isolated: pytest.MonkeyPatch, home: Path) -> None:
    """A seller's settings, half of them in the environment and half in a `.env` file."""
    isolated.setenv("BL_HOME", str(home))
    isolated.setenv("COLUMNS", "100")
    half = len(SELLERS) // 2
    for name, value in list(SELLERS.items())[:half]:
        isolated.setenv(name, value)
    Path(".env").write_text("".join(f"{name}={value}\n" for name, value in list(SELLERS.items())[half:]))


Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a process, which does not outlive a test that fails."""
    with ExitStack() as stack:

        def begin(*command: str) -> subprocess.Popen[str]:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            stack.callback(process.communicate)
            stack.callback(process.terminate)
            return process

        yield begin


def databases(home: Path) -> list[str]:
    with embedded.acquire(home) as lease, psycopg.connect(lease.url) as connection:
        rows = connection.execute("SELECT datname FROM pg_database WHERE datname LIKE 'bl_demo%'").fetchall()
    return [name for (name,) in rows]


def test_the_demo_shows_each_step_and_leaves_nothing(start: Start, seller: None, home: Path) -> None:
    process = start(*BL, "demo")
    stdout, stderr = process.communicate(timeout=280)
    assert process.returncode == 0, stdout + stderr
    assert processes_of(home) == []
    lines = [line.strip() for line in stdout.splitlines()]
    assert lines.index("300 created, 0 updated, 0 skipped") < lines.index("5 created, 12 updated, 283 skipped")
    assert any(line.startswith("602 API calls in ") for line in lines)
    assert "Unfiled orders only, as filed ones seldom change: 1 call for the list," in lines
    assert sum(line.startswith("BL-") and "processing" in line for line in lines) > 0
    assert "bl status, bl orders and bl report show your own warehouse, and nothing of this demo." in lines
    for text in ("bl orders --limit 10", "Subtotal", "Seen (UTC)", "Revenue by month", "█", "bl up --demo"):
        assert text in stdout
    assert "BRICKLINK_TOKEN_SECRET=..." in lines
    said = stdout + stderr
    assert "Traceback" not in said
    assert "\x1b" not in said
    assert max(map(len, lines)) <= 100
    assert not any(value in said for name, value in SELLERS.items() if len(value) > 7 and name != "BL_STORE")
    assert databases(home) == []
    assert list((home / "demo").iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_ended_leaves_nothing(start: Start, seller: None, home: Path, number: signal.Signals) -> None:
    process = start(*BL, "demo")
    assert process.stderr is not None
    assert process.stderr.readline() == "Fetching 300 orders ...\n"
    process.send_signal(number)
    _, stderr = process.communicate(timeout=240)
    assert process.returncode == 1
    assert "Traceback" not in stderr
    assert "Canceled" in stderr
    assert processes_of(home) == []
    assert databases(home) == []


def test_the_next_demo_clears_away_what_a_killed_one_left(start: Start, seller: None, home: Path) -> None:
    script = (
        "import time\n"
        "from bl_pipeline.terminal.demo_world import demo_world\n"
        "with demo_world(orders=3):\n"
        "    print('there', flush=True)\n"
        "    time.sleep(600)\n"
    )
    process = start(sys.executable, "-c", script)
    assert process.stdout is not None
    assert process.stdout.readline() == "there\n"
    process.kill()
    process.wait()
    (left,) = databases(home)
    with demo_world(orders=3) as world:
        assert world.settings.bl_store == "demo"
        assert databases(home) == [world.folder.name]
        assert left != world.folder.name
        assert [path.name for path in (home / "demo").iterdir()] == [world.folder.name]
        # Two at once do not take each other's database for a dead one's.
        with demo_world(orders=3) as other:
            assert sorted(databases(home)) == sorted([world.folder.name, other.folder.name])
    assert databases(home) == []
    assert os.environ["BL_STORE"] == SELLERS["BL_STORE"]
    wait_until(lambda: processes_of(home) == [])


@pytest.mark.timeout(600)
def test_up_shows_the_demo_store_and_stops_all_it_started(start: Start, seller: None, home: Path) -> None:
    port = free_port()
    process = start(*BL, "up", "--demo", "--port", str(port), "--desk-port", str(free_port()))
    assert process.stdout is not None
    lines: list[str] = []
    while not lines or "Ctrl-C" not in lines[-1]:
        lines.append(process.stdout.readline())
        assert lines[-1], (lines, process.communicate())
    assert f"http://127.0.0.1:{port}" in "".join(lines)
    query = '{ schedulesOrError(repositorySelector: {repositoryName: "__repository__", '
    query += (
        'repositoryLocationName: "bl_pipeline"}) { ... on Schedules { results { name scheduleState { status } } } } }'
    )
    request = Request(
        f"http://127.0.0.1:{port}/graphql",
        json.dumps({"query": query}).encode(),
        {"Content-Type": "application/json"},
    )
    with urlopen(request, timeout=240) as answer:
        schedules = json.load(answer)["data"]["schedulesOrError"]["results"]
    assert {"name": "sync_orders_schedule", "scheduleState": {"status": "RUNNING"}} in schedules
    second = subprocess.run(
        [*BL, "up", "--port", str(port), "--desk-port", str(free_port())], capture_output=True, text=True, check=False
    )
    assert (second.returncode, second.stdout) == (1, "")
    assert f"Port {port} is in use" in second.stderr
    subprocess.run([sys.executable, EXAMPLE, "--url", f"http://127.0.0.1:{port}"], capture_output=True, check=True)
    # A seller looks at it with the commands, as the last lines say.
    (variables,) = [Path(line.split()[1]) for line in lines if line.startswith("  source ")]
    assert variables.stat().st_mode & 0o077 == 0
    typed = f'. {variables}; exec "$0" "$@"'
    orders = subprocess.run(
        ["sh", "-c", typed, *BL, "orders", "--limit", "400", "--json"], capture_output=True, check=True
    )
    assert len(json.loads(orders.stdout)) == 300
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate(timeout=240)
    assert process.returncode == 0, stderr
    assert not variables.exists()
    assert stdout.endswith("Stopped.\n")
    # A line a batch of orders; all that Dagster notes of a run is for the UI.
    assert stderr.count(" - 300 created\n") == 1
    assert " - DEBUG - " not in stderr
    assert processes_of(home) == []
    assert databases(home) == []


def test_up_without_credentials_hints_at_the_demo(isolated: pytest.MonkeyPatch, tmp_path: Path) -> None:
    isolated.setenv("BL_HOME", str(tmp_path))
    done = subprocess.run(
        [*BL, "up", "--port", str(free_port()), "--desk-port", str(free_port())],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "BRICKLINK_CONSUMER_KEY" in done.stderr
    assert "bl up --demo" in done.stderr
