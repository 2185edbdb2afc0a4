"""Tax in the reports: what nobody explains is found order by order, and items are compared without VAT."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import insert

from bl_pipeline.warehouse.checks import find_offenders
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.tables import order_items, orders
from bl_pipeline_tests.reports.test_properties import read

DAY = datetime(2026, 9, 10, 12, tzinfo=UTC)


def sold(warehouse: Warehouse, report: str, *sales: dict[str, Any]) -> tuple[list[dict[str, Any]], list[str]]:
    """The rows of a report of orders of 120 with these values, and the orders that the check of taxes names."""
    with warehouse.engine.connect() as connection:
        for number, sale in enumerate(sales, start=1):
            values = {
                "total": Decimal(120), "final_total": Decimal(120), "subtotal": Decimal(120), "currency": "EUR",
                "status": "completed", "platform_status": "COMPLETED", "order_date": DAY, "country_code": "DE",
            }  # fmt: skip
            key = {"store": "main", "platform": "bricklink", "platform_order_id": str(number)}
            connection.execute(
                insert(orders).values(
                    **key, **(values | sale), display_id=f"BL-{number}", first_order_date=DAY, total_count=1,
                    order_document_id=number, fetched_at=DAY,
                )
            )  # fmt: skip
            connection.execute(
                insert(order_items).values(
                    **key, batch_number=1, line_number=1, quantity=1, item_type="PART", item_number="3001",
                    total_price=(values | sale)["subtotal"],
                )
            )  # fmt: skip
        found = read(connection, report)
        offenders = find_offenders(connection, warehouse, "collected_tax_is_explained").order_ids
        connection.rollback()
    return [row for row in found if row.get("basis", "order_date") == "order_date"], offenders


def test_errors_of_two_orders_do_not_cancel_each_other(blank: Warehouse) -> None:
    """Planted: the sum of the differences in place of the sum of what each differs by."""
    more, less = {"final_total": Decimal(140)}, {"final_total": Decimal(100)}
    (row,), offenders = sold(blank, "tax_by_rate_and_country", more, less, {})
    assert (row["orders"], row["unexplained"], row["unexplained_orders"]) == (3, 40, 2)
    assert offenders == ["1", "2"]


@pytest.mark.parametrize(("final_total", "unexplained"), [("119.99", "0"), ("120.01", "0"), ("119.9899", "0.0101")])
def test_a_cent_is_no_error(blank: Warehouse, final_total: str, unexplained: str) -> None:
    """Planted: a cent counted in the sum, or among the orders."""
    (row,), offenders = sold(blank, "tax_by_rate_and_country", {"final_total": Decimal(final_total)})
    assert (row["unexplained"], row["unexplained_orders"]) == (Decimal(unexplained), int(unexplained != "0"))
    assert offenders == ["1"][: row["unexplained_orders"]]


@pytest.mark.parametrize("final_total", ["120", "100", "100.01"])
def test_vat_that_bricklink_collects_is_right_by_either_reading(blank: Warehouse, final_total: str) -> None:
    """Whether final_total deducts it is unknown. Planted: only one of the two readings."""
    by_bricklink = {"vat_amount": Decimal(20), "vat_collected_by_bricklink": True, "vat_rate": Decimal(20)}
    (row,), offenders = sold(blank, "tax_by_rate_and_country", by_bricklink | {"final_total": Decimal(final_total)})
    assert (row["taxed_by"], row["unexplained"], row["unexplained_orders"], offenders) == ("bricklink", 0, 0, [])
    wrong = by_bricklink | {"final_total": Decimal(110)}
    (row,), offenders = sold(blank, "tax_by_rate_and_country", wrong)
    assert (row["unexplained"], row["unexplained_orders"], offenders) == (10, 1, ["1"])


def test_each_row_says_who_pays_its_tax(blank: Warehouse) -> None:
    seller = {"vat_amount": Decimal(20), "vat_rate": Decimal(20)}
    no_vat = {"vat_amount": Decimal(0), "vat_rate": Decimal(0)}
    unknown = {"vat_amount": None, "vat_rate": None}
    sales_tax = {"tax": Decimal(6), "sales_tax_collected_by_bricklink": True, "final_total": Decimal(114)}
    credit = {"total": Decimal(-5), "final_total": Decimal(-5), "vat_amount": Decimal(0), "vat_rate": Decimal(20)}
    rows, _ = sold(blank, "tax_by_rate_and_country", seller, no_vat, unknown, sales_tax, seller | sales_tax, credit)
    shown = {(row["taxed_by"], row["vat_rate"], row["net"]) for row in rows}
    assert shown == {
        ("seller", 20, 100), ("nobody", 0, 120), ("nobody", None, 120), ("bricklink", None, 114), ("both", 20, 94),
        ("nobody", 20, -5),
    }  # fmt: skip
    assert sum(row["net"] for row in rows) == 100 + 120 + 120 + 114 + 94 - 5, "no row is left out"


def test_the_same_brick_is_worth_the_same_with_and_without_vat(blank: Warehouse) -> None:
    """An EU buyer's price has the VAT in it, a Swiss one's has not."""
    german = {"subtotal": Decimal(119), "vat_amount": Decimal(19), "vat_rate": Decimal(19)}
    swiss = {"subtotal": Decimal(100), "vat_amount": Decimal(0), "vat_rate": Decimal(0), "country_code": "CH"}
    by_bricklink = swiss | {"vat_amount": Decimal(20), "vat_collected_by_bricklink": True, "vat_rate": Decimal(20)}
    (row,), _ = sold(blank, "revenue_by_item", german, swiss, by_bricklink)
    assert (row["items_total"], row["items_net"]) == (319, 300)
