"""What every page and endpoint of the desk works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Request

from bl_pipeline.desk.changes import Working
from bl_pipeline.desk.launching import Launches
from bl_pipeline.desk.source import Source
from bl_pipeline.rules.indicator import IN_A_TERMINAL, Remedies
from bl_pipeline.settings import Settings
from bl_pipeline.sync.session import utc_now
from bl_pipeline.sync.status import Status, read_status


@dataclass(frozen=True)
class Desk:
    """One store's desk. `dagster_url` is the Dagster UI beside it, whose schedule syncs the store; None without one."""

    settings: Settings
    source: Source
    launches: Launches
    dagster_url: str | None = None
    clock: Callable[[], datetime] = utc_now
    working: Working = field(default_factory=Working)

    @property
    def read_only(self) -> bool:
        """Whether nothing can be started or changed here."""
        return self.settings.bl_desk_read_only

    def status(self, remedies: Remedies = IN_A_TERMINAL) -> Status:
        """How the store stands now; its reason says these remedies. Raises as `Source.reader`."""
        return read_status(self.settings.store, self.source.reader(), self.clock(), remedies)


def _desk(request: Request) -> Desk:
    return cast(Desk, request.app.state.desk)


DeskOf = Annotated[Desk, Depends(_desk)]
"""The desk, as a parameter of a page or an endpoint."""
