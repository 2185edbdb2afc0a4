"""The first page: the card of the store, or with several stores a card of each; and the list of the stores."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException

from bl_pipeline.desk.next_sync import NextSync, next_sync
from bl_pipeline.desk.overview import show_store
from bl_pipeline.desk.pages import page
from bl_pipeline.desk.state import Desk, NoStore, desks_of, find_desk
from bl_pipeline.rules.indicator import Remedies
from bl_pipeline.sync.status import Status

router = APIRouter()

ON_A_CARD = Remedies(
    connect="Open the store: its overview says how to connect it.",
    sync="Start one: press Sync now.",
    repair="Press Sync now. While bl up runs, it syncs the store every half hour.",
    retry="Open the store to see why, and to try them again.",
    withdraw="To end it, open the store.",
)
"""What is to be done, for somebody who sees the cards of all stores."""


@dataclass(frozen=True)
class Card:
    """How one store of several stands."""

    desk: Desk
    stands: Status
    next_sync: NextSync


@router.get("/")
def first_page(request: Request) -> HTMLResponse:
    """The overview of the store; with several stores a card of each."""
    desk = find_desk(request)
    if desk is not None:
        return show_store(request, desk)
    desks = desks_of(request)
    remedies = None if desks.read_only else ON_A_CARD
    cards = [Card(each, each.status(remedies), next_sync(each)) for each in desks.all]
    return page(request, "stores", cards=cards)


@router.api_route("/stores/{key}", methods=["GET", "POST"])
@router.api_route("/stores/{key}/{rest:path}", methods=["GET", "POST"])
def no_store(request: Request) -> None:
    """The address of a store that there is not. One store has no such addresses."""
    raise HTTPException(404) if find_desk(request) else NoStore
