"""The resource of the sync's ops, assets and checks."""

from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field, PrivateAttr

from bl_pipeline.defs.step_errors import explaining
from bl_pipeline.settings import Executor, SettingsError, load_settings

if TYPE_CHECKING:
    from bl_pipeline.sync.session import SyncSession


class SyncSessionResource(dg.ConfigurableResource["SyncSessionResource"]):
    """The warehouse, the store's lock and the BrickLink API, from the settings."""

    store: str = Field(default="", description="The store, if it is not the one of BL_STORE.")
    _session: Any = PrivateAttr(None)

    @property
    def session(self) -> "SyncSession":
        """The session of the whole run (or, with another executor, of the step)."""
        session: SyncSession = self._session
        return session

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Generator["SyncSessionResource"]:
        """The resource with its session open. Raises dg.Failure if it cannot be opened."""
        from bl_pipeline.defs.store_state import show_end_outside_of_a_run  # noqa: PLC0415
        from bl_pipeline.sync.session import open_session  # noqa: PLC0415
        from bl_pipeline.warehouse.database import WarehouseError  # noqa: PLC0415
        from bl_pipeline.warehouse.lease import LeaseTimes  # noqa: PLC0415

        with ExitStack() as stack:
            with explaining():
                try:
                    settings = load_settings(bl_store=self.store) if self.store else load_settings()
                    session = stack.enter_context(open_session(settings))
                except (SettingsError, WarehouseError) as error:
                    raise dg.Failure(str(error), allow_retries=False) from None
            try:
                self._session = session
                if settings.bl_executor is not Executor.IN_PROCESS:
                    session.lease = LeaseTimes()
                session.is_terminated = partial(_is_canceling, context)
                yield self
            finally:
                # Terminated between two steps, so no step could note it.
                if _is_canceling(context) and session.cancel() and context.instance:
                    show_end_outside_of_a_run(context.instance, session)


@dataclass(frozen=True)
class OpenedSession:
    """In place of the resource: a session that whoever starts the run has opened, and closes after it."""

    session: "SyncSession"


def _is_canceling(context: dg.InitResourceContext) -> bool:
    """Whether the run is being terminated, or was: what terminates it does not reach a step on another machine."""
    run = context.instance.get_run_by_id(context.run.run_id) if context.instance and context.run else None
    return run is not None and run.status in (dg.DagsterRunStatus.CANCELING, dg.DagsterRunStatus.CANCELED)
