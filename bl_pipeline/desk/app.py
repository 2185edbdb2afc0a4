"""The desk as an ASGI app: its pages, its endpoints, and what is the same for each of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from fastapi import Depends, FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.staticfiles import StaticFiles

from bl_pipeline.desk import api, books, fulfilment, metrics, order, orders, overview, reports, stores, writes
from bl_pipeline.desk.access import BodyLimit, TokenGate
from bl_pipeline.desk.failures import answer_failure, install_failures, refuse_broken_text
from bl_pipeline.desk.state import DESK, Desks
from bl_pipeline.guard import App, Message, Receive, Send

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class _HeadAsGet:
    """An ASGI app that answers HEAD as GET; the server leaves the body out."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope.get("method") == "HEAD":
            scope = {**scope, "method": "GET"}
        await self._app(scope, receive, send)


class _StoreOfAddress:
    """An ASGI app that gives to each request the desk of its store: /stores/KEY is the root path of that store's pages.

    An installation with one store has no such addresses: every request is about that store.
    """

    def __init__(self, app: App, desks: Desks) -> None:
        self._app = app
        self._only = desks.only
        self._by_root = {desk.root: desk for desk in desks.all}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            desk = self._only or self._by_root.get("/".join(scope["path"].split("/")[:3]))
            if desk:
                scope = {**scope, "root_path": desk.root, DESK: desk}
        await self._app(scope, receive, send)


def create_app(desks: Desks) -> FastAPI:
    """The app of an installation's desks; when it ends, it ends what goes on, and closes the warehouse."""

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        # Those of all stores end at the same time.
        for desk in desks.all:
            desk.working.closing.set()
        for desk in desks.all:
            desk.working.close()
        for desk in desks.all:
            desk.launches.cancel()
        for desk in desks.all:
            desk.launches.close()
        desks.source.close()

    app = FastAPI(
        title="bl_pipeline",
        description="The orders of a BrickLink store, and its syncs.",
        docs_url=None,  # its page would load scripts from the network
        redoc_url=None,
        openapi_url="/api/openapi.json",
        # The same endpoints for each store.
        servers=None if desks.only else [{"url": root} for root in ("/", *(desk.root for desk in desks.all))],
        root_path_in_servers=False,
        lifespan=lifespan,
        dependencies=[Depends(refuse_broken_text)],
    )
    app.state.desks = desks
    if token := desks.all[0].settings.bl_desk_token:
        app.add_middleware(TokenGate, token=token.get_secret_value())
    app.add_middleware(BodyLimit)

    # The last ones added are around the others: the page that asks for the token has the headers too.
    @app.middleware("http")
    async def add_headers(request: Request, call: Callable[[Request], Awaitable[Response]]) -> Response:
        opened = desks.source.opened
        try:
            answer = await call(request)
        except Exception as error:
            answer = await run_in_threadpool(answer_failure, request, error, opened)
        for name, value in _HEADERS.items():
            answer.headers.setdefault(name, value)
        return answer

    app.add_middleware(_HeadAsGet)
    app.add_middleware(_StoreOfAddress, desks=desks)
    install_failures(app)
    app.mount("/static", StaticFiles(packages=[("bl_pipeline.desk", "static")]), name="static")
    for pages in (stores, overview, orders, order, writes, fulfilment, reports, books, metrics):
        app.include_router(pages.router, include_in_schema=False)
    app.include_router(api.router)
    return app
