"""Growth: whether a changed order takes longer to fetch and load the more orders are stored.

Each store is made by Postgres itself. Some orders of each are then changed at BrickLink, which answers without latency,
and a run fetches and loads these. Lists are no part of it: their time is that of the store's size, see `unchanged`.
"""

from __future__ import annotations

import math
import re
from functools import partial
from itertools import count
from pathlib import Path
from statistics import linear_regression, median

import psycopg

from benchmarks import api, product
from benchmarks.frame import Bench, Figures, Lines, Result, Table, spread
from benchmarks.orders import Line, Sums, check, read
from benchmarks.processes import call

ORDERS = 1_000_000
SIZES = (1_000, 10_000, 100_000, 1_000_000)
CHANGED = 200


def measure(bench: Bench) -> Result:
    """Each size as often as there are rounds."""
    # A line takes two.
    sizes = [size for size in SIZES if size <= max(bench.size(ORDERS), SIZES[1])]
    path, sums = bench.store(CHANGED)
    tables = bench.server.template("tables", product.make_tables)
    rounds = {size: count() for size in sizes}
    for size in sizes:
        bench.say(f"making a warehouse of {size:,} orders")
        bench.server.template(f"filled_{size}", partial(product.fill, orders=size), of=tables)

    def change(size: int) -> Figures:
        # Others each time: an order that is stored already as it is would cost one call, and no load.
        changed = bench.server.folder / "changed.tsv"
        order_ids = moved(path, changed, size, next(rounds[size]), CHANGED)
        with bench.server.database(f"filled_{size}") as url, api.serve(changed) as bricklink:
            bench.server.settle()
            found, ended = call(product.refresh, url, bricklink, order_ids)
            check("orders updated, calls", (found["updated"], found["calls"]), (CHANGED, 2 * CHANGED))
            _check_stored(url, order_ids, sums)
        return {"milliseconds": 1000 * found["seconds"] / CHANGED, "mib": ended.peak_mib}

    found = bench.compare({f"{size:,}": partial(change, size) for size in sizes})
    points = [(size, median(found[f"{size:,}"]["milliseconds"])) for size in sizes]
    fit = linear_regression(*zip(*((math.log10(size), math.log10(taken)) for size, taken in points), strict=True))
    fitted = [(size, 10 ** (fit.intercept + fit.slope * math.log10(size))) for size in sizes]
    return Result(
        figures={"largest / smallest": points[-1][1] / points[0][1], "exponent": fit.slope},
        tables=[
            Table(
                f"{CHANGED} changed orders, fetched without latency and loaded; time grows with the number of stored "
                f"orders to the power of {fit.slope:.2f}",
                ("stored orders", "milliseconds per changed order", "peak memory, MiB"),
                [(name, spread(of["milliseconds"], ",.1f"), f"{max(of['mib']):,.0f}") for name, of in found.items()],
            )
        ],
        lines=[
            Lines(
                "growth", "Time per changed order", "stored orders", "milliseconds",
                {"measured": points, f"fitted, stored orders to the power of {fit.slope:.2f}": fitted},
            )
        ],
    )  # fmt: skip


def moved(path: Path, to: Path, size: int, number: int, changed: int) -> list[str]:
    """Write the orders of a file as if they were stored ones, all over a store of this size; their ids.

    They are others for each number.
    """
    step = size // changed
    lines = []
    for place, line in enumerate(read(path)):
        order_id = b'{"order_id":%d' % (1 + place * step + number % step)
        lines.append(Line(*(re.sub(rb'^\{"order_id":\d+', order_id, part) for part in line)))
    to.write_bytes(b"".join(b"\t".join(line) + b"\n" for line in lines))
    return [line.order_id for line in lines]


def _check_stored(url: str, order_ids: list[str], sums: Sums) -> None:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            """
            SELECT count(*), (SELECT count(*) FROM sales.order_items WHERE platform_order_id = ANY(%(ids)s)),
                sum(total), sum(final_total),
                (SELECT sum(total_price) FROM sales.order_items WHERE platform_order_id = ANY(%(ids)s))
            FROM sales.orders WHERE platform_order_id = ANY(%(ids)s)
            """,
            {"ids": order_ids},
        ).fetchone()
    assert found is not None
    sums.check("refresh", *found)
