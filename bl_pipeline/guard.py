"""The guard before everything that listens: no web page of another site can control what serves on loopback.

A page in the user's browser can send requests to 127.0.0.1: by an image, a form, `fetch`, a frame or a websocket, and
under a name of its own that its DNS server points there (DNS rebinding). The page cannot change three headers
that the browser writes, and these are checked: `Host`, `Origin` and `Sec-Fetch-Site`. Programs send none of the last
two, and are let through.

`why_refused` is the rule; `Guard` applies it to an ASGI app, so to every HTTP request and websocket of it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
_SEPARATE = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?P<port>:[0-9]{1,5})?")
_FOR_PROGRAMS = re.compile(r"(/stores/[^/]+)?/(api/|metrics\Z)")
_LONGEST_SHOWN = 80  # characters of a header's value in an answer

PROBLEM = "application/problem+json"
"""The media type of problem details (RFC 9457), with which endpoints say what is wrong."""

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


def host_name(host: str) -> str | None:
    """The name in `name` or `name:port`, in lower case, an IPv6 address in brackets; None if it is neither."""
    found = _SEPARATE.fullmatch(host.lower())
    return found["name"] if found else None


def why_refused(method: str, headers: Iterable[tuple[str, str]], hosts: Iterable[str] = ()) -> str | None:
    """Why this request may come from a page of another site, and what to do; None if it is allowed.

    Args:
        method: GET, POST ...; of a websocket GET.
        headers: name in lower case and value, each as often as it was sent.
        hosts: the names, with a port if the browser shows one, of reverse proxies before this server.
    """
    values: dict[str, list[str]] = {}
    for header, value in headers:
        values.setdefault(header, []).append(value)
    # The same header twice has no meaning; a server behind the guard might read the other one.
    given = {header: found[0] if len(found) == 1 else "" for header, found in values.items()}
    allowed = [host.lower() for host in hosts]
    host = given.get("host", "").lower()
    name = host_name(host)
    if name is None:
        return "This request does not say for which host it is, and this server answers only under its own names."
    if name not in LOOPBACK | {host_name(one) for one in allowed}:
        return (
            f"This request is for the host {_shown(host)}, and this server does not answer under that name.\n"
            f"If it is the name of your reverse proxy, set BL_UI_HOSTS={_shown(host)} and start bl up again."
        )
    origin = given.get("origin")
    if origin is not None:
        scheme, _, place = origin.lower().partition("://")
        if scheme not in ("http", "https") or place not in (host, *allowed):
            return (
                f"This request comes from a page of {_shown(origin)}, and only pages of this server may ask it.\n"
                "If it is your reverse proxy, add its address to BL_UI_HOSTS, without http://, and start bl up again."
            )
    site = given.get("sec-fetch-site", "none")
    if site not in ("same-origin", "none") and not _follows_a_link(method, given):
        return (
            "This request comes from a page of another site, and only pages of this server may ask it.\n"
            "Open the address of this server in a tab of its own."
        )
    return None


def _follows_a_link(method: str, given: dict[str, str]) -> bool:
    """A link on another site, such as in web mail, may open a page here: no GET changes anything."""
    return (
        method in ("GET", "HEAD")
        and given.get("sec-fetch-mode") == "navigate"
        and given.get("sec-fetch-dest") == "document"
    )


def _shown(value: str) -> str:
    text = "".join(char if char.isprintable() and char.isascii() else "?" for char in value[:_LONGEST_SHOWN])
    return text or "(none)"


def is_for_programs(path: str) -> bool:
    """Whether programs ask at this address, and not people: what is wrong is said as problem details."""
    return _FOR_PROGRAMS.match(path) is not None


def problem_details(status: int, title: str, detail: str, kind: str = "") -> dict[str, Any]:
    """What happened and what to do, for programs. `kind` is a name on the page /problems."""
    type_ = f"/problems#{kind}" if kind else "about:blank"
    return {"type": type_, "title": title, "status": status, "detail": detail}


class Guard:
    """An ASGI app that lets through to `app` what `why_refused` and `also_refused` allow, and says why not otherwise.

    It also forbids pages of other sites to show this one in a frame, under which they could guide a click.

    Args:
        app: the app behind the guard.
        hosts: as for `why_refused`.
        also_refused: another reason to refuse, from the ASGI scope of a request; None if there is none.
    """

    def __init__(
        self, app: App, hosts: Iterable[str] = (), also_refused: Callable[[Message], str | None] = lambda _scope: None
    ) -> None:
        self._app = app
        self._hosts = tuple(hosts)
        self._also_refused = also_refused

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request or websocket, or the lifespan of the server, which is no request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        headers = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in scope["headers"]]
        reason = why_refused(scope.get("method", "GET"), headers, self._hosts) or self._also_refused(scope)
        if reason is None:
            await self._app(scope, receive, _unframed(send))
        else:
            await _refuse(scope, send, reason)


def _unframed(send: Send) -> Send:
    async def send_unframed(message: Message) -> None:
        if message["type"] == "http.response.start":
            # Added to a policy of the app itself; the browser obeys both.
            policy = (b"content-security-policy", b"frame-ancestors 'self'")
            message = {**message, "headers": [*message.get("headers", ()), policy]}
        await send(message)

    return send_unframed


async def _refuse(scope: Message, send: Send, reason: str) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})  # before it was accepted: the server answers 403, without a body
        return
    media_type, body = b"text/plain; charset=utf-8", f"{reason}\n".encode()
    if is_for_programs(scope.get("path", "")):
        media_type = PROBLEM.encode()
        body = json.dumps(problem_details(403, "This request is refused", reason)).encode()
    headers = [
        (b"content-type", media_type),
        (b"content-length", str(len(body)).encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 403, "headers": headers})
    await send({"type": "http.response.body", "body": body})
