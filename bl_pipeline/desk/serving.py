"""Serving the desk: on loopback, or elsewhere behind a token; never to pages of another site.

python -m bl_pipeline.desk.serving PORT DAGSTER_URL
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from datetime import datetime

import uvicorn
from uvicorn.config import LOGGING_CONFIG

from bl_pipeline.clock import utc_now
from bl_pipeline.desk.access import require_token
from bl_pipeline.desk.app import create_app
from bl_pipeline.desk.launching import Launches
from bl_pipeline.desk.source import Source
from bl_pipeline.desk.state import Desk, Desks
from bl_pipeline.guard import App, Guard
from bl_pipeline.logs import log_as_json
from bl_pipeline.settings import Settings, load_installation, load_stores

HOST = "127.0.0.1"
_STOP_TIMEOUT = 5  # seconds at the end for answers under way


def desks_of_stores(
    installation: Settings,
    stores: Sequence[Settings],
    dagster_url: str | None = None,
    clock: Callable[[], datetime] = utc_now,
) -> Desks:
    """The desk of each store; of several each has addresses of its own, /stores/KEY/..., and all use one warehouse."""
    source = Source(installation)
    return Desks(
        tuple(
            Desk(
                settings,
                Source(settings, source),
                Launches(settings),
                dagster_url,
                clock,
                root=f"/stores/{settings.bl_store}" if len(stores) > 1 else "",
            )
            for settings in stores
        ),
        source,
        installation.bl_timezone,
    )


def guarded_app(
    installation: Settings, stores: Sequence[Settings] = (), *, dagster_url: str | None = None, host: str = HOST
) -> App:
    """The desk behind its guard, to listen on `host`; without `stores` of the one of the installation's settings.

    Raises SettingsError if others can reach it without a token.
    """
    require_token(installation, host)
    desks = desks_of_stores(installation, stores or [installation], dagster_url)
    return Guard(create_app(desks), installation.ui_hosts)


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._started = started

    async def main_loop(self) -> None:
        try:
            self._started()
            await super().main_loop()
        except Exception:
            # Else uvicorn leaves the app as it is, and its end is logged with a traceback.
            await self.shutdown()
            raise


def serve(
    installation: Settings,
    stores: Sequence[Settings],
    host: str,
    port: int,
    *,
    dagster_url: str | None = None,
    started: Callable[[], None] = lambda: None,
) -> None:
    """Serve until a signal comes; `started` is called when the desk answers.

    A signal that becomes KeyboardInterrupt is raised, when nothing is served any more. Other errors as `guarded_app`.
    """
    config = uvicorn.Config(
        guarded_app(installation, stores, dagster_url=dagster_url, host=host),
        host=host,
        port=port,
        log_config=None if log_as_json(installation, installation.only_store) else LOGGING_CONFIG,
        log_level="warning",
        access_log=False,  # addresses have what was searched for
        server_header=False,
        timeout_graceful_shutdown=_STOP_TIMEOUT,
    )
    # Not uvicorn.run: for that a signal while it starts is a failure.
    _Server(config, started).run()


if __name__ == "__main__":
    serve(load_installation(), load_stores(), HOST, int(sys.argv[1]), dagster_url=sys.argv[2])
