"""Memory: what `bl up` has at rest, process by process, and what is left if a seller switches parts of it off.

It is the proportional set size: what a process has alone, and its share of what it has with others, so that the
figures add up. The store is synced, the schedule is on, and nothing runs.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from benchmarks import api, product
from benchmarks.frame import Bars, Bench, Result, Table
from benchmarks.orders import WrongResult, check
from benchmarks.processes import clean_environment, family, run

ORDERS = 1_000
_PATIENCE = 180.0
_AT_REST = 20.0
"""Seconds without a request before memory is read."""

_PARTS = {
    "code-server": "Dagster's code server",
    "api grpc": "Dagster's code server",
    "dagster._daemon": "Dagster's daemon: schedule, messages",
    "bl_pipeline.terminal.web": "Dagster UI",
    "bl_pipeline.desk.serving": "orders desk",
    "bl_pipeline.postgres.keeper": "Postgres",
    "postgres": "Postgres",
}
"""By a word of the command line; the first that is in it."""
_RUNS = ("execute_run", "spawn_main")
"""Words of the command line of a run, which a code server starts as a process of multiprocessing."""
_REST = "`bl` itself, which watches the others"


def measure(bench: Bench) -> Result:
    """`bl up`, then `bl desk` alone, each with the embedded Postgres."""
    size = bench.size(ORDERS)
    path, _ = bench.store(size)
    home = bench.server.folder / "memory"
    with api.serve(path) as bricklink:
        environment = clean_environment(BL_HOME=str(home), **product.api_environment(bricklink))
        synced = json.loads(run([product.BL, "sync", "--json"], environment).output)
        check("orders created", synced["orders_created"], size)
        desk, ui = _free_port(), _free_port()
        up = ["up", "--port", str(ui), "--desk-port", str(desk)]
        whole = _at_rest(up, environment, home, [f"{desk}/orders", f"{ui}/server_info"])
        desk_only = _at_rest(["desk", "--port", str(desk)], environment, home, [f"{desk}/orders"])
    total, of_desk = sum(whole.values()), sum(desk_only.values())
    return Result(
        figures={"MiB": total, "desk alone, MiB": of_desk},
        tables=[
            Table(
                f"`bl up` at rest, a store of {size:,} orders",
                ("process", "memory, MiB"),
                [
                    *((part, f"{mib:,.0f}") for part, mib in sorted(whole.items(), key=lambda each: -each[1])),
                    ("**together**", f"**{total:,.0f}**"),
                ],
            ),
            Table(
                "What a seller can switch off",
                ("way of working", "memory at rest, MiB"),
                [
                    ("`bl up`: desk, Dagster UI, schedule", f"{total:,.0f}"),
                    ("`bl desk`, and `bl sync` from cron", f"{of_desk:,.0f}"),
                    ("`bl sync` from cron; reading with `bl`", "nothing runs"),
                ],
            ),
        ],
        bars=[Bars("memory", "bl up at rest", "MiB", dict(sorted(whole.items(), key=lambda each: -each[1])))],
    )


def _at_rest(
    words: Sequence[str], environment: Mapping[str, str], home: Path, addresses: Sequence[str]
) -> dict[str, float]:
    """MiB by part of a service that has answered at its addresses, and then was left alone."""
    with _service(words, environment) as process:
        for address in addresses:
            _wait_for(process, address)
        time.sleep(_AT_REST)
        while any(word in _command(pid) for pid in family(process.pid) for word in _RUNS):
            time.sleep(_AT_REST)  # the schedule has started a sync, or the reports are read again
        found: dict[str, float] = {}
        for pid in {*family(process.pid), *_postgres(home)}:
            with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
                part = _part(pid)
                found[part] = found.get(part, 0) + _pss_mib(pid)
    if "Postgres" not in found or ("orders desk" not in found and words[0] == "up"):
        raise WrongResult(f"memory of {' '.join(words)}: found only {', '.join(found)}")
    return found


@contextmanager
def _service(words: Sequence[str], environment: Mapping[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    folder = Path(environment["BL_HOME"])
    with (folder / "bench.log").open("wb") as log:
        process = subprocess.Popen(
            [product.BL, *words], cwd=folder, env={"HOME": str(folder), **environment}, stdout=log, stderr=log
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait()


def _wait_for(process: subprocess.Popen[bytes], address: str) -> None:
    until = time.monotonic() + _PATIENCE
    while process.poll() is None and time.monotonic() < until:
        with suppress(OSError), closing(urllib.request.urlopen(f"http://127.0.0.1:{address}", timeout=10)):
            return
        time.sleep(0.5)
    raise WrongResult(f"no answer from {address}")


def _postgres(home: Path) -> Iterator[int]:
    """The embedded Postgres: the process that started it, which nobody waits for, and its own."""
    server = int((home / "postgres" / "data" / "postmaster.pid").read_text().splitlines()[0])
    keeper = int(Path(f"/proc/{server}/stat").read_text().rpartition(")")[2].split()[1])
    yield from family(keeper if "keeper" in _command(keeper) else server)


def _part(pid: int) -> str:
    return next((part for word, part in _PARTS.items() if word in _command(pid)), _REST)


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()


def _pss_mib(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1024


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
