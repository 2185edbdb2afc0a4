"""Serving the desk: on loopback, or elsewhere behind a token; never to pages of another site.

python -m bl_pipeline.desk.serving PORT DAGSTER_URL
"""

from __future__ import annotations

import sys

import uvicorn

from bl_pipeline.desk.access import TokenGate
from bl_pipeline.desk.app import create_app
from bl_pipeline.desk.launching import Launches
from bl_pipeline.desk.source import Source
from bl_pipeline.desk.state import Desk
from bl_pipeline.guard import LOOPBACK, App, Guard
from bl_pipeline.settings import Settings, SettingsError, load_settings

HOST = "127.0.0.1"
_STOP_TIMEOUT = 5  # seconds at the end for answers under way


def guarded_app(settings: Settings, *, dagster_url: str | None = None, public: bool = False) -> App:
    """The desk behind its guards. `public`: it listens on more than loopback. Raises SettingsError without a token."""
    token = settings.bl_desk_token
    if public and token is None:
        raise SettingsError(
            "BL_DESK_TOKEN: set it to a long secret, such as that of `openssl rand -hex 20`: whoever reaches the desk "
            "from another machine has to know it. Put a reverse proxy with TLS before the desk, and its name into "
            "BL_UI_HOSTS."
        )
    desk = Desk(settings, Source(settings), Launches(settings), dagster_url)
    app: App = create_app(desk)
    if token is not None:
        app = TokenGate(app, token.get_secret_value())
    return Guard(app, settings.ui_hosts)


def serve(settings: Settings, host: str, port: int, *, dagster_url: str | None = None) -> None:
    """Serve until a signal comes."""
    public = host not in LOOPBACK | {"::1"}
    uvicorn.run(
        guarded_app(settings, dagster_url=dagster_url, public=public),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,  # addresses have what was searched for
        server_header=False,
        timeout_graceful_shutdown=_STOP_TIMEOUT,
    )


if __name__ == "__main__":
    serve(load_settings(), HOST, int(sys.argv[1]), dagster_url=sys.argv[2])
