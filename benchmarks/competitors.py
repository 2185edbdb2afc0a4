"""The product beside what a user would take instead, at equal results: dlt, and pandas.to_sql.

Each begins with the same JSON in a file or in Postgres, makes typed columns of it, exact amounts among them, and ends
with committed tables. Start-up and imports do not count. dlt and the product merge; pandas.to_sql only appends.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import pandas as pd
import psycopg
from sqlalchemy import NUMERIC, create_engine

from benchmarks import dlt_load, product
from benchmarks.frame import Bench, Figures, Result, Table, ratios, spread
from benchmarks.orders import Sums, read
from benchmarks.plain import MONEY, Row, exact, flat, last, read_orders
from benchmarks.processes import PROJECT, call, clean_environment

PYTHON = PROJECT / ".venv" / "bench" / "bin" / "python"
"""With the packages of benchmarks/requirements.lock, and without the product's."""

_WITHOUT_TELEMETRY = {"RUNTIME__DLTHUB_TELEMETRY": "false", "RUNTIME__LOG_LEVEL": "ERROR"}


def measure(bench: Bench, size: int) -> Result:
    """Each way with a store of this size."""
    path, sums = bench.store(size)
    server = bench.server
    tables = server.template("tables", product.make_tables)
    landed = server.template(f"landed_{size}", lambda url: product.land(url, read(path)), of=tables)

    def rebuild() -> Figures:
        with server.database(landed) as url:
            seconds, ended = call(rebuild_once, url, path)
            product.check_stored("rebuild", url, sums)
        return {"seconds": seconds, "mib": ended.peak_mib}

    def by_dlt(function: Callable[..., float]) -> Callable[[], Figures]:
        def way() -> Figures:
            with server.database() as url:
                folder = server.folder / f"dlt-{time.monotonic_ns()}"
                seconds, ended = call(
                    function, url, path, folder, python=PYTHON, environment=clean_environment(**_WITHOUT_TELEMETRY)
                )
                _check(f"dlt, {function.__name__}", url, "loaded.orders", "loaded.orders__items", sums)
            return {"seconds": seconds, "mib": ended.peak_mib}

        return way

    def by_to_sql() -> Figures:
        with server.database() as url:
            seconds, ended = call(to_sql, url, path)
            _check("pandas.to_sql", url, "orders", "order_items", sums)
        return {"seconds": seconds, "mib": ended.peak_mib}

    found = bench.compare(
        {
            "`bl rebuild` without start-up": rebuild,
            "dlt, default merge": by_dlt(dlt_load.default),
            "dlt tuned: Arrow, CSV, upsert": by_dlt(dlt_load.tuned),
            "`pandas.to_sql`": by_to_sql,
        }
    )
    ours = found["`bl rebuild` without start-up"]["seconds"]
    faster = {name: ratios(of["seconds"], ours) for name, of in found.items()}
    rows = sums.orders + sums.items
    return Result(
        figures={
            "x dlt default": median(faster["dlt, default merge"]),
            "x dlt tuned": median(faster["dlt tuned: Arrow, CSV, upsert"]),
            "x pandas.to_sql": median(faster["`pandas.to_sql`"]),
        },
        tables=[
            Table(
                f"{sums.orders:,} orders with {sums.items:,} items, beside other tools",
                ("way", "rows/s", "the product is faster by", "peak memory, MiB"),
                [
                    (
                        name,
                        f"{rows / median(of['seconds']):,.0f}",
                        spread(faster[name], ",.1f"),
                        f"{max(of['mib']):,.0f}",
                    )
                    for name, of in found.items()
                ],
            )
        ],
    )


def rebuild_once(url: str, path: str) -> float:
    """Seconds to rebuild what has landed, without start-up."""
    product.normalise(list(read(Path(path), 1)))  # what is imported only when it is used
    return product.rebuild(url)[1]


def to_sql(url: str, path: str) -> float:
    """Seconds for json.loads, dicts with Decimals, DataFrames, and to_sql as it is by default."""
    engine = create_engine(url.replace("postgresql://", "postgresql+psycopg2://"))
    started = time.perf_counter()
    orders: list[Row] = []
    items: list[Row] = []
    for order, of_order in read_orders(path):
        orders.append(flat(exact(order)))
        items += (flat(exact(item)) for item in of_order)
    with engine.begin() as connection:
        for name, rows in (("orders", orders), ("order_items", items)):
            frame = pd.DataFrame(rows, dtype=object)
            amounts: dict[Any, Any] = {column: NUMERIC(19, 4) for column in frame.columns if last(column) in MONEY}
            frame.to_sql(name, connection, index=False, dtype=amounts)
    return time.perf_counter() - started


def _check(what: str, url: str, orders: str, items: str, sums: Sums) -> None:
    with psycopg.connect(url) as connection:
        found = connection.execute(
            f"""
            SELECT count(*), (SELECT count(*) FROM {items}), sum(cost__grand_total), sum(cost__final_total),
                (SELECT sum(total_price) FROM {items})
            FROM {orders}
            """.encode()
        ).fetchone()
    assert found is not None
    sums.check(what, *found)
