"""Unchanged: a sync of a large store in which nothing has changed since the last one, and one in which 1 % has.

BrickLink answers the two lists from memory. What is read, compared and noted is all that the product does. The engine's
time is that of a sync from its first step to its last; the whole process is `bl sync`, with Dagster and its history.
"""

from __future__ import annotations

import json
import re
from statistics import median

import psycopg

from benchmarks import api, product
from benchmarks.frame import Bench, Figures, Result, Table, spread
from benchmarks.orders import Line, check, read
from benchmarks.processes import call, run

ORDERS = 100_000
CHANGED = 100
"""One order in so many."""

_RUN = ("sync.runs", "sync.api_calls", "sync.call_reservations")
"""Where a run notes itself and its calls."""


def measure(bench: Bench) -> Result:
    """Each with a copy of the same warehouse."""
    size = bench.size(ORDERS)
    path, sums = bench.store(size)
    server = bench.server
    tables = server.template("tables", product.make_tables)
    landed = server.template(f"landed_{size}", lambda url: product.land(url, read(path)), of=tables)
    changed_path = server.folder / f"orders-{size}-changed.tsv"
    with changed_path.open("wb") as file:
        for number, line in enumerate(read(path)):
            file.write(b"\t".join(_changed(line) if number % CHANGED == 0 else line) + b"\n")
    changed = -(-size // CHANGED)
    written: dict[str, int] = {}

    with api.serve(path) as same, api.serve(changed_path) as moved:
        environment = product.api_environment(same) | {"BL_HOME": str(server.folder / "unchanged")}

        def sync_once(url: str) -> None:
            product.rebuild(url)
            # Autovacuum would do it within a minute or two.
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("VACUUM (ANALYZE)")
            run([product.BL, "sync"], product.environment(url, **environment))
            product.check_stored("bl sync", url, sums)

        synced = server.template(f"synced_{size}", sync_once, of=landed)

        def engine() -> Figures:
            with server.database(synced) as url:
                before = _written(url)
                found, ended = call(product.sync, url, same)
                check("calls, orders skipped", (found["calls"], found["skipped"]), (2, size))
                for table, rows in _written(url).items():
                    if rows != before[table]:
                        written[table] = written.get(table, 0) + rows - before[table]
                product.check_stored("sync", url, sums)
            return {"seconds": found["seconds"], "mib": ended.peak_mib}

        def command() -> Figures:
            with server.database(synced) as url:
                ended = run([product.BL, "sync", "--json"], product.environment(url, **environment))
                result = json.loads(ended.output)
                check("calls, orders skipped", (result["api_calls"], result["orders_skipped"]), (2, size))
            return {"seconds": ended.seconds, "mib": ended.peak_mib}

        def one_per_cent() -> Figures:
            with server.database(synced) as url:
                found, ended = call(product.list_and_plan, url, moved)
                check("orders to fetch", found["to_fetch"], changed)
            return {
                "seconds": found["asked"] + found["compared"],
                "compared": found["compared"],
                "mib": ended.peak_mib,
            }

        found = bench.compare({"engine": engine, "`bl sync`": command, "1 %": one_per_cent})
    ways = {
        "sync by the engine: 2 lists, comparing, bookkeeping": found["engine"],
        "`bl sync`, whole process": found["`bl sync`"],
        "1 % changed: 2 lists, comparing, plan": found["1 %"],
        "1 % changed: of it comparing and plan": {"seconds": found["1 %"]["compared"], "mib": found["1 %"]["mib"]},
    }
    return Result(
        figures={
            "calls": 2,
            "seconds": median(found["engine"]["seconds"]),
            "MiB": max(*found["engine"]["mib"], *found["`bl sync`"]["mib"]),
            "rows written": sum(rows for table, rows in written.items() if table not in _RUN) / bench.rounds,
            "1 % changed, seconds": median(found["1 %"]["compared"]),
        },
        tables=[
            Table(
                f"A store of {size:,} orders, synced before",
                ("what", "seconds", "peak memory, MiB"),
                [(name, spread(of["seconds"]), f"{max(of['mib']):,.0f}") for name, of in ways.items()],
            ),
            Table(
                "Rows that the sync of the unchanged store has inserted, updated or deleted",
                ("table", "rows"),
                [(f"`{table}`", f"{rows / bench.rounds:,.0f}") for table, rows in sorted(written.items())],
            ),
        ],
    )


def _changed(line: Line) -> Line:
    """The same order after its status has changed."""
    later = (
        re.sub(rb'"date_status_changed":"[^"]*"', b'"date_status_changed":"2026-11-01T12:00:00.000Z"', part)
        for part in line
    )
    return Line(*later)


def _written(url: str) -> dict[str, int]:
    """Rows ever written, by table."""
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            """
            SELECT schemaname || '.' || relname, n_tup_ins + n_tup_upd + n_tup_del FROM pg_stat_user_tables
            WHERE schemaname IN ('landing', 'sales', 'sync', 'books', 'reports')
            """
        ).fetchall()
    return {str(table): int(count) for table, count in rows}
