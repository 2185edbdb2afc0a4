"""Load: from BrickLink's JSON to merged tables, beside one COPY of the same rows into bare tables.

The limit is what one connection can do: the finished rows, as text, into tables without keys, indexes and triggers.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import psycopg

from benchmarks import competitors, product
from benchmarks.frame import Bars, Bench, Figures, Result, Table, ratios, spread, timed
from benchmarks.orders import Line, Sums, check, read
from benchmarks.processes import call, run

ORDERS = 100_000
COMPETED = 5
"""The competitors load a fifth of the orders, as the slowest takes minutes for it."""

_COPIES = 3
_BARE = """
CREATE TABLE bare_orders (LIKE sales.orders);
CREATE TABLE bare_items (LIKE sales.order_items);
"""
_TABLES = {"bare_orders": "sales.orders", "bare_items": "sales.order_items"}
"""Bare tables, and those of the product, of the same columns."""


def measure(bench: Bench) -> Result:
    """The product beside the limit, then beside its competitors on a smaller store."""
    size = bench.size(ORDERS)
    path, sums = bench.store(size)
    store = _Store(bench, path, sums)
    found = bench.compare(
        {
            "`bl rebuild`": store.command,
            "rebuild": store.rebuild,
            "limit: COPY into bare tables": partial(store.copy, list(_TABLES)),
            "COPY into the product's tables": partial(store.copy, list(_TABLES.values())),
            "merge from memory": store.merge,
            "normalise": store.normalise,
            "`pandas.json_normalize`": store.json_normalize,
        }
    )
    competed = competitors.measure(bench, max(size // COMPETED, 1))
    of_limit_alone = found["limit: COPY into bare tables"]
    limit, whole_tables = of_limit_alone["seconds"], found["COPY into the product's tables"]
    command, rebuilt, merged = found["`bl rebuild`"], found["rebuild"], found["merge from memory"]
    ways = {
        "limit: text COPY into bare tables": (limit, None),
        "text COPY into the product's own tables, with keys, indexes and triggers": (whole_tables["seconds"], None),
        "`bl rebuild`, whole process": (command["seconds"], command["mib"]),
        "`bl rebuild` without start-up": (rebuilt["new"], rebuilt["mib"]),
        "`bl rebuild` without start-up, of a full warehouse": (rebuilt["full"], rebuilt["mib"]),
        "merge from memory, orders that are new": (merged["new"], None),
        "merge from memory, every row rewritten": (merged["rewritten"], None),
        "merge from memory, nothing differs": (merged["same"], None),
    }
    rows = sums.orders + sums.items
    normalised = [size / seconds for seconds in found["normalise"]["seconds"]]
    plain = [size / seconds for seconds in found["`pandas.json_normalize`"]["seconds"]]
    of_limit = {name: ratios(limit, seconds) for name, (seconds, _) in ways.items()}
    return Result(
        figures={
            "rebuild": median(of_limit["`bl rebuild` without start-up"]),
            "rebuild, whole process": median(of_limit["`bl rebuild`, whole process"]),
            "rebuild, MiB": max(*command["mib"], *rebuilt["mib"]),
            "merge": median(of_limit["merge from memory, orders that are new"]),
            "rewrite": median(of_limit["merge from memory, every row rewritten"]),
            "normalise, orders/s": median(normalised),
            "normalise, x json_normalize": median(ratios(normalised, plain)),
            **competed.figures,
        },
        tables=[
            Table(
                f"{sums.orders:,} orders with {sums.items:,} items into Postgres",
                ("way", "rows/s", "of the limit", "peak memory, MiB"),
                [
                    (
                        name,
                        f"{rows / median(seconds):,.0f}",
                        spread(of_limit[name]),
                        f"{max(memory):,.0f}" if memory else "",
                    )
                    for name, (seconds, memory) in ways.items()
                ],
            ),
            Table(
                "Where the time of `bl rebuild` goes: the whole process, and how long each had a processor",
                ("", "seconds"),
                [
                    ("from start to end", spread(command["seconds"])),
                    ("Python", spread(command["python"])),
                    ("Postgres", spread(command["postgres"])),
                    ("beside it, Postgres for the COPY into bare tables", spread(of_limit_alone["postgres"])),
                    ("beside it, Postgres for the COPY into the product's own", spread(whole_tables["postgres"])),
                ],
            ),
            Table(
                "JSON to DataFrames",
                ("way", "orders/s", "beside `pandas.json_normalize`"),
                [
                    ("the product", f"{median(normalised):,.0f}", spread(ratios(normalised, plain), ".1f")),
                    ("`pandas.json_normalize`", f"{median(plain):,.0f}", "1"),
                ],
            ),
            *competed.tables,
        ],
        bars=[Bars("load", "Rows a second, of the limit", "of the limit", {k: median(v) for k, v in of_limit.items()})],
    )


class _Store:
    """A store in a file and in landing.documents, and the ways to load it."""

    def __init__(self, bench: Bench, path: Path, sums: Sums) -> None:
        self._bench, self._path, self._sums = bench, path, sums
        self._server = bench.server
        self._tables = self._server.template("tables", product.make_tables)
        size = sums.orders
        self._landed = self._server.template(
            f"landed_{size}", lambda url: product.land(url, read(path)), of=self._tables
        )

    def command(self) -> Figures:
        """The whole process of the command, from what has landed into empty tables."""
        with self._server.database(self._landed) as url:
            before = self._server.cpu_seconds()
            ended = run([product.BL, "rebuild"], product.environment(url))
            of_postgres = self._server.cpu_seconds() - before
            product.check_stored("bl rebuild", url, self._sums)
            self._export(url)
        return {
            "seconds": ended.seconds, "mib": ended.peak_mib, "python": ended.cpu_seconds, "postgres": of_postgres
        }  # fmt: skip

    def rebuild(self) -> Figures:
        """The same without start-up, and once more over full tables."""
        with self._server.database(self._landed) as url:
            seconds, ended = call(rebuild_twice, url, self._path, self._sums.orders)
            product.check_stored("rebuild of a full warehouse", url, self._sums)
        return {**seconds, "mib": ended.peak_mib}

    def copy(self, tables: Sequence[str]) -> Figures:
        """The rows that the rebuild has made, into the tables for orders and for items.

        The medians of some copies: one takes seconds, so a noisy moment could be all of it.
        """
        copies = [self._copy(tables) for _ in range(_COPIES)]
        return {name: median(copy[name] for copy in copies) for name in copies[0]}

    def _copy(self, tables: Sequence[str]) -> Figures:
        """By one connection in one transaction."""
        self._server.settle()
        with self._server.database(self._tables) as url, psycopg.connect(url) as connection:
            connection.execute(_BARE)
            connection.commit()  # in the transaction that made the tables, COPY would not write a log
            before = self._server.cpu_seconds()
            with timed() as seconds:
                for bare, table in zip(_TABLES, tables, strict=True):
                    with (
                        connection.cursor().copy(f"COPY {table} FROM STDIN".encode()) as copy,
                        self._file(bare).open("rb") as file,
                    ):
                        while block := file.read(1 << 18):
                            copy.write(block)
                connection.commit()
            of_postgres = self._server.cpu_seconds() - before
            sums = connection.execute(
                f"""
                SELECT count(*), (SELECT count(*) FROM {tables[1]}), sum(total), sum(final_total),
                    (SELECT sum(total_price) FROM {tables[1]})
                FROM {tables[0]}
                """.encode()
            ).fetchone()
        assert sums is not None
        self._sums.check("COPY", *sums)
        return {"seconds": seconds[0], "postgres": of_postgres}

    def merge(self) -> Figures:
        """The product's loader with frames that are ready."""
        with self._server.database(self._landed) as url:
            figures, _ = call(merge_from_memory, url, self._path)
            product.check_stored("merge", url, self._sums)
            with psycopg.connect(url) as connection:
                rewritten = connection.execute(
                    """
                    SELECT (SELECT count(*) FROM sales.orders WHERE remarks = 'rewritten'),
                        (SELECT count(*) FROM sales.order_items WHERE remarks = 'rewritten')
                    """
                ).fetchone()
            check("rewritten rows", rewritten, (self._sums.orders, self._sums.items))
        return dict(figures)

    def normalise(self) -> Figures:
        """JSON to DataFrames, nothing else."""
        return self._to_frames(call(normalise, self._path)[0], "normalise")

    def json_normalize(self) -> Figures:
        """What pandas has for it, which leaves amounts and times text."""
        return self._to_frames(call(json_normalize, self._path)[0], "json_normalize")

    def _to_frames(self, found: dict[str, Any], what: str) -> Figures:
        self._sums.check(what, *found["sums"])
        return {"seconds": found["seconds"]}

    def _file(self, table: str) -> Path:
        return self._server.folder / f"{table}-{self._sums.orders}.copy"

    def _export(self, url: str) -> None:
        for bare, table in _TABLES.items():
            if not self._file(bare).exists():
                with (
                    psycopg.connect(url) as connection,
                    connection.cursor().copy(f"COPY {table} TO STDOUT") as copy,
                    self._file(bare).open("wb") as file,
                ):
                    for block in copy:
                        file.write(block)


