"""`bl close`, `bl reopen` and `bl periods`, and what `bl doctor` says of the journal."""

from __future__ import annotations

import re
from typing import Any

import psycopg

from bl_pipeline_tests.terminal.conftest import Bl, expect, json_of


def journal_check(bl: Bl, **settings: str) -> tuple[str, str]:
    """What bl doctor says of the journal."""
    checks = json_of(bl("doctor", "--json", **settings))["checks"]
    (found,) = (check for check in checks if check["name"] == "Journal")
    return found["verdict"], found["finding"]


def test_a_month_is_closed_shown_and_opened_again(synced_bl: Bl) -> None:
    assert journal_check(synced_bl) == ("ok", "no month is closed")
    periods = json_of(expect(synced_bl("periods", "--json"), 0))
    first, last = periods[0]["period"], periods[-1]["period"]
    assert not any(period["closed"] for period in periods)
    said = json_of(expect(synced_bl("close", last, "--json"), 0))["closed"]
    assert (said[0], said[-1]) == (first, last)
    assert journal_check(synced_bl) == ("ok", f"closed up to {last}, and as it was closed")
    closed = json_of(expect(synced_bl("periods", "--json"), 0))
    assert all(period["closed"] and period["intact"] for period in closed)
    total: dict[str, Any] = closed[-1]["totals"][0]
    assert set(total) == {"account_key", "currency", "debit", "credit", "balance"}
    assert isinstance(total["debit"], str)
    shown = expect(synced_bl("periods"), 0).stdout
    assert last in shown
    assert "closed" in shown
    refused = expect(synced_bl("close", last), 1)
    assert f"{last} is closed already. Nothing was changed." in " ".join(refused.stderr.split())
    expect(synced_bl("reopen", last), 0)
    assert "reopened" in expect(synced_bl("periods"), 0).stdout
    assert f"{last} is open" in " ".join(expect(synced_bl("reopen", last), 1).stderr.split())


def test_a_closing_says_that_taxes_are_unclear(synced_bl: Bl, database_url: str) -> None:
    """Without tax settings all of them are. Planted: orders of every month."""
    first, *_ = json_of(expect(synced_bl("periods", "--json"), 0))
    said = " ".join(expect(synced_bl("close", first["period"]), 0).stdout.split())
    assert re.findall(r"The tax of (\d+) orders? is unclear", said) == [str(first["entries"])]
    assert "bl report tax_orders" in said
    expect(synced_bl("reopen", first["period"]), 0)
    with psycopg.connect(database_url) as connection:
        assert len(connection.execute("SELECT FROM books.journal WHERE line_no = 1").fetchall()) > first["entries"] > 0
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE books.journal SET tax_kind = 'export' WHERE period = %s", [f"{first['period']}-01"])
    assert "unclear" not in expect(synced_bl("close", first["period"]), 0).stdout


def test_a_first_closing_says_which_months_it_closes_and_how_to_take_that_back(synced_bl: Bl) -> None:
    """Caught: to reopen the month, of which the tax of the months before stays as it is."""
    periods = [period["period"] for period in json_of(expect(synced_bl("periods", "--json"), 0))]
    first, last = periods[0], periods[-1]
    earlier = 12 * (int(last[:4]) - int(first[:4])) + int(last[5:]) - int(first[5:])

    def closed(month: str) -> str:
        return " ".join(expect(synced_bl("close", month), 0).stdout.split())

    said = closed(last)
    assert f"{last} is closed, and with it {earlier} earlier months, from {first} on, as no month was closed." in said
    assert f"reopen these months, the last one first, set them, run bl sync, and close {last} again" in said
    expect(synced_bl("reopen", last), 0)
    said = closed(last)
    assert f"{last} is closed. What changes later" in said
    assert f"reopen the month, set them, run bl sync, and close {last} again" in said


def test_wrong_months_are_wrong_usage(synced_bl: Bl) -> None:
    for wrong in ("2026", "2026-13", "September", "2026-9"):
        assert "Write it as 2026-09." in " ".join(expect(synced_bl("close", wrong), 2).stderr.split())


def test_a_journal_that_was_changed_is_an_error(synced_bl: Bl, database_url: str) -> None:
    """Planted: exit code 0; a digest that is not compared."""
    last = json_of(expect(synced_bl("periods", "--json"), 0))[-1]["period"]
    expect(synced_bl("close", last), 0)
    with psycopg.connect(database_url) as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute("UPDATE books.journal SET debit = debit + 1 WHERE line_no = 1 AND entry_no = 1")
    result = expect(synced_bl("periods"), 1)
    assert "These months are not as they were closed" in " ".join(result.stderr.split())
    verdict, finding = journal_check(synced_bl)
    assert verdict == "error"
    assert finding.startswith("not as it was closed: ")


def test_another_time_zone_after_a_closing_is_a_warning(synced_bl: Bl) -> None:
    last = json_of(expect(synced_bl("periods", "--json"), 0))[-1]["period"]
    expect(synced_bl("close", last), 0)
    expect(synced_bl("sync", BL_TIMEZONE="Asia/Tokyo"), 0)
    verdict, finding = journal_check(synced_bl, BL_TIMEZONE="Asia/Tokyo")
    assert (verdict, finding) == (
        "warning", "months were closed in the time zone UTC, and days are in Asia/Tokyo now"
    )  # fmt: skip


def test_nothing_is_booked_without_orders(bl: Bl) -> None:
    assert "Nothing is booked yet." in expect(bl("periods"), 0).stdout
