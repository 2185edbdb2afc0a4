"""The one resource of the sync's ops."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import dagster as dg

from bl_pipeline.defs.step_errors import StepFailed
from bl_pipeline.settings import SettingsError, load_settings

if TYPE_CHECKING:
    from bl_pipeline.sync.session import SyncSession


@dg.resource(description="The warehouse, the store's lock and the BrickLink API, from the settings.")
def sync_session(context: dg.InitResourceContext) -> Iterator["SyncSession"]:
    """A SyncSession for the whole run (or, with another executor, for the step)."""
    from bl_pipeline.defs.standing import show_end_outside_of_a_run  # noqa: PLC0415
    from bl_pipeline.sync.session import open_session  # noqa: PLC0415
    from bl_pipeline.warehouse.database import WarehouseError  # noqa: PLC0415

    with ExitStack() as stack:
        try:
            session = stack.enter_context(open_session(load_settings()))
        except (SettingsError, WarehouseError) as error:
            raise dg.Failure(str(error), allow_retries=False) from None
        except Exception as error:
            raise StepFailed(error) from None
        try:
            yield session
        finally:
            # Terminated between two steps, so no step could note it.
            if _is_canceling(context) and session.cancel() and context.instance:
                show_end_outside_of_a_run(context.instance, session)


def _is_canceling(context: dg.InitResourceContext) -> bool:
    run = context.instance.get_run_by_id(context.run.run_id) if context.instance and context.run else None
    return run is not None and run.status is dg.DagsterRunStatus.CANCELING
