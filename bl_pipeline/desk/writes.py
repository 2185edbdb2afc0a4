"""Changes of orders at BrickLink: a preview that sends nothing, then a confirmation that sends.

What was typed goes from the preview to the confirmation in hidden fields, each under the order's id, such as
`15646315.remarks`. It is in no address, and in no event of Dagster: the desk itself sends it, and a page shows how far
it is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse

from bl_pipeline.dagster_names import Job
from bl_pipeline.desk.changes import Change, Changes, ChangeStatus, Line
from bl_pipeline.desk.chosen import Fields, choose, read_orders
from bl_pipeline.desk.failures import Refused
from bl_pipeline.desk.overview import require_changes
from bl_pipeline.desk.pages import page
from bl_pipeline.desk.state import Desk, DeskOf
from bl_pipeline.desk.words import when
from bl_pipeline.rules.writes import WriteKind, WriteOutcome
from bl_pipeline.sync.asking import NotAsked
from bl_pipeline.sync.direct_writes import write_order
from bl_pipeline.sync.previewing import Preview
from bl_pipeline.sync.unexpected import message_of
from bl_pipeline.sync.writing import WriteResult
from bl_pipeline.warehouse.fulfilment import Row

router = APIRouter()

_FIELDS = {
    "status": ("Status", "platform_status"),
    "payment_status": ("Payment", "payment_status"),
    "tracking_no": ("Tracking number", "tracking_number"),
    "tracking_link": ("Tracking link", "tracking_url"),
    "date_shipped": ("Shipped at", "shipped_at"),
    "remarks": ("Your remarks", "remarks"),
    "is_filed": ("Filed", "is_filed"),
    "drive_thru": ("Thank-you mail", "drive_thru_sent"),
}
"""The fields that can be changed here: what a page calls each, and its column in sales.orders."""
_REMOVABLE = ("tracking_no", "tracking_link", "remarks")
"""A blank text removes what is stored; another field that is blank is not asked for."""
_REQUESTS = {
    WriteKind.UPDATE: "Update the order",
    WriteKind.PAYMENT_STATUS: "Set the payment status",
    WriteKind.STATUS: "Set the status",
    WriteKind.DRIVE_THRU: "Send the thank-you mail",
}
_OUTCOMES = {
    WriteOutcome.DONE: "done",
    WriteOutcome.NOT_DONE: "not done",
    WriteOutcome.PARTLY_DONE: "done in part",
    WriteOutcome.CHANGED: "the order now has another value",
    WriteOutcome.REFUSED: "refused by BrickLink",
}


_RESULT_TIMEOUT = 2.0
"""Seconds until a page with the progress is shown in place of the result."""


@router.post("/writes/preview")
def preview(desk: DeskOf, fields: Fields) -> RedirectResponse:
    """Find out which requests would be sent, and their cost. To read an order is one call; nothing is sent."""
    require_changes(desk)
    # From now on whatever others change is noticed by the confirmation.
    return _start(desk, Changes(_read(desk, fields), desk.clock(), is_sent=False))


@router.post("/writes")
def confirm(desk: DeskOf, fields: Fields) -> RedirectResponse:
    """Send what the preview has shown, order by order. One that is refused does not stop the others."""
    require_changes(desk)
    try:
        looked_at = datetime.fromisoformat(fields.get("unchanged_since", [""])[0])
        if looked_at.tzinfo is None:
            raise ValueError
    except ValueError:
        raise Refused(422, "Nothing was sent", "Look at the preview first, and confirm what it shows.") from None
    return _start(desk, Changes(_read(desk, fields), looked_at, is_sent=True))


def _start(desk: Desk, changes: Changes) -> RedirectResponse:
    desk.working.start(changes, lambda changes: _work(desk, changes))
    changes.ended.wait(_RESULT_TIMEOUT)
    return RedirectResponse(f"{desk.root}/writes/{changes.key}", status_code=303)


@router.get("/writes/{key}")
def look(request: Request, desk: DeskOf, key: str) -> HTMLResponse:
    """How far a preview or its sending is, then what it has found or done."""
    changes = desk.working.find(key)
    if changes is None:
        raise Refused(
            404,
            "This page is not kept any more",
            "The desk keeps the latest ones until it is ended. What was sent is in the history of each order.",
        )
    if not changes.ended.is_set():
        return page(request, "writes_progress", work=changes)
    if changes.is_sent:
        return page(
            request, "writes_result", changes=changes.done, stop=changes.stop, notes=list(dict.fromkeys(changes.notes))
        )
    return page(
        request,
        "writes_preview",
        changes=changes.done,
        looked_at=changes.looked_at,
        stop=changes.stop,
        used=changes.used,
        calls=sum(change.calls for change in changes.done) + changes.settling,
        settling=changes.settling,
        left=desk.status().calls.left,
    )


def _work(desk: Desk, changes: Changes) -> None:
    """Preview or send, order by order, until something stops it."""
    for order, typed in changes.asked:
        if desk.working.closing.is_set():
            changes.stop = changes.stop or "The desk was ended. Orders that it had not begun are as they were."
        if changes.stop:
            changes.done.append(Change(order, typed, ChangeStatus.STOPPED))
            continue
        try:
            changes.done.append((_send if changes.is_sent else _preview)(desk, changes, order, typed))
        except NotAsked as error:
            changes.done.append(Change(order, typed, ChangeStatus.REFUSED, str(error)))
        except Exception as error:
            # What was done for the orders before is shown.
            changes.stop = message_of(error)
            changes.done.append(Change(order, typed, ChangeStatus.STOPPED, changes.stop))


def _preview(desk: Desk, changes: Changes, order: Row, typed: Mapping[str, str]) -> Change:
    # A blank text of an order that has none asks for nothing.
    wanted = {name: text for name, text in typed.items() if text or order[_FIELDS[name][1]]}
    found = _write(desk, order, wanted, dry_run=True, unchanged_since=order["fetched_at"], warn=lambda _: None)
    assert isinstance(found, Preview)
    changes.used += found.api_calls
    # What earlier runs have left is settled once, whatever the number of orders.
    changes.settling = found.calls_to_settle
    changes.stop = found.message or "" if found.stop_reason else ""
    return _previewed(desk, order, wanted, found)


def _send(desk: Desk, changes: Changes, order: Row, typed: Mapping[str, str]) -> Change:
    result = _write(desk, order, typed, dry_run=False, unchanged_since=changes.looked_at, warn=changes.notes.append)
    assert isinstance(result, WriteResult)
    changes.stop = result.message or "" if result.stop_reason else ""
    return _written(desk, order, typed, result)


def _read(desk: Desk, fields: Mapping[str, Sequence[str]]) -> list[tuple[Row, dict[str, str]]]:
    """The orders that a form is about, and what it asks of each. A `status` without an id is for each order."""
    orders = read_orders(desk, choose(fields.get("order", [])))
    asked = []
    for order in orders:
        typed = {}
        for name in _FIELDS:
            shared = fields.get(name, [""]) if name == "status" else [""]
            sent = fields.get(f"{order['platform_order_id']}.{name}")
            text = (sent or shared)[0].replace("\r\n", "\n").strip()
            if text or (sent and name in _REMOVABLE):
                typed[name] = text
        asked.append((order, typed))
    return asked


def _write(
    desk: Desk,
    order: Row,
    typed: Mapping[str, str],
    *,
    dry_run: bool,
    unchanged_since: datetime,
    warn: Callable[[str], None],
) -> WriteResult | Preview:
    given = dict[str, Any](typed)
    if "is_filed" in given:
        given["is_filed"] = given["is_filed"] == "true"
    mail_me = given.get("drive_thru") == "mail_me"
    if "drive_thru" in given:
        given["drive_thru"] = True
    return write_order(
        desk.settings,
        order["platform_order_id"],
        given,
        job=Job.SEND_DRIVE_THRU if list(given) == ["drive_thru"] else Job.UPDATE_ORDER,
        dry_run=dry_run,
        warn=warn,
        clock=desk.clock,
        unchanged_since=unchanged_since.isoformat(),
        mail_me=mail_me,
    )


def _previewed(desk: Desk, order: Row, typed: Mapping[str, str], found: Preview) -> Change:
    zone = desk.settings.bl_timezone
    if _is_as_asked(typed, found):
        return Change(order, typed, ChangeStatus.AS_ASKED)
    if found.stop_reason:
        return Change(order, typed, ChangeStatus.STOPPED)
    if found.errors:
        return Change(order, typed, ChangeStatus.REFUSED, _errors(found))
    lines = [
        _line(typed, one.kind, before, one.asked, zone)
        for one, before in zip(found.requests, found.before, strict=True)
    ]
    return Change(order, typed, ChangeStatus.READY, lines=lines, calls=found.calls - found.calls_to_settle)


def _written(desk: Desk, order: Row, typed: Mapping[str, str], result: WriteResult) -> Change:
    zone = desk.settings.bl_timezone
    lines = [
        _line(
            typed,
            write.kind,
            write.before,
            write.asked,
            zone,
            _OUTCOMES[write.outcome] if write.outcome else "not known yet",
        )
        for write in result.writes
    ]
    if not lines and _is_as_asked(typed, result):
        return Change(order, typed, ChangeStatus.AS_ASKED)
    if result.success:
        return Change(order, typed, ChangeStatus.DONE, lines=lines)
    status = ChangeStatus.STOPPED if result.stop_reason else ChangeStatus.REFUSED
    return Change(order, typed, status, _errors(result), lines)


def _line(
    typed: Mapping[str, str],
    kind: WriteKind,
    before: Mapping[str, Any],
    asked: Mapping[str, Any],
    zone: str,
    outcome: str = "",
) -> Line:
    changes = [
        (_FIELDS[name][0], _shown(name, before[name], zone), _wanted(typed, name, value, zone))
        for name, value in asked.items()
    ]
    return Line(_REQUESTS[kind], changes, outcome)


def _is_as_asked(typed: Mapping[str, str], result: Preview | WriteResult) -> bool:
    """Whether the order is as asked already: then it does not matter who has changed it."""
    return bool(typed) and set(typed) <= set(result.already)


def _errors(result: Preview | WriteResult) -> str:
    return "\n".join(error["error"] for error in result.errors)


def _wanted(typed: Mapping[str, str], name: str, value: Any, zone: str) -> str:
    """What is asked for, in words; who gets a copy of the mail is in what was typed only."""
    return _shown(name, value, zone) + (", with a copy to you" if typed.get(name) == "mail_me" else "")


def _shown(name: str, value: Any, zone: str) -> str:
    """A value of a field, as BrickLink has it or as asked for, in words."""
    if name == "is_filed":
        return "yes" if value else "no"
    if name == "drive_thru":
        return "sent" if value else "not sent"
    if name == "date_shipped" and value:
        return when(datetime.fromisoformat(value), zone)
    return str(value or "(none)")
