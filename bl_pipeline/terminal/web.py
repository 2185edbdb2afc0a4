"""The Dagster UI behind the guard: what `bl up` runs as a process of its own.

    python -m bl_pipeline.terminal.web PORT WORKSPACE_FILE CODE_SERVER_SOCKET

A bare `dagster dev` serves the same UI without the guard.
"""

from __future__ import annotations

import logging
import re
import sys
import time
from pathlib import Path
from urllib.parse import parse_qsl

import dagster as dg
import uvicorn
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import WorkspaceFileTarget
from dagster_webserver.app import create_app_from_workspace_process_context

from bl_pipeline.guard import Guard, Message
from bl_pipeline.settings import load_settings
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


def serve(port: int, workspace: str, code_server: Path) -> None:
    """Serve the UI on loopback, as soon as the code server answers, until a signal comes."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s - %(name)s - %(levelname)s - %(message)s")
    with dg.DagsterInstance.get() as instance:
        instance.optimize_for_webserver(_DATABASE_TIMEOUT, _POOL_RECYCLE, _POOL_OVERFLOW)
        while not listens(code_server):
            time.sleep(_POLL)
        with WorkspaceProcessContext(instance, WorkspaceFileTarget([workspace]), version=dg.__version__) as context:
            app = create_app_from_workspace_process_context(context, live_data_poll_rate=2000)
            guarded = Guard(app, load_settings().ui_hosts, mutation_by_get)
            uvicorn.run(
                guarded,
                host=HOST,
                port=port,
                log_level="warning",
                lifespan="off",
                timeout_graceful_shutdown=_STOP_TIMEOUT,
            )


if __name__ == "__main__":
    serve(int(sys.argv[1]), sys.argv[2], Path(sys.argv[3]))
