"""Who may use the desk, and how much a request may send.

A desk that others can reach asks for its token: as a header of programs, or once in each browser at the page /login.
The browser keeps what is made of the token, not the token: nobody who reads the cookie learns it.
"""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from bl_pipeline.guard import LOOPBACK, PROBLEM, App, Message, Receive, Send, is_for_programs, problem_details
from bl_pipeline.settings import Settings, SettingsError

LONGEST_BODY = 1 << 20  # bytes of a request; the longest form of the desk has some thousand order numbers
_COOKIE = "bl_desk"
_COOKIE_AGE = 30 * 86400  # seconds
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Orders desk</title>
<link rel="stylesheet" href="/static/desk.css"><main><section class="card"><h1>Orders desk</h1>{note}
<form method="post" action="/login" class="options"><label>Token (BL_DESK_TOKEN)
<input type="password" name="token" autocomplete="current-password" required autofocus></label>
<button>Log in</button></form></section></main></html>"""


def require_token(settings: Settings, host: str) -> None:
    """Raise SettingsError if others can reach a desk that listens on `host`, and it has no token."""
    if settings.bl_desk_token is not None:
        return
    how = "Make one with: openssl rand -hex 20. Whoever opens the orders desk has to know it."
    if host not in LOOPBACK | {"::1"}:
        raise SettingsError(
            f"BL_DESK_TOKEN: not set, and other machines can reach a desk at {host}.\n{how} "
            "Put a reverse proxy with TLS before the desk, and its name into BL_UI_HOSTS."
        )
    if settings.ui_hosts:
        raise SettingsError(
            f"BL_DESK_TOKEN: not set, and others can reach the desk through the proxy of BL_UI_HOSTS.\n{how}"
        )


class BodyLimit:
    """An ASGI app that ends a request with 413 if it sends more than `LONGEST_BODY`, before it is kept."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        received = 0

        async def receive_some() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            if received > LONGEST_BODY:
                raise HTTPException(413)
            return message

        await self._app(scope, receive_some, send)


class TokenGate:
    """An ASGI app that lets through to `app` who knows the token; all others see the page that asks for it."""

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._token = token
        self._cookie = hmac.digest(token.encode(), b"cookie of the orders desk", "sha256").hex()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope, receive)
        if request.url.path.startswith("/static/") or self._is_known(request):
            await self._app(scope, receive, send)
        else:
            answer = await self._ask(request)
            await answer(scope, receive, send)

    def _is_known(self, request: Request) -> bool:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer" and _is_same(token, self._token):
            return True
        try:
            cookie = SimpleCookie(request.headers.get("cookie", "")).get(_COOKIE)
        except CookieError:
            return False
        return cookie is not None and _is_same(cookie.value, self._cookie)

    async def _ask(self, request: Request) -> Response:
        if is_for_programs(request.url.path):
            detail = "Send the token of BL_DESK_TOKEN: Authorization: Bearer ..."
            problem = problem_details(401, "A token is needed", detail, "token-needed")
            return JSONResponse(problem, 401, {"WWW-Authenticate": "Bearer"}, media_type=PROBLEM)
        if request.method != "POST" or request.url.path != "/login":
            return HTMLResponse(_PAGE.format(note=""), 401)
        given = parse_qs((await request.body()).decode("utf-8", "replace")).get("token", [""])[0]
        if not _is_same(given, self._token):
            return HTMLResponse(_PAGE.format(note='<p role="alert">This is not the token.</p>'), 401)
        answer = RedirectResponse("/", 303)
        secure = request.url.scheme == "https"
        answer.set_cookie(_COOKIE, self._cookie, _COOKIE_AGE, httponly=True, samesite="strict", secure=secure)
        return answer


def _is_same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())
