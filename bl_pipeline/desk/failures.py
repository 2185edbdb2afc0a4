"""What can go wrong in a request, as a page or as problem details (RFC 9457): what happened, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote_to_bytes

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlalchemy.exc import DataError
from starlette.exceptions import HTTPException

from bl_pipeline.desk.access import LONGEST_BODY
from bl_pipeline.desk.pages import page
from bl_pipeline.desk.state import NoStore, desks_of, path_of
from bl_pipeline.guard import PROBLEM, is_for_programs, problem_details
from bl_pipeline.questions import QuestionError
from bl_pipeline.settings import SettingsError
from bl_pipeline.sync.asking import NotAsked
from bl_pipeline.sync.run_errors import LockTaken
from bl_pipeline.sync.unexpected import known_message, message_of
from bl_pipeline.warehouse.database import WarehouseError
from bl_pipeline.warehouse.refusals import read_refusal

_INVALID = "This cannot be done as it was asked"

KINDS = {
    "read-only": "BL_DESK_READ_ONLY is set, so nothing can be started or changed at this desk.",
    "token-needed": "BL_DESK_TOKEN is set, and the request does not have it: send Authorization: Bearer ...",
    "no-such-order": "The warehouse has no order of this number. If it is new at BrickLink, the next sync stores it.",
    "no-such-store": "There are several stores, and the address names none of them: the detail has their addresses.",
    "no-such-run": "No run of this id is known in this warehouse and store.",
    "sync-running": "A sync of the store is running, and only one can run. Wait until it has ended, or cancel it.",
    "not-connected": "The API credentials of the store are not set: nothing can be asked of BrickLink.",
    "wrong-setting": "A setting has to be corrected; the detail names it.",
    "invalid-request": "The request has a value that is not valid; the detail names it. The same request fails again.",
    "budget-used-up": "The API calls of the last 24 hours are used up. Try again at the time of nextResetAt.",
    "warehouse-unreachable": "Postgres cannot be reached or used now. Try again; the detail says what is wrong.",
}
"""The kinds of problems that programs can tell apart, by their stable names: the fragment of `type`."""


class Refused(Exception):
    """What was asked for is not done; `status` is that of the answer, `detail` says what to do.

    `kind` is one of KINDS; `members` are further members of the problem details.
    """

    def __init__(
        self,
        status: int,
        title: str,
        detail: str = "",
        headers: dict[str, str] | None = None,
        members: dict[str, str] | None = None,
        kind: str = "",
    ) -> None:
        super().__init__(title)
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = headers or {}
        self.members = members or {}
        self.kind = kind


@dataclass(frozen=True)
class _Failure:
    status: int
    title: str
    detail: str
    kind: str = ""
    members: Mapping[str, str] = field(default_factory=dict)


def _failure(error: Exception) -> _Failure:
    if isinstance(error, HTTPException):
        return _of_the_framework(error)
    lost = read_refusal(error)
    if isinstance(error, WarehouseError) or (lost is not None and lost.is_lost):
        cannot = "reached" if lost or type(error) is WarehouseError else "used"
        return _Failure(503, f"The warehouse cannot be {cannot}", known_message(error) or "", "warehouse-unreachable")
    if isinstance(error, LockTaken):
        return _Failure(409, "A sync is running", str(error), "sync-running")
    if isinstance(error, QuestionError | NotAsked):
        return _Failure(422, _INVALID, str(error), "invalid-request")
    if isinstance(error, DataError):  # from Postgres: NUL, or a number that no column takes
        return _Failure(422, _INVALID, "It has a character or a number that is not valid.", "invalid-request")
    if isinstance(error, SettingsError):
        return _Failure(409, "A setting has to be corrected", str(error), "wrong-setting")
    return _Failure(500, "Something went wrong", message_of(error))


def _of_the_framework(error: HTTPException) -> _Failure:
    allowed = (error.headers or {}).get("Allow")
    title, detail = {
        404: ("There is no such page or endpoint", "/orders has the orders, /api/openapi.json all endpoints."),
        405: ("This address cannot be used in this way", f"It can be used with: {allowed}"),
        413: ("The request is too long", f"Send at most {LONGEST_BODY:,} bytes: for example, choose fewer orders."),
    }.get(error.status_code, (str(error.detail), ""))
    return _Failure(error.status_code, title, detail)


def _answer(request: Request, failure: _Failure, headers: dict[str, str]) -> Response:
    if is_for_programs(request.url.path):
        problem = {**problem_details(failure.status, failure.title, failure.detail, failure.kind), **failure.members}
        return JSONResponse(problem, failure.status, headers, media_type=PROBLEM)
    address = request.url
    can_be_repeated = request.method == "GET" and failure.status != 404
    again = f"{address.path}?{address.query}".rstrip("?") if can_be_repeated else None
    answer = page(
        request,
        "failure",
        status=failure.status,
        title=failure.title,
        detail=failure.detail,
        again=again,
        returns=failure.status == 503,
    )
    answer.headers.update(headers)
    return answer


def _answer_no_store(request: Request) -> Response:
    """Which stores there are, and the same address in each of them."""
    desks = desks_of(request)
    path, unknown = path_of(request), ""
    if path.startswith("/stores/"):
        unknown, _, rest = path.removeprefix("/stores/").partition("/")
        path = f"/{rest}"
    title = f"There is no store {unknown}" if unknown else "Which store?"
    if is_for_programs(path):
        addresses = ", ".join(f"{desk.root}{path}" for desk in desks.all)
        detail = f"There are several stores. Ask one of them: {addresses}"
        return _answer(request, _Failure(404, title, detail, "no-such-store"), {})
    # What changes something is asked for again by a button, and not by a link.
    same = path if request.method == "GET" else "/"
    return page(request, "no_store", status=404, title=title, same=same)


def answer_failure(request: Request, error: Exception, opened: int) -> Response:
    """The answer to an error that no handler knows; nothing of its own text is logged.

    `opened` is how often the warehouse had been opened when the request came.
    """
    failure = _failure(error)
    if failure.status == 503:
        # An embedded Postgres that was killed is started by the next request.
        desks_of(request).source.close(opened)
    return _answer(request, failure, {})


def refuse_broken_text(request: Request) -> None:
    """Raise Refused if the address is not UTF-8, or has the one character that Postgres does not take."""
    for part in (request.scope["raw_path"], request.scope["query_string"]):
        try:
            broken = "\0" in unquote_to_bytes(part).decode()
        except UnicodeDecodeError:
            broken = True
        if broken:
            how = "Write its text in UTF-8, and without the character NUL."
            raise Refused(400, "The address cannot be read", how, kind="invalid-request")


def install_failures(app: FastAPI) -> None:
    """Answer refusals, and what the framework refuses, in the same two forms."""

    @app.exception_handler(Refused)
    def refused(request: Request, error: Refused) -> Response:
        return _answer(
            request, _Failure(error.status, error.title, error.detail, error.kind, error.members), error.headers
        )

    @app.exception_handler(NoStore)
    def no_store(request: Request, _error: NoStore) -> Response:
        return _answer_no_store(request)

    @app.exception_handler(HTTPException)
    def of_the_framework(request: Request, error: HTTPException) -> Response:
        return _answer(request, _failure(error), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> Response:
        detail = "\n".join(map(_fault, error.errors()))
        return _answer(request, _Failure(422, _INVALID, detail, "invalid-request"), {})


def _fault(fault: Mapping[str, Any]) -> str:
    """What is wrong with a request, and where; what was sent is not repeated."""
    place, *names = fault["loc"]
    if place == "body" and (not names or fault["type"] == "json_invalid"):
        return "The body must be a JSON object, complete, and sent with the header Content-Type: application/json."
    return f"{'.'.join(map(str, names))}: {fault['msg'].removeprefix('Value error, ')}"
