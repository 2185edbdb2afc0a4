"""The Dagster UI behind the guard: what `bl up` runs as a process of its own.

    python -m bl_pipeline.terminal.web PORT WORKSPACE_FILE [--code-socket SOCKET] [--host HOST]

A container needs another host than loopback; its port is published on loopback, or to a reverse proxy that asks who
somebody is: the UI itself does not. A bare `dagster dev` serves the same UI without the guard.
"""

from __future__ import annotations

import logging
import re
import time
from argparse import ArgumentParser
from pathlib import Path
from urllib.parse import parse_qsl

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context
from uvicorn.config import LOGGING_CONFIG

from bl_pipeline.guard import Guard, Message
from bl_pipeline.logs import log_as_json
from bl_pipeline.settings import load_installation
from bl_pipeline.terminal.services import listens

HOST = "127.0.0.1"
# The word alone, in any place: GraphQL has no other way to write it, and no second parser is needed.
_MUTATION = re.compile(r"\bmutation\b", re.ASCII)
_POLL = 0.1
_STOP_TIMEOUT = 5  # seconds at the end for answers under way
_DATABASE_TIMEOUT = 15_000  # milliseconds a query of the UI may take
_POOL_RECYCLE, _POOL_OVERFLOW = 3600, 20  # seconds a connection is reused, connections: as Dagster's own defaults


def mutation_by_get(scope: Message) -> str | None:
    """Why a request is refused that would change something though it is a GET; None if it is no such request.

    Dagster runs a GraphQL mutation in the address of a GET, and a GET is what an image or a link on any page sends.
    """
    if scope["type"] != "http" or scope["method"] not in ("GET", "HEAD"):
        return None
    for name, query in parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True):
        if name == "query" and _MUTATION.search(query):
            return "A GraphQL mutation is accepted by POST only, and this is a GET. Send it as JSON by POST."
    return None


def serve(port: int, workspace: str, code_socket: Path | None, host: str) -> None:
    """Serve the UI, as soon as the code server answers at its socket if it has one, until a signal comes."""
    settings = load_installation()
    if not (as_json := log_as_json(settings, settings.only_store)):
        logging.basicConfig(level=logging.WARNING, format="%(asctime)s - %(name)s - %(levelname)s - %(message)s")
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(_DATABASE_TIMEOUT, _POOL_RECYCLE, _POOL_OVERFLOW)
        while code_socket and not listens(code_socket):
            time.sleep(_POLL)
        with WorkspaceProcessContext(instance, WorkspaceFileTarget([workspace]), version=dg.__version__) as context:
            app = create_app_from_workspace_process_context(context, live_data_poll_rate=2000)
            guarded = Guard(app, settings.ui_hosts, mutation_by_get)
            uvicorn.run(
                guarded,
                host=host,
                port=port,
                log_config=None if as_json else LOGGING_CONFIG,
                log_level="warning",
                lifespan="off",
                timeout_graceful_shutdown=_STOP_TIMEOUT,
            )


if __name__ == "__main__":
    parser = ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("workspace")
    parser.add_argument("--code-socket", type=Path)
    parser.add_argument("--host", default=HOST)
    serve(**vars(parser.parse_args()))
