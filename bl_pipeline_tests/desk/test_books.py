"""The books on the desk: the months, closing one, opening it again, and what has changed since."""

from __future__ import annotations

import html
import re
from datetime import UTC, date, datetime, timedelta
from io import BytesIO
from typing import Any
from zipfile import ZipFile

import pytest
from sqlalchemy import text
from starlette.testclient import TestClient

from bl_pipeline.books.closing import Period, next_to_close, read_periods
from bl_pipeline.sandbox import Store
from bl_pipeline.settings import Settings
from bl_pipeline.warehouse.database import Warehouse
from bl_pipeline_tests.conftest import MakeSettings, Sync
from bl_pipeline_tests.desk.conftest import OpenDesk
from bl_pipeline_tests.desk.test_overview import words
from bl_pipeline_tests.support.sessions import session_at

MAY = "2026-05"


def rows(page: str) -> list[list[str]]:
    """The rows of the table of months, cell by cell."""
    table = re.findall(r"<tbody>(.*?)</tbody>", page, re.DOTALL)[0]
    return [
        [words(html.unescape(cell)) for cell in re.findall(r"<t[dh][^>]*>(.*?)</t[dh]>", row, re.DOTALL)]
        for row in re.findall(r"<tr[^>]*>(.*?)</tr>", table, re.DOTALL)
    ]


def periods_of(warehouse: Warehouse) -> list[Period]:
    """The months of the journal."""
    with warehouse.engine.connect() as connection:
        return read_periods(connection, warehouse.store)


def test_every_month_is_shown_with_its_figures(synced: Sync, client: TestClient, warehouse: Warehouse) -> None:
    page = client.get("/books")
    assert page.status_code == 200
    shown = rows(page.text)
    expected = []
    for period in reversed(periods_of(warehouse)):
        first = [f"{period.period:%Y-%m}", "open", "", f"{period.entries:,}"]
        for currency, figures in period.figures().items():
            amounts = [f"{amount:,.2f}" for amount in (figures.receivable, figures.turnover, figures.vat)]
            expected.append([*first, currency, *amounts, ""])
            first = ["", "", "", ""]
    assert shown == expected
    assert len(shown) > 5
    assert f"Close {MAY}" in words(page.text)
    assert "The months before it are closed, too" in words(page.text)


def test_a_closed_month_says_what_has_changed_since(
    synced: Sync, client: TestClient, store: Store, warehouse: Warehouse
) -> None:
    done = client.post("/books/close", data={"period": MAY})
    assert (done.status_code, done.headers["location"]) == (303, f"/books#{MAY}")
    closed = {period.period: period.figures() for period in periods_of(warehouse)}
    page = client.get("/books").text
    assert {row[1] for row in rows(page) if row[0] and row[0] <= MAY} == {"closed"}
    assert "Every month that is over is closed" in words(page)
    assert "Reopen 2026-05" in words(page)

    with warehouse.engine.connect() as connection:
        order_id, currency, amount, period = connection.execute(
            text(
                """
                SELECT platform_order_id, currency, debit, period FROM books.journal
                WHERE account_key = 'receivable' AND period < '2026-06-01' ORDER BY entry_no LIMIT 1
                """
            )
        ).one()
    store.advance(timedelta(days=2))
    synced.clock.advance(days=2)
    store.set_status(int(order_id), "CANCELLED")
    assert synced().success
    found = [row for row in rows(client.get("/books").text) if row[8]]
    assert [row[4] for row in found] == [currency]
    assert found[0][8].replace(" :", ":").startswith(f"1 change: {-amount:+,.2f}")
    address = re.findall(r'href="(/reports/period_changes[^"]+)"', client.get("/books").text)[0]
    assert order_id in client.get(html.unescape(address)).text
    after = {each.period: each.figures() for each in periods_of(warehouse)}
    assert {key: after[key] for key in closed if key <= date(2026, 5, 1)} == {
        key: closed[key] for key in closed if key <= date(2026, 5, 1)
    }, "closed months never move"
    assert period <= date(2026, 5, 1)


def test_a_month_is_opened_again(synced: Sync, client: TestClient, warehouse: Warehouse) -> None:
    client.post("/books/close", data={"period": MAY})
    done = client.post("/books/reopen", data={"period": MAY})
    assert (done.status_code, done.headers["location"]) == (303, f"/books#{MAY}")
    assert [row[1] for row in rows(client.get("/books").text) if row[0] == MAY] == ["reopened"]
    assert next(period for period in periods_of(warehouse) if period.period == date(2026, 5, 1)).reopened_at


@pytest.mark.parametrize(("path", "period", "said"), [
    ("close", "2026-06", "is not over"),
    ("reopen", MAY, "is open"),
])  # fmt: skip
def test_what_is_refused_is_said_and_changes_nothing(
    synced: Sync, client: TestClient, warehouse: Warehouse, path: str, period: str, said: str
) -> None:
    before = periods_of(warehouse)
    page = client.post(f"/books/{path}", data={"period": period})
    assert page.status_code == 409
    assert said in words(page.text)
    assert periods_of(warehouse) == before


@pytest.mark.parametrize("period", ["", "2026", "2026-13", "2026-05-03", "May"])
def test_only_a_month_is_closed(synced: Sync, client: TestClient, period: str) -> None:
    assert client.post("/books/close", data={"period": period}).status_code == 422


def test_nothing_is_closed_while_a_sync_is_running(
    synced: Sync, client: TestClient, settings: Settings, warehouse: Warehouse
) -> None:
    with session_at(settings, synced.clock, sleep=synced.clock.sleep) as session:
        assert session.lock.try_acquire()
        page = client.post("/books/close", data={"period": MAY})
    assert page.status_code == 409
    assert not [period for period in periods_of(warehouse) if period.is_closed]


