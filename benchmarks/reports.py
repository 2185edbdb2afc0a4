"""Reports: how long each takes to read in a large store, and until they are current after a sync.

The store is made by Postgres itself. Some of its orders are then changed at BrickLink, and a run fetches and loads
these; the reports are current when they show what it has loaded. Each is read as `bl report` reads it. In the end every
report is compared, row by row, with what its SELECT in sql/ says of the sales.
"""

from __future__ import annotations

from functools import partial
from statistics import median

from benchmarks import api, product
from benchmarks.frame import Bars, Bench, Figures, Result, Table, spread
from benchmarks.growth import moved
from benchmarks.orders import WrongResult, check
from benchmarks.processes import call

ORDERS = 1_000_000
CHANGED = 100


def measure(bench: Bench) -> Result:
    """All in one warehouse, in which every round changes other orders."""
    size = bench.size(ORDERS)
    path, _ = bench.store(CHANGED)
    server = bench.server
    tables = server.template("tables", product.make_tables)
    bench.say(f"making a warehouse of {size:,} orders")
    filled = server.template(f"filled_{size}", partial(product.fill, orders=size), of=tables)
    rounds = iter(range(bench.rounds))
    with server.database(filled) as url:

        def change() -> Figures:
            changed = server.folder / "changed.tsv"
            order_ids = moved(path, changed, size, next(rounds), CHANGED)
            with api.serve(changed) as bricklink:
                found, _ = call(product.refresh_and_read, url, bricklink, order_ids)
            check("orders updated", found["updated"], CHANGED)
            return {"run": found["seconds"], "current": found["current"]}

        def read() -> Figures:
            found: dict[str, float] = call(product.read_all_reports, url)[0]
            return found

        found = bench.compare({"a sync that changed orders": change, "reports": read})
        wrong: dict[str, int] = call(product.outdated_reports, url)[0]
    if wrong:
        raise WrongResult(f"reports with rows that are not those of the sales: {wrong}")
    changes, reads = found["a sync that changed orders"], found["reports"]
    all_reads = [sum(each) for each in zip(*reads.values(), strict=True)]
    slowest = sorted(reads, key=lambda name: -median(reads[name]))
    return Result(
        figures={
            "current after, seconds": median(changes["current"]),
            "slowest read, seconds": median(reads[slowest[0]]),
        },
        tables=[
            Table(
                f"{CHANGED} changed orders in a store of {size:,} orders with about {5 * size:,} lots",
                ("what", "seconds"),
                [
                    ("run that fetches and loads them, without latency", spread(changes["run"])),
                    (
                        "from its end until revenue by month shows it, connecting and reading included",
                        spread(changes["current"]),
                    ),
                    ("all reports, read one after the other", spread(all_reads)),
                ],
            ),
            Table(
                "The slowest reports",
                ("report", "seconds"),
                [(f"`{each}`", spread(reads[each])) for each in slowest[:8]],
            ),
        ],
        bars=[
            Bars(
                "reports",
                f"Reading a report of {size:,} orders",
                "seconds",
                {each: median(reads[each]) for each in slowest},
            )
        ],
    )
