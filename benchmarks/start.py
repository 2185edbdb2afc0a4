"""Start: whole processes of `bl` with next to nothing to do, beside an empty Dagster job of one op.

The empty job is a Python file that imports Dagster and runs the job in its own process, with a history on disk: the
least that a run of Dagster costs from a shell.
"""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from statistics import median

import psycopg

from benchmarks import api, product
from benchmarks.frame import Bench, Figures, Result, Table, ratios, spread
from benchmarks.orders import check
from benchmarks.processes import clean_environment, run

ORDERS = 50
REPEATS = 3

_EMPTY_JOB = '''
import dagster as dg

@dg.op
def nothing() -> None:
    """Does it."""

@dg.job
def empty() -> None:
    nothing()

with dg.DagsterInstance.get() as instance:
    assert empty.execute_in_process(instance=instance).success
'''


def measure(bench: Bench) -> Result:
    """On a small store that has been synced."""
    size = bench.size(ORDERS)
    path, sums = bench.store(size)
    home = bench.server.folder / "start"
    job = home / "empty_job.py"
    (home / "dagster").mkdir(parents=True)
    (home / "dagster" / "dagster.yaml").touch()
    job.write_text(_EMPTY_JOB)
    dagster = clean_environment(DAGSTER_HOME=str(home / "dagster"))
    run([sys.executable, job], dagster)  # makes its history

    tables = bench.server.template("tables", product.make_tables)
    with bench.server.database(tables) as url, api.serve(path) as bricklink:
        environment = product.environment(url, **product.api_environment(bricklink), BL_HOME=str(home / "bl"))
        run([product.BL, "sync"], environment)
        product.check_stored("bl sync", url, sums)

        def sync() -> Figures:
            ended = run([product.BL, "sync", "--json"], environment)
            result = json.loads(ended.output)
            check("calls, orders skipped", (result["api_calls"], result["orders_skipped"]), (2, size))
            return {"seconds": ended.seconds, "mib": ended.peak_mib}

        def command(*words: str | Path) -> Figures:
            ended = run(words, environment)
            assert ended.output
            return {"seconds": ended.seconds, "mib": ended.peak_mib}

        def empty_job() -> Figures:
            ended = run([sys.executable, job], dagster)
            return {"seconds": ended.seconds, "mib": ended.peak_mib}

        found = bench.compare(
            {
                "an empty Dagster job": empty_job,
                "`bl sync`, nothing has changed": sync,
                "`bl status`": partial(command, product.BL, "status"),
                "`bl --help`": partial(command, product.BL, "--help"),
                "`import dagster` alone": partial(
                    command, sys.executable, "-c", "import dagster; print(dagster.__version__)"
                ),
            },
            times=REPEATS,
        )
        events = _event_rows(url)
    empty = found["an empty Dagster job"]["seconds"]
    return Result(
        figures={
            "sync": median(ratios(found["`bl sync`, nothing has changed"]["seconds"], empty)),
            "help": median(found["`bl --help`"]["seconds"]),
            "status": median(found["`bl status`"]["seconds"]),
            "event rows": events,
        },
        tables=[
            Table(
                f"Whole processes, with a store of {size} orders",
                ("process", "seconds", "of an empty Dagster job", "peak memory, MiB"),
                [
                    (name, spread(of["seconds"]), spread(ratios(of["seconds"], empty)), f"{max(of['mib']):,.0f}")
                    for name, of in found.items()
                ],
            )
        ],
    )


def _event_rows(url: str) -> int:
    """Of the last run."""
    with psycopg.connect(url) as connection:
        found = connection.execute(
            """
            SELECT count(*) FROM dagster.event_logs
            WHERE run_id = (SELECT run_id FROM dagster.runs ORDER BY id DESC LIMIT 1)
            """
        ).fetchone()
    assert found is not None
    return int(found[0])