def test_a_read_only_desk_closes_nothing(
    synced: Sync, open_desk: OpenDesk, make_settings: MakeSettings, warehouse: Warehouse
) -> None:
    client = open_desk(make_settings(bl_desk_read_only=True))
    page = client.get("/books")
    assert "<button" not in page.text
    assert client.post("/books/close", data={"period": MAY}).status_code == 403
    assert not [period for period in periods_of(warehouse) if period.is_closed]


def test_a_month_that_was_altered_is_named(synced: Sync, client: TestClient, warehouse: Warehouse) -> None:
    client.post("/books/close", data={"period": MAY})
    with warehouse.engine.begin() as connection:
        connection.execute(text("SET LOCAL session_replication_role = 'replica'"))  # past the guard
        connection.execute(
            text(
                """
                UPDATE books.journal SET debit = debit + 0.01
                WHERE (entry_no, line_no) = (
                    SELECT entry_no, line_no FROM books.journal WHERE period = '2026-05-01' AND debit > 0 LIMIT 1
                )
                """
            )
        )
    assert [row[1] for row in rows(client.get("/books").text) if row[0] == MAY] == ["altered!"]


def test_before_the_first_sync_there_is_nothing(client: TestClient, settings: Settings) -> None:
    assert "Nothing is booked yet" in words(client.get("/books").text)


@pytest.mark.parametrize(
    ("closed", "now", "upcoming"),
    [
        (None, "2026-11-03", date(2026, 10, 1)),
        (None, "2026-09-30T21:59:59", None),
        (None, "2026-09-30T22:00", date(2026, 9, 1)),
        (date(2026, 9, 1), "2026-10-31T22:59", None),
        (date(2026, 9, 1), "2026-10-31T23:00", date(2026, 10, 1)),
        (date(2026, 12, 1), "2027-02-01", date(2027, 1, 1)),
    ],
)
def test_months_are_closed_one_after_the_other(closed: date | None, now: str, upcoming: date | None) -> None:
    moment = datetime.fromisoformat(now).replace(tzinfo=UTC)
    months = [Period(date(2026, 9, 1), 1, (), "")]
    if closed:
        months.append(Period(closed, 1, (), "", closed_at=moment))
    assert next_to_close(months, "Europe/Berlin", moment) == upcoming
    assert next_to_close([], "Europe/Berlin", moment) is None


def filled(client: TestClient) -> bytes:
    """The accounts.csv of the page, filled in as an accountant would."""
    found = client.get("/books/accounts.csv")
    assert found.headers["content-disposition"] == 'attachment; filename="accounts.csv"'
    header, *lines = found.text.splitlines()
    numbers = (f"{line.rsplit(',', 2)[0]},{4000 + number},7" for number, line in enumerate(lines))
    return "\n".join([header, *numbers]).encode()


def export(client: TestClient, target: str, chart: bytes | None, **more: str) -> Any:
    """What the form for exports answers."""
    files = {} if chart is None else {"accounts": ("accounts.csv", chart, "text/csv")}
    return client.post("/books/export", data={"period": MAY, "target": target, **more}, files=files)


@pytest.mark.parametrize(("target", "rates"), [("quickbooks", ""), ("xero", ""), ("datev", "USD=1.1740")])
def test_a_closed_month_is_exported(
    synced: Sync, open_desk: OpenDesk, make_settings: MakeSettings, target: str, rates: str
) -> None:
    client = open_desk(make_settings(bl_datev_consultant=29098, bl_datev_client=55003))
    client.post("/books/close", data={"period": MAY})
    answer = export(client, target, filled(client), rates=rates)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/zip"), words(answer.text)
    assert answer.headers["content-disposition"] == f'attachment; filename="{target}-{MAY}.zip"'
    with ZipFile(BytesIO(answer.content)) as archive:
        assert archive.namelist()
        assert all(len(archive.read(name).splitlines()) > 1 for name in archive.namelist())


def test_a_month_without_entries_has_no_files(synced: Sync, client: TestClient, warehouse: Warehouse) -> None:
    """Planted: a ZIP file with nothing in it."""
    client.post("/books/close", data={"period": MAY})
    with warehouse.engine.begin() as connection:
        connection.execute(
            text(
                """
                INSERT INTO books.closings (
                    store, period, timezone, closed_at, last_document_id, last_entry_no, entries, digest
                )
                SELECT store, '2020-01-01', timezone, closed_at, 0, 0, 0, encode(sha256(''), 'hex')
                FROM books.closings LIMIT 1
                """
            )
        )
    answer = client.post("/books/export", data={"period": "2020-01", "target": "quickbooks"})
    assert answer.status_code == 409
    assert "2020-01 has no entries, so there is nothing to export" in words(answer.text)


def test_an_export_that_is_refused_says_why(synced: Sync, client: TestClient) -> None:
    chart = filled(client)
    assert "is not closed" in words(export(client, "xero", chart).text)
    client.post("/books/close", data={"period": MAY})
    template = client.get("/books/accounts.csv").content
    for target, sent, said in [
        ("quickbooks", template, "have no account"),
        ("datev", chart, "BL_DATEV_CONSULTANT"),
        ("xero", b"a,b\n1,2\n", "accounts.csv"),
        ("xero", None, "accounts.csv"),
    ]:
        answer = export(client, target, sent)
        assert answer.status_code == 409
        assert said in words(answer.text), target
    assert export(client, "lexware", chart).status_code == 422
