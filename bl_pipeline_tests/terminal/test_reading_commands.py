"""`bl status`, `orders` and `order`: lists that fit the terminal, and what to write if a value is wrong."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from decimal import Decimal

import psycopg
import pytest

from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.stores_file import CREDENTIAL_VARIABLES
from bl_pipeline.warehouse import runs
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline.warehouse.lock import SyncLock
from bl_pipeline.wording import amount
from bl_pipeline_tests.reliability.test_tolerance import EditedWire, put
from bl_pipeline_tests.support.sales_rows import order_row
from bl_pipeline_tests.support.slow import some_slow
from bl_pipeline_tests.terminal.conftest import Bl, expect, json_of


def test_status_before_and_after_the_first_sync(bl: Bl) -> None:
    assert expect(bl("status"), 0).stdout.startswith("● stale  store main, Postgres at 127.0.0.1:")
    assert json_of(bl("status", "--json"))["last_run"] is None
    expect(bl("sync"), 0)
    text = expect(bl("status"), 0).stdout
    assert text.startswith("● synced  store main")
    assert "sync_orders succeeded: 12 created, 0 updated, 0 skipped" in text
    values = json_of(bl("status", "--json"))
    assert (values["indicator"], values["orders"], values["failed_orders"]) == ("synced", 12, 0)
    assert f"12 orders with {values['items']} lots" in text
    assert values["calls"]["used"] + values["calls"]["left"] == 4750
    assert values["last_run"]["api_calls"] == values["calls"]["used"]


def test_the_status_of_a_store_without_orders_names_those_that_have_some(synced_bl: Bl) -> None:
    """Such as after a mistyped name. Caught: only that no sync was complete."""
    others = "No orders of store mian; this warehouse has orders of: main. Choose one with --store, or set BL_STORE."
    result = expect(synced_bl("status", "--store", "mian"), 0)
    assert (result.stdout.startswith("● stale  store mian"), " ".join(result.stderr.split())) == (True, others)
    assert expect(synced_bl("status"), 0).stderr == ""


def test_a_run_that_was_killed_has_ended_once_nothing_has_the_store(bl: Bl, warehouse: Warehouse) -> None:
    """Caught: that its process had ended, and that the run had not, on one page."""
    with warehouse.engine.begin() as connection:
        runs.start_run(
            connection, warehouse, run_id="killed", job="sync_orders", now=datetime.now(UTC), of_all_orders=True
        )
    assert "and ended without a report" in " ".join(bl("status").stdout.split())
    lock = SyncLock(warehouse)
    assert lock.try_acquire()
    assert "and has not reported its end" in " ".join(expect(bl("status"), 0).stdout.split())
    lock.release()


@pytest.mark.slow
@pytest.mark.parametrize("connected", [True, False])
@pytest.mark.parametrize("tables", [True, False])
def test_a_command_that_finds_nothing_names_the_next_step(
    tables: bool, connected: bool, bl: Bl, empty_database_url: str, isolated: pytest.MonkeyPatch
) -> None:
    """Caught: `bl sync` was named although no credentials were set, and after `bl doctor` a report had no rows."""
    if not tables:
        isolated.setenv("BL_DATABASE_URL", empty_database_url)
    for name in () if connected else CREDENTIAL_VARIABLES:
        isolated.setenv(name, "")
    for arguments, ended in (
        (["orders"], 0),
        (["orders", "--status", "PAID"], 0),
        (["errors"], 0),
        (["report", "revenue_by_month"], int(not tables)),
        (["order", "15646315"], 1),
        (["messages", "15646315"], 1),
        (["backup", "file.zip"], 1),
    ):
        if tables and arguments[0] == "backup":
            continue
        said = expect(bl(*arguments), ended).stderr
        assert ("with: bl sync" in said) == connected, (arguments, said)
        connect = "Put the four BRICKLINK_ values into .env, then: bl doctor"
        assert (connect in said) != connected, (arguments, said)
    last_sync = [each for each in json_of(bl("doctor", "--json"))["checks"] if each["name"] == "Last sync"]
    assert last_sync[0]["repair"].startswith("Start one" if connected else "Set the credentials first")


def test_the_list_of_reports_begins_with_revenue_over_time(bl: Bl) -> None:
    """And ends with how to show one, which works as written."""
    lines = expect(bl("report"), 0).stdout.splitlines()
    assert lines[0] == "Revenue over time"
    assert any(line.startswith("revenue_by_month ") for line in lines[1:5])
    assert lines[-1] == "Show one with its name: bl report revenue_by_month"
    assert expect(bl("report", "revenue_by_month"), 0).stdout.startswith("Revenue by month\n")


def test_a_filter_that_finds_nothing_is_no_empty_warehouse(synced_bl: Bl) -> None:
    assert expect(synced_bl("orders", "--status", "NPX"), 0).stderr == "No orders like that.\n"
    assert expect(synced_bl("errors"), 0).stderr == ""
    assert "are stored yet" not in expect(synced_bl("report", "revenue_by_month", "--to", "2001"), 0).stderr


def test_the_orders_list(synced_bl: Bl, store: Store) -> None:
    rows = json_of(expect(synced_bl("orders", "--json"), 0))
    by_date = sorted(store.sales.values(), key=lambda order: order.date_ordered, reverse=True)
    assert [row["display_id"] for row in rows] == [f"BL-{order.order_id}" for order in by_date]
    assert all(isinstance(row["total"], str) and Decimal(row["total"]) > 0 for row in rows)
    assert all(row["order_date"].endswith("+00:00") for row in rows)
    latest = by_date[0]
    text = expect(synced_bl("orders", "--limit", "1"), 0).stdout.splitlines()
    assert text[2].startswith(f"BL-{latest.order_id}  {latest.date_ordered:%Y-%m-%d}  ")
    total = sum((order.grand_total for order in store.sales.values()), Decimal(0))
    assert text[3:6] == ["no room for Pieces, Lots; see --json", "", f"1 of 12 orders; all 12: {amount(total)} EUR"]
    every = expect(synced_bl("orders", "--offset", "10"), 0).stdout
    assert f"2 of 12 orders, 11 to 12; all 12: {amount(total)} EUR" in every
    assert f"12 orders: {amount(total)} EUR" in expect(synced_bl("orders"), 0).stdout
    beyond = expect(synced_bl("orders", "--offset", "12"), 0)
    assert (beyond.stdout, "12 orders like that" in beyond.stderr) == ("", True)


def test_the_orders_list_is_filtered(synced_bl: Bl, store: Store) -> None:
    def ids(*arguments: str) -> set[int]:
        return {int(row["platform_order_id"]) for row in json_of(expect(synced_bl("orders", "--json", *arguments), 0))}

    orders = store.sales
    some = next(iter(orders.values()))
    assert ids("--status", some.status.lower()) >= {some.order_id}
    assert ids("--search", some.buyer.email.upper()) == {
        order.order_id for order in orders.values() if order.buyer.email == some.buyer.email
    }
    assert ids("--search", f"BL-{some.order_id}") == {some.order_id}
    middle = sorted(order.date_ordered for order in orders.values())[6]
    assert ids("--since", middle.isoformat()) == {key for key, order in orders.items() if order.date_ordered >= middle}
    assert ids("--since", f"{middle:%Y-%m-%d}") >= ids("--since", middle.isoformat())
    assert ids("--since", f"{middle:%Y-%m}", "--until", f"{middle:%Y-%m}") == {
        key for key, order in orders.items() if f"{order.date_ordered:%Y-%m}" == f"{middle:%Y-%m}"
    }
    assert ids("--until", f"{middle.year - 1}") == {
        key for key, order in orders.items() if order.date_ordered.year < middle.year
    }
    assert ids("--group", "SHIPPED") == {key for key, order in orders.items() if order.status == "SHIPPED"}
    assert ids("--platform", "BrickLink") == set(orders)
    countries = {key: order_row(order)["country_code"] for key, order in orders.items()}
    assert ids("--country", countries[some.order_id].lower()) == {
        key for key, code in countries.items() if code == countries[some.order_id]
    }
    assert ids("--not-shipped") == {
        key for key, order in orders.items()
        if order_row(order)["status"] in {"pending", "processing", "on_hold", "unknown"} and not order.is_purged
    }  # fmt: skip
    assert ids("--unpaid") <= ids("--not-shipped") | ids("--group", "shipped")
    nothing = expect(synced_bl("orders", "--search", "nobody of this name"), 0)
    assert (nothing.stdout, nothing.stderr) == ("", "No orders like that.\n")


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["orders", "--since", "yesterday"], "2026-03-14"),
        (["orders", "--since", "0001-01-01T00:00 14"], "2026-03-14"),
        (["orders", "--until", "2026-13"], "2026-03-14T09:30Z"),
        (["orders", "--status", "shiped"], "Did you mean SHIPPED?"),
        (["orders", "--status", "on_hold"], "Ask for it as the group."),
        (["orders", "--group", "complted"], "Did you mean completed?"),
        (["orders", "--group", "PAID"], "PAID is a status of BrickLink's. Ask for it as the status."),
        (["orders", "--sort", "price"], "total"),
        (["orders", "--platform", "ebay"], "bricklink"),
        (["orders", "--limit", "0"], "1"),
        (["order", "BL-12x"], "BL-15646315"),
        (["refresh"], "ID"),
        (["nonsense"], "nonsense"),
    ],
)
def test_wrong_values_are_exit_2_with_what_to_write(bl: Bl, arguments: list[str], hint: str) -> None:
    result = expect(bl(*arguments), 2)
    assert result.stdout == ""
    assert hint in result.stderr


def test_one_order_in_full(synced_bl: Bl, store: Store) -> None:
    order = max((order for order in store.sales.values() if not order.is_purged), key=lambda order: len(order.lots))
    text = expect(synced_bl("order", f"BL-{order.order_id}"), 0).stdout
    assert text.startswith(f"BL-{order.order_id}  ")
    link = f"https://www.bricklink.com/orderDetail.asp?ID={order.order_id}\n"
    for shown in (link, order.buyer.email, "Subtotal", "Shipping", "Total", "Seen (UTC)"):
        assert shown in text
    assert not any(line != line.rstrip() for line in text.splitlines())
    values = json_of(expect(synced_bl("order", str(order.order_id), "--json"), 0))
    assert len(values["items"]) == len(order.lots)
    assert isinstance(values["items"][0]["unit_price"], str)
    assert len(values["status_history"]) == 1
    missing = expect(synced_bl("order", "77"), 1)
    assert missing.stdout == ""
    assert "bl refresh 77" in missing.stderr


def test_an_order_names_what_could_not_be_read(synced_bl: Bl, store: Store, server: SandboxServer) -> None:
    """The fields of the order, then those of its lots. Planted: without those of the lots; without the line."""
    order_id = next(order.order_id for order in store.sales.values() if order.lots and not order.is_purged)
    assert "Not readable" not in expect(synced_bl("order", str(order_id)), 0).stdout
    server.wire = EditedWire(
        details={order_id: put("payment.date_paid", "soon")}, lots={order_id: put("0.0.item.no", 3001)}
    )

    expect(synced_bl("refresh", str(order_id)), 0)

    (line,) = (
        line for line in expect(synced_bl("order", str(order_id)), 0).stdout.splitlines() if "Not readable" in line
    )
    assert line.split(maxsplit=2)[2] == "payment.date_paid, items.item.no"


@pytest.mark.parametrize("columns", some_slow(["60", "80", "100", "120"], ["80"]))
def test_tables_fit_the_terminal(synced_bl: Bl, store: Store, columns: str) -> None:
    order = max((order for order in store.sales.values() if not order.is_purged), key=lambda order: len(order.lots))
    shown = {}
    for arguments in (["orders"], ["order", str(order.order_id)], ["status"], ["plan"], ["doctor"]):
        shown[arguments[0]] = expect(synced_bl(*arguments, COLUMNS=columns), 0).stdout
        assert max(map(len, shown[arguments[0]].splitlines())) <= int(columns)
    head, _, *lines = shown["orders"].splitlines()
    rows = lines[: len(store.sales)]
    said = " ".join(lines[len(store.sales) : lines.index("")])
    left_out = {
        "60": ["Group", "Payment", "Pieces", "Lots", "Tracking"],
        "80": ["Payment", "Pieces", "Lots", "Tracking"],
        "100": ["Pieces", "Lots", "Tracking"],
    }.get(columns, [])
    assert {"Group", "Payment", "Pieces", "Lots", "Tracking"} - set(head.split()) == set(left_out)
    assert said == (f"no room for {', '.join(left_out)}; see --json" if left_out else "")
    # Cut are names, never numbers, dates and ids.
    for row, each in zip(
        rows, sorted(store.sales.values(), key=lambda each: each.date_ordered, reverse=True), strict=True
    ):
        assert row.startswith(f"BL-{each.order_id}  {each.date_ordered:%Y-%m-%d}  ")
        assert f" {amount(each.grand_total)} " in row
        assert f" {each.status} " in row
    assert len({line.index(".", line.index("  EUR") - 8) for line in rows}) == 1, "points stand below each other"
    for lot in order.lots:
        assert f" {amount(lot.unit_price_final * lot.quantity)}" in shown["order"]


def test_a_searched_tracking_number_is_seen(synced_bl: Bl, store: Store) -> None:
    order = next(order for order in store.sales.values() if order.shipping.tracking_no)
    number = str(order.shipping.tracking_no)
    for columns in ("80", "100", "140"):
        found = expect(synced_bl("orders", "--search", number.lower(), COLUMNS=columns), 0).stdout
        assert f"  {number}\n" in found
        assert "Tracking\n" in found
    assert number not in expect(synced_bl("orders", COLUMNS="80"), 0).stdout


TOO_LARGE = str(2**63)


@pytest.mark.parametrize(
    "arguments",
    [
        ["orders", "--limit", TOO_LARGE],
        ["orders", "--offset", TOO_LARGE],
        ["orders", "--limit", str(2**31)],
        ["orders", "--offset", "-1"],
        ["sandbox", "--orders", TOO_LARGE],
        ["sandbox", "--port", TOO_LARGE],
        ["up", "--port", TOO_LARGE],
    ],
)
def test_numbers_that_are_too_large_are_wrong_usage(bl: Bl, arguments: list[str]) -> None:
    assert arguments[1] in expect(bl(*arguments), 2).stderr


def test_the_largest_numbers_are_taken(synced_bl: Bl, store: Store) -> None:
    assert len(json_of(expect(synced_bl("orders", "--limit", str(2**31 - 1), "--json"), 0))) == len(store.sales)
    assert json_of(expect(synced_bl("orders", "--offset", str(2**31 - 1), "--json"), 0)) == []


def test_a_second_platform_has_a_column(synced_bl: Bl, store: Store) -> None:
    assert "Platform" not in expect(synced_bl("orders"), 0).stdout
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        connection.execute(
            "UPDATE sales.orders SET platform = 'brickowl' WHERE platform_order_id = %s", [str(max(store.sales))]
        )
    assert expect(synced_bl("orders"), 0).stdout.startswith("Platform   Order")
    assert len(json_of(expect(synced_bl("orders", "--platform", "brickowl", "--json"), 0))) == 1


def test_a_name_cannot_command_the_terminal(synced_bl: Bl, store: Store) -> None:
    order_id = max(store.sales)
    with psycopg.connect(os.environ["BL_DATABASE_URL"]) as connection:
        connection.execute(
            "UPDATE sales.orders SET buyer_name = %s WHERE platform_order_id = %s",
            ["\x1b[2J[bold]Mallory", str(order_id)],
        )
    for arguments in (["orders"], ["order", str(order_id)]):
        text = expect(synced_bl(*arguments, COLUMNS="140"), 0).stdout
        assert "\x1b" not in text
        assert "[2J[bold]Mallory" in text
