"""The token of a desk that others can reach: as a header of programs, or as a cookie after the page /login."""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response

from bl_pipeline.guard import PROBLEM, App, Message, Receive, Send, problem_details

_COOKIE = "bl_desk"
_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Orders desk</title>
<link rel="stylesheet" href="/static/desk.css"><main><section class="card"><h1>Orders desk</h1>{note}
<form method="post" action="/login" class="options"><label>Token (BL_DESK_TOKEN)
<input type="password" name="token" autocomplete="current-password" required autofocus></label>
<button>Log in</button></form></section></main></html>"""


class TokenGate:
    """An ASGI app that lets through to `app` who knows the token; all others see the page that asks for it."""

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._token = token

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
        if scheme.lower() == "bearer" and self._is_right(token):
            return True
        try:
            cookie = SimpleCookie(request.headers.get("cookie", "")).get(_COOKIE)
        except CookieError:
            return False
        return cookie is not None and self._is_right(cookie.value)

    def _is_right(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self._token.encode())

    async def _ask(self, request: Request) -> Response:
        if request.url.path.startswith("/api/"):
            detail = "Send the token of BL_DESK_TOKEN: Authorization: Bearer ..."
            problem = problem_details(401, "A token is needed", detail)
            return JSONResponse(problem, 401, {"WWW-Authenticate": "Bearer"}, media_type=PROBLEM)
        if request.method != "POST" or request.url.path != "/login":
            return HTMLResponse(_PAGE.format(note=""), 401)
        given = parse_qs((await request.body()).decode("utf-8", "replace")).get("token", [""])[0]
        if not self._is_right(given):
            return HTMLResponse(_PAGE.format(note='<p role="alert">This is not the token.</p>'), 401)
        answer = RedirectResponse("/", 303)
        answer.set_cookie(
            _COOKIE, given, httponly=True, samesite="strict", secure=request.url.scheme == "https", max_age=30 * 86400
        )
        return answer
