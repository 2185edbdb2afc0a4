"""What a write to one order would do: which requests, in which order, and at what cost. Nothing is sent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from bl_pipeline.bricklink import BrickLinkError, OrderError
from bl_pipeline.records import Stop, SyncResult
from bl_pipeline.rules.forecast import CALLS_TO_LIST
from bl_pipeline.rules.writes import Fields, WritePlan, WriteRequest, before_of
from bl_pipeline.sync.asking import WriteOrder
from bl_pipeline.sync.session import SyncSession
from bl_pipeline.sync.stops import stop_for
from bl_pipeline.sync.threads import in_a_thread
from bl_pipeline.sync.writing import CALLS_TO_REFRESH, plan_order
from bl_pipeline.warehouse import runs, state, writes
from bl_pipeline.warehouse.ledger import BudgetExhausted
from bl_pipeline.warehouse.usage import count_run_calls


@dataclass(frozen=True)
class Preview(SyncResult):
    """What a write would send, and `calls` in all: to read the order, to write, to read it again.

    Before, what earlier runs have left is settled, with a call for each order: `calls_to_settle`; and an order that
    the warehouse does not know is looked for in BrickLink's lists: `calls_to_list`. `api_calls` is what the preview
    itself has used. `errors` say why nothing would be sent. `before` is what the order says of each request's fields.
    """

    requests: list[WriteRequest] = field(default_factory=list)
    before: list[Fields] = field(default_factory=list)
    already: list[str] = field(default_factory=list)
    calls_to_settle: int = 0
    calls_to_list: int = 0

    @property
    def calls(self) -> int:
        """Calls of the write, if no answer is lost."""
        first = self.calls_to_settle + self.calls_to_list
        return first + 1 + len(self.requests) + (CALLS_TO_REFRESH if self.requests else 0)

    def as_dict(self) -> dict[str, Any]:
        """The result ready for JSON, with what would be written."""
        requests = [
            {"request": str(request.kind), "asked": request.asked, "before": before, "calls": 1}
            for request, before in zip(self.requests, self.before, strict=True)
        ]
        return {**super().as_dict(), "already": self.already, "requests": requests, "calls": self.calls}


def preview_write(session: SyncSession, asked: WriteOrder, *, run_id: str) -> Preview:
    """What a write would do now. It reads the order, which is one call; nothing is sent, and only the call is stored.

    Raises SettingsError without credentials, and Interrupted.
    """
    session.check_store([asked.order_id])
    stop: Stop | None = None
    before: list[Fields] = []
    try:
        with session.calling(run_id) as (client, _):
            order = in_a_thread(session, lambda: client.order(asked.order_id).read())
        plan = plan_order(session, asked, order)
        before = [before_of(request, order) for request in plan.requests]
    except OrderError as error:
        plan = WritePlan([], [], [str(error)])
    except (BrickLinkError, BudgetExhausted) as error:
        plan = WritePlan([], [], ["It could not be read, so it is not known what would be sent."])
        stop = stop_for(error, session.clock(), listing=True)
    with session.warehouse.engine.connect() as connection:
        calls = count_run_calls(connection, run_id)
        last_synced_at = runs.last_synced_at(connection, session.warehouse)
        unsettled = writes.unsettled(connection, session.warehouse)
        is_known = asked.order_id in state.read_states(connection, session.warehouse, [asked.order_id])
    return Preview(
        errors=[{"order_id": asked.order_id, "error": "\n".join(plan.refusals)}] if plan.refusals else [],
        api_calls=calls,
        last_synced_at=last_synced_at,
        stop_reason=stop.reason if stop else None,
        message=stop.message if stop else None,
        requests=plan.requests,
        before=before,
        already=plan.already,
        calls_to_settle=len({write.order_id for write in unsettled}),
        calls_to_list=0 if is_known else CALLS_TO_LIST,
    )
