"""`bl cancel`: stop the running sync of the store, wherever it runs, and withdraw a full sync that is still open."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` is quick)

from __future__ import annotations

from bl_pipeline.terminal import console as c
from bl_pipeline.terminal.reading import Json


def cancel(as_json: Json = False) -> None:
    """Cancel the running sync of the store, and withdraw a full sync that is still open."""
    from bl_pipeline.settings import load_settings

    settings = load_settings()
    from bl_pipeline.sync.canceling import START_TIMEOUT, Cancellation, cancel_store
    from bl_pipeline.warehouse.database import NothingStored, open_warehouse, refuse_unmade

    def waiting() -> None:
        c.stderr().print(
            f"Another command has the store. If it is a sync that is starting, it is canceled as soon as it has begun: "
            f"waiting for that, {START_TIMEOUT:g} s at most.",
            soft_wrap=True,
        )

    try:
        refuse_unmade(settings)
        with open_warehouse(settings, for_writing=True) as warehouse:
            c.show_times_in(warehouse.timezone)
            done = cancel_store(warehouse, waiting=waiting)
    except NothingStored:
        done = Cancellation(None, ended=False, busy=False, full_syncs=0)
    c.print_json(done.as_dict()) if as_json else c.show(done.message(c.moment))
