"""The orders desk on a port of its own, and its pages in a real browser."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any

import uvicorn
from playwright.sync_api import Browser, Page

from bl_pipeline.desk.serving import guarded_app
from bl_pipeline.sandbox import SandboxServer
from bl_pipeline.settings import Settings
from bl_pipeline_tests.support.waiting import wait_until

PATIENCE = 200_000.0
"""Milliseconds that anything may take; on a quiet machine it takes a fiftieth of this."""


@contextmanager
def serving(settings: Settings, stores: Sequence[Settings] = ()) -> Iterator[str]:
    """The address of the desk of these settings, or of several stores, behind its guards, on a free port."""
    config = uvicorn.Config(guarded_app(settings, stores), host="127.0.0.1", port=0, log_level="warning")
    server = uvicorn.Server(config)
    thread = Thread(target=server.run)
    thread.start()
    try:
        wait_until(lambda: server.started)
        port = server.servers[0].sockets[0].getsockname()[1]
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()


def open_page(browser: Browser, address: str, **context: Any) -> tuple[Page, list[str]]:
    """A page, and what goes wrong in it: errors of scripts, and what the policy has blocked."""
    page = browser.new_context(**context).new_page()
    page.set_default_timeout(PATIENCE)
    wrong: list[str] = []
    page.on("console", lambda message: wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(address)
    return page, wrong


@contextmanager
def paused(server: SandboxServer, more: int) -> Iterator[None]:
    """BrickLink answers so many requests more, and the others only afterwards."""
    last, go_on = len(server.requests) + more, Event()

    def pause(_request: object) -> None:
        if len(server.requests) > last:
            go_on.wait()

    server.on_request = pause
    try:
        yield
    finally:
        server.on_request = None
        go_on.set()
