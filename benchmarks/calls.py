"""Calls: how many a second the client and its bookkeeping sustain, and how near a first sync is to the latency's limit.

BrickLink answers from memory. Each run is a first sync of a store, in a warehouse of its own; its time is that of the
fetch phase, from the first order asked for to the last one loaded, and every call is counted in the ledger before it is
sent.
"""

from __future__ import annotations

from functools import partial
from statistics import median

import psycopg

from benchmarks import api, product
from benchmarks.frame import Bench, Figures, Result, Table, ratios, spread
from benchmarks.orders import check
from benchmarks.processes import call

ORDERS = 2_000
CALLS = 2
"""For each order: itself and its items."""

_LATENCY = 0.1
_WAYS = {
    "no latency, 4 in flight": (0.0, 4),
    "100 ms, 4 in flight": (_LATENCY, 4),
    "100 ms, 32 in flight": (_LATENCY, 32),
}


def measure(bench: Bench) -> Result:
    """Without latency, and with it."""
    size = bench.size(ORDERS)
    path, sums = bench.store(size)
    tables = bench.server.template("tables", product.make_tables)

    def first_sync(latency: float, in_flight: int) -> Figures:
        with bench.server.database(tables) as url, api.serve(path, latency) as bricklink:
            fetched, ended = call(product.fetch_all, url, bricklink, in_flight)
            product.check_stored("first sync", url, sums)
            with psycopg.connect(url) as connection:
                ledger = connection.execute(
                    """
                    SELECT (SELECT count(*) FROM sync.api_calls WHERE outcome = 'ok'),
                        (SELECT count(*) FROM landing.documents)
                    """
                ).fetchone()
            check("calls in the ledger, answers landed", ledger, (CALLS * size + 2, CALLS * size))
        check("calls of the run", fetched["calls"], CALLS * size + 2)
        return {"seconds": fetched["seconds"], "mib": ended.peak_mib}

    found = bench.compare({name: partial(first_sync, *way) for name, way in _WAYS.items()})
    calls = CALLS * size
    bounds = {name: calls * latency / in_flight for name, (latency, in_flight) in _WAYS.items()}
    of_bound = {name: ratios(found[name]["seconds"], [bound] * bench.rounds) for name, bound in bounds.items() if bound}
    a_second = [calls / seconds for seconds in found["no latency, 4 in flight"]["seconds"]]
    return Result(
        figures={
            "calls/s": median(a_second),
            "4 in flight": median(of_bound["100 ms, 4 in flight"]),
            "32 in flight": median(of_bound["100 ms, 32 in flight"]),
        },
        tables=[
            Table(
                f"Fetch phase of a first sync, {size:,} orders, {calls:,} calls",
                ("BrickLink", "seconds", "calls/s", "of calls x latency / in flight", "peak memory, MiB"),
                [
                    (
                        name,
                        spread(of["seconds"]),
                        f"{calls / median(of['seconds']):,.0f}",
                        spread(of_bound[name], ".3f") if name in of_bound else "",
                        f"{max(of['mib']):,.0f}",
                    )
                    for name, of in found.items()
                ],
            )
        ],
    )
