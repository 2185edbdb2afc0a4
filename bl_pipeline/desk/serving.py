"""Serving the desk: on loopback, or elsewhere behind a token; never to pages of another site.

python -m bl_pipeline.desk.serving PORT DAGSTER_URL
"""

from __future__ import annotations

import sys

import uvicorn

from bl_pipeline.desk.access import require_token
from bl_pipeline.desk.app import create_app
from bl_pipeline.desk.launching import Launches
from bl_pipeline.desk.source import Source
from bl_pipeline.desk.state import Desk
from bl_pipeline.guard import App, Guard
from bl_pipeline.settings import Settings, load_settings

HOST = "127.0.0.1"
_STOP_TIMEOUT = 5  # seconds at the end for answers under way


def guarded_app(settings: Settings, *, dagster_url: str | None = None, host: str = HOST) -> App:
    """The desk behind its guard, to listen on `host`. Raises SettingsError if others can reach it without a token."""
    require_token(settings, host)
    return Guard(create_app(Desk(settings, Source(settings), Launches(settings), dagster_url)), settings.ui_hosts)


def serve(settings: Settings, host: str, port: int, *, dagster_url: str | None = None) -> None:
    """Serve until a signal comes. Raises as `guarded_app`."""
    uvicorn.run(
        guarded_app(settings, dagster_url=dagster_url, host=host),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,  # addresses have what was searched for
        server_header=False,
        timeout_graceful_shutdown=_STOP_TIMEOUT,
    )


if __name__ == "__main__":
    serve(load_settings(), HOST, int(sys.argv[1]), dagster_url=sys.argv[2])
