"""What every page and endpoint of the desk works with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, cast

from fastapi import Depends, Request

from bl_pipeline.clock import utc_now
from bl_pipeline.desk.changes import Working
from bl_pipeline.desk.launching import Launches
from bl_pipeline.desk.source import Source
from bl_pipeline.questions import one_of
from bl_pipeline.rules.indicator import Remedies
from bl_pipeline.settings import Settings
from bl_pipeline.sync.status import Status, read_status

DESK = "bl_pipeline.desk"
"""Where in the scope of a request the desk of its store is; it is not there if the address names none of several."""


@dataclass(frozen=True)
class Desk:
    """One store's desk. `dagster_url` is the Dagster UI beside it, whose schedule syncs the store; None without one.

    `root` is what the addresses of the store's pages begin with: nothing if it is the only store.
    """

    settings: Settings
    source: Source
    launches: Launches
    dagster_url: str | None = None
    clock: Callable[[], datetime] = utc_now
    working: Working = field(default_factory=Working)
    root: str = ""

    @property
    def store(self) -> str:
        """The store's key."""
        return self.settings.bl_store

    @property
    def read_only(self) -> bool:
        """Whether nothing can be started or changed here."""
        return self.settings.bl_desk_read_only

    def status(self, remedies: Remedies | None = None) -> Status:
        """How the store stands now; its reason says these remedies, or what to type. Raises as `Source.reader`."""
        return read_status(self.settings.store, self.source.reader(), self.clock(), remedies)


@dataclass(frozen=True)
class Desks:
    """The desks of all stores of an installation: one, or several that have one warehouse.

    `source` and `zone` are the warehouse and the time zone of the pages that are about several stores.
    """

    all: tuple[Desk, ...]
    source: Source
    zone: str

    @property
    def only(self) -> Desk | None:
        """The desk of the only store; None if there are several."""
        return self.all[0] if len(self.all) == 1 else None

    @property
    def read_only(self) -> bool:
        """As that of each desk: it is a setting of the installation."""
        return self.all[0].read_only

    @property
    def dagster_url(self) -> str | None:
        """As that of each desk."""
        return self.all[0].dagster_url

    def root(self, store: str) -> str:
        """What the addresses of the pages of a store begin with."""
        return next(desk.root for desk in self.all if desk.store == store)


class NoStore(Exception):
    """The address is of something of one store, and names none, or one that there is not."""


def desks_of(request: Request) -> Desks:
    """The desks of all stores."""
    return cast(Desks, request.app.state.desks)


def find_desk(request: Request) -> Desk | None:
    """The desk of the store that the address names, or of the only one; None for a page that is about all stores."""
    return cast(Desk | None, request.scope.get(DESK))


def path_of(request: Request) -> str:
    """The path of the address, without what names the store."""
    return request.url.path.removeprefix(request.scope.get("root_path", ""))


def _desk(request: Request) -> Desk:
    desk = find_desk(request)
    if desk is None:
        raise NoStore
    return desk


DeskOf = Annotated[Desk, Depends(_desk)]
"""The desk of the store, as a parameter of a page or an endpoint."""


@dataclass(frozen=True)
class View:
    """What a list is about: the stores in it, by their desks, and where and in which time zone they are read.

    `is_of_all`: the page has no store in its address, though there are several.
    """

    desks: tuple[Desk, ...]
    source: Source
    zone: str
    is_of_all: bool

    @property
    def stores(self) -> tuple[str, ...]:
        """The keys of the stores."""
        return tuple(desk.store for desk in self.desks)


def view_of(request: Request, store: str | None) -> View:
    """The view of a list that may be about several stores: that of the address, or all of them if `store` is blank.

    Raises QuestionError for a store that there is not.
    """
    desk, desks = find_desk(request), desks_of(request)
    known = {each.store: each for each in ((desk,) if desk else desks.all)}
    chosen = (known[one_of(store.strip(), "store", known)],) if store and store.strip() else tuple(known.values())
    if desk is not None:
        return View(chosen, desk.source, desk.settings.bl_timezone, is_of_all=False)
    return View(chosen, desks.source, desks.zone, is_of_all=True)