def rebuild_twice(url: str, path: str, orders: int) -> dict[str, float]:
    """Seconds to rebuild so many landed orders into empty tables, then once more."""
    product.normalise(list(read(Path(path), 1)))  # what is imported only when it is used
    seconds = {}
    for what in ("new", "full"):
        rebuilt, seconds[what] = product.rebuild(url)
        check(f"orders rebuilt, {what}", rebuilt, orders)
    return seconds


def merge_from_memory(url: str, path: str) -> dict[str, float]:
    """Seconds to load frames that are ready: orders that are new, then the same again, then every row rewritten."""
    with product.warehouse_at(url) as warehouse:
        seconds: dict[str, float] = {}
        for what, change in (("new", False), ("same", False), ("rewritten", True)):
            ready = list(_ready(read(Path(path)), change=change))
            written = [0, 0]
            with timed() as taken, warehouse.engine.begin() as connection:
                for batch in ready:
                    counts = product.merge(connection, warehouse, batch)
                    written = [one + other for one, other in zip(written, counts, strict=True)]
            seconds[what] = taken[0]
            orders = sum(len(batch.orders) for batch in ready)
            expected = {"new": [orders, 0], "same": [0, 0], "rewritten": [0, orders]}
            check(f"orders created and updated by the merge, {what}", written, expected[what])
            del ready
    return seconds


