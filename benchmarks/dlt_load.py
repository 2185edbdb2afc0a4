"""dlt (https://dlthub.com), as its documentation shows it first, and tuned: run in an environment of its own."""

# ruff: noqa: PLC0415  (dlt is not in the product's environment, from which these functions are named)

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from benchmarks.plain import MONEY, TIMES, Row, exact, flat, last, read_orders

if TYPE_CHECKING:
    import pyarrow as pa

_ORDERS_AT_A_TIME = 5_000


def version() -> str:
    """Of dlt."""
    import dlt

    return str(dlt.__version__)


def default(url: str, path: str, folder: str) -> float:
    """Seconds for nested dicts with the disposition `merge`: dlt makes the tables, a child table for the items."""
    import dlt

    @dlt.resource(name="orders", write_disposition="merge", primary_key="order_id")
    def orders() -> Iterator[Row]:
        for order, items in read_orders(path):
            yield exact(order) | {"items": [exact(item) for item in items]}

    return _run(url, folder, [orders])


def tuned(url: str, path: str, folder: str) -> float:
    """Seconds for Arrow tables, handed over as CSV, with the strategy `upsert`."""
    import dlt

    upsert: Any = {"disposition": "merge", "strategy": "upsert"}
    key = ("order_id", "batch_number", "line_number")

    @dlt.resource(name="orders", write_disposition=upsert, primary_key="order_id")
    def orders() -> Iterator[pa.Table]:
        for chunk in _chunks(path):
            yield _arrow([flat(order) for order, _ in chunk])

    @dlt.resource(name="orders__items", write_disposition=upsert, primary_key=key)
    def items() -> Iterator[pa.Table]:
        for chunk in _chunks(path):
            yield _with_total(_arrow([flat(item) for _, of_order in chunk for item in of_order]))

    return _run(url, folder, [orders, items], loader_file_format="csv")


def _run(url: str, folder: str, resources: list[Any], **options: Any) -> float:
    import dlt

    started = time.perf_counter()
    pipeline = dlt.pipeline(
        pipeline_name="bench",
        pipelines_dir=folder,
        destination=dlt.destinations.postgres(url),
        dataset_name="loaded",
    )
    pipeline.run([resource() for resource in resources], **options).raise_on_failed_jobs()
    return time.perf_counter() - started


def _chunks(path: str) -> Iterator[list[tuple[Row, list[Row]]]]:
    rest = read_orders(path)
    while chunk := list(islice(rest, _ORDERS_AT_A_TIME)):
        yield chunk


def _arrow(rows: list[Row]) -> pa.Table:
    """Columns of text, cast by Arrow."""
    import pyarrow as pa

    names = dict.fromkeys(name for row in rows for name in row)
    columns = {}
    for name in names:
        column: pa.Array[Any] = pa.array([row.get(name) for row in rows])
        if pa.types.is_null(column.type):
            continue
        if last(name) in MONEY:
            column = column.cast(pa.decimal128(19, 4))
        elif last(name) in TIMES:
            column = column.cast(pa.timestamp("us", tz="UTC"))
        columns[name] = column
    return pa.table(columns)


def _with_total(items: pa.Table) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    quantity = items["quantity"].cast(pa.int32()).cast(pa.decimal128(10, 0))
    total = pc.multiply(items["unit_price_final"], quantity)
    return items.append_column("total_price", total.cast(pa.decimal128(19, 4)))