def _ready(lines: Iterable[Line], *, change: bool) -> Iterator[product.Batch]:
    first = 10**9 if change else 1
    for batch in product.batches(_rewritten(line) for line in lines) if change else product.batches(lines):
        yield product.normalise(batch, first_document_id=first)
        first += 2 * len(batch)


def _rewritten(line: Line) -> Line:
    order = json.loads(line.order) | {"remarks": "rewritten"}
    items = [[lot | {"remarks": "rewritten"} for lot in batch] for batch in json.loads(line.items)]
    return Line(json.dumps(order, separators=(",", ":")).encode(), json.dumps(items).encode(), line.row)


def normalise(path: str) -> dict[str, Any]:
    """Seconds in the product's normalisation alone, and the sums of its frames."""
    seconds = 0.0
    sums: list[Any] = [0, 0, Decimal(), Decimal(), Decimal()]
    for lines in product.batches(read(Path(path))):
        with timed() as taken:
            batch = product.normalise(lines)
        seconds += taken[0]
        orders, items = batch.orders, batch.items
        found = (
            len(orders), len(items), orders["total"].sum(), orders["final_total"].sum(), items["total_price"].sum()
        )  # fmt: skip
        sums = [one + other for one, other in zip(sums, found, strict=True)]
    return {"seconds": seconds, "sums": [str(each) for each in sums]}


def json_normalize(path: str) -> dict[str, Any]:
    """The same by pandas' own function: json.loads, then one DataFrame of orders and one of items."""
    seconds = 0.0
    sums: list[Any] = [0, 0, Decimal(), Decimal(), Decimal()]
    for lines in product.batches(read(Path(path))):
        started = time.perf_counter()
        orders = pd.json_normalize([json.loads(line.order) for line in lines])
        items = pd.json_normalize([lot for line in lines for batch in json.loads(line.items) for lot in batch])
        seconds += time.perf_counter() - started
        totals = (
            sum(map(Decimal, orders["cost.grand_total"])),
            sum(map(Decimal, orders["cost.final_total"])),
            sum(Decimal(price) * int(n) for price, n in zip(items["unit_price_final"], items["quantity"], strict=True)),
        )
        sums = [one + other for one, other in zip(sums, (len(orders), len(items), *totals), strict=True)]
    return {"seconds": seconds, "sums": [str(each) for each in sums]}
