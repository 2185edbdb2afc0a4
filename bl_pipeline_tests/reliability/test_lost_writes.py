"""A write has exactly one effect, whatever its answer is lost by, and whenever the process dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from sqlalchemy import Engine

from bl_pipeline.sandbox import RecordedRequest, SandboxServer, Store
from bl_pipeline.sandbox.faults import Fault
from bl_pipeline.warehouse.database import Warehouse, WarehouseError
from bl_pipeline_tests.conftest import Clock, MakeSettings, Sync
from bl_pipeline_tests.support.sessions import session_at
from bl_pipeline_tests.support.writing import Writer, write

WRITES: dict[str, dict[str, Any]] = {
    "tracking": {"tracking_no": "TR1"},
    "costs": {"shipping": Decimal("7.25"), "credit": Decimal(1)},
    "filing": {"is_filed": True},
    "payment_status": {"payment_status": "Received"},
    "status": {"status": "PACKED"},
    "drive_thru": {"drive_thru": True},
}
LOSING = [
    Fault.RESET, Fault.EMPTY, Fault.CUT, Fault.CUT_SHORT, Fault.HTML200, Fault.HTML503, Fault.HTTP500,
    Fault.ENVELOPE500, Fault.REDIRECT, Fault.TIMEOUT,
]  # fmt: skip
"""After these it is not known whether a write was done."""
SHOWN = {"costs", "filing", "payment_status", "status"}
"""Of these the status history has a row."""
FULL = pytest.mark.full


class Killed(BaseException):
    """The process is dead: it does nothing any more."""


@contextmanager
def dying(engine: Engine, dead: Callable[[int], bool], *, after: bool) -> Iterator[None]:
    """From the first commit on of which `dead` is true, by its number, none is made any more, as if killed there."""
    commit, count, died = engine.dialect.do_commit, 0, False

    def counted(connection: Any) -> None:
        nonlocal count, died
        number, count = count, count + 1
        dies = not died and dead(number)
        if not died and (after or not dies):
            commit(connection)
        died = died or dies
        if died:
            raise Killed

    engine.dialect.do_commit = counted  # type: ignore[assignment, method-assign]
    try:
        yield
    finally:
        engine.dialect.do_commit = commit  # type: ignore[method-assign]


@pytest.fixture
def writer(make_settings: MakeSettings, clock: Clock, server: SandboxServer, warehouse: Warehouse) -> Writer:
    return Writer(make_settings(bl_request_timeout=3), clock, server, warehouse)


def of_writes(server: SandboxServer, fault: Fault, times: int | None = 1) -> None:
    """The next requests that would change an order meet this fault; the ones that read it do not."""
    left = times

    def plan(request: RecordedRequest) -> None:
        nonlocal left
        if request.method != "GET" and left != 0:
            left = None if left is None else left - 1
            server.faults.next(fault)

    server.on_request = plan


def die(writer: Writer, order_id: int, dead: Callable[[int], bool], *, after: bool, **given: Any) -> bool:
    """One run whose process dies at a commit; False if it came to its end before."""
    with session_at(writer.settings, writer.clock, sleep=writer.clock.sleep) as session:
        try:
            with dying(session.warehouse.engine, dead, after=after):
                write(session, order_id, **given)
        except Killed:
            return True
        return False


def expect_one_effect(writer: Writer, store: Store, order_id: int, given: dict[str, Any], name: str) -> None:
    """The sandbox has done it once, the order is as asked, and tables and history say so."""
    assert len(writer.effects()) == 1
    if name == "drive_thru":
        assert store.drive_thrus(order_id) == 1
    again = writer(order_id, **given)
    assert (again.exit_code, again.writes, set(again.already)) == (0, [], set(given)), "not as asked"
    assert [outcome for _, _, outcome in writer.rows()].count("done") == 1
    assert all(outcome is not None for _, _, outcome in writer.rows())
    ours = [is_ours for _, _, is_ours in writer.history(order_id)]
    assert ours == ([False, True] if name in SHOWN else [False])


def cases() -> list[Any]:
    """Each write with each fault, before and after the effect; a few of them in the quick suite."""
    quick = {("status", Fault.RESET), ("costs", Fault.CUT), ("drive_thru", Fault.HTTP500)}
    return [
        pytest.param(name, fault, after, marks=() if (name, fault) in quick else FULL)
        for name in WRITES
        for fault in LOSING
        for after in (False, True)
    ]


@pytest.mark.parametrize(("name", "fault", "after_effect"), cases())
def test_an_answer_is_lost(
    name: str, fault: Fault, after_effect: bool, order_id: int, writer: Writer, store: Store, server: SandboxServer
) -> None:
    """Planted: sent again without asking; not sent again although it was not done; a drive thru sent again."""
    given = WRITES[name]
    server.faults.after_effect = after_effect
    of_writes(server, fault)

    result = writer(order_id, **given)

    if name == "drive_thru" and not after_effect:
        assert (result.exit_code, writer.rows()) == (3, [("drive_thru", "lost", None)])
        assert "not sent again" in result.errors[0]["error"]
        # Not even if it is asked for again, until it cannot arrive any more.
        assert writer(order_id, **given).exit_code == 3
        assert (writer.sent(), store.drive_thrus(order_id)) == (["drive_thru"], 0)
        writer.clock.advance(hours=1)
        assert writer(order_id, **given).success
    else:
        assert (result.exit_code, len(writer.sent())) == (0, 1 if after_effect else 2)
    expect_one_effect(writer, store, order_id, given, name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "fault", "after_effect"), cases())
def test_the_process_dies_before_it_knows_the_answer(
    name: str, fault: Fault, after_effect: bool, order_id: int, writer: Writer, store: Store, server: SandboxServer,
    sync: Sync,
) -> None:  # fmt: skip
    """The next sync settles it, and sends nothing. Planted: unsettled writes not looked for by a sync."""
    given = WRITES[name]
    server.faults.after_effect = after_effect
    of_writes(server, fault)
    # It was sent, and the ledger is about to note the answer.
    assert die(writer, order_id, lambda _: bool(writer.sent()), after=False, **given)
    assert [(answer, outcome) for _, answer, outcome in writer.rows()] == [(None, None)]
    server.faults.clear()
    server.on_request = None
    writer.clock.advance(hours=1)

    assert sync().success

    assert writer.rows() == [(writer.rows()[0][0], None, "done" if after_effect else "not_done")]
    assert len(writer.sent()) == 1
    if not after_effect:
        assert writer(order_id, **given).success
    expect_one_effect(writer, store, order_id, given, name)


@pytest.mark.slow
def test_the_process_dies_once_the_order_is_loaded(order_id: int, writer: Writer, store: Store, sync: Sync) -> None:
    """The history says that the change was ours. Planted: settled by the order as the next run reads it."""

    def is_loaded(_: int) -> bool:
        return bool(writer.sent()) and len(writer.history(order_id)) == 2

    assert die(writer, order_id, is_loaded, after=False, status="PACKED")
    assert writer.rows() == [("status", "accepted", None)]

    result = sync()

    assert (result.success, writer.rows()) == (True, [("status", "accepted", "done")])
    expect_one_effect(writer, store, order_id, {"status": "PACKED"}, "status")


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name in ("status", "drive_thru") else FULL) for name in WRITES],
)
def test_the_process_dies_at_every_commit(
    name: str, after: bool, order_id: int, writer: Writer, store: Store, server: SandboxServer
) -> None:
    """Every death, one after the other, with the same command given again each time, until one comes to its end.

    Planted: the row noted after the request; the order not read before the next request.
    """
    given = WRITES[name]
    at = 0
    while die(writer, order_id, at.__eq__, after=after, **given):
        at += 1
        # Later than a lost drive thru may arrive.
        writer.clock.advance(hours=1)
        assert len(writer.effects()) <= 1
    assert at > 10
    expect_one_effect(writer, store, order_id, given, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["status", "tracking"])
def test_somebody_else_changes_the_order_meanwhile(
    name: str, order_id: int, writer: Writer, store: Store, server: SandboxServer
) -> None:
    """Their change stays. Planted: whatever is not as asked is sent again."""

    def change(request: RecordedRequest) -> None:
        if request.method != "GET":
            server.faults.next(Fault.RESET)
            if name == "status":
                store.set_status(order_id, "CANCELLED")
            else:
                store.edit_tracking(order_id, "of another")

    server.on_request = change
    result = writer(order_id, **WRITES[name], is_filed=True)
    assert result.exit_code == 3
    assert "Somebody else" in result.errors[0]["error"]
    assert len(writer.sent()) == 1
    assert [row[1:] for row in writer.rows()] == [("lost", "changed")]
    now = store.order(order_id)
    assert now.status == "CANCELLED" if name == "status" else now.shipping.tracking_no == "of another"


@pytest.mark.slow
@pytest.mark.parametrize(("status", "sends"), [("COMPLETED", 1), ("PACKED", 1), ("PENDING", 2)])
def test_somebody_else_changes_what_is_still_to_be_sent(
    status: str, sends: int, order_id: int, writer: Writer, store: Store, server: SandboxServer
) -> None:
    """They change the status while the answer to the tracking number is lost. Planted: the status sent all the same."""

    def change(_: float) -> None:
        store.set_status(order_id, status)

    server.faults.after_effect = True
    of_writes(server, Fault.RESET)
    with session_at(writer.settings, writer.clock, sleep=change) as session:
        result = write(session, order_id, tracking_no="TR1", status="PACKED")

    assert len(writer.sent()) == sends
    assert writer.rows()[0] == ("update", "lost", "done")
    if status == "COMPLETED":
        assert (result.exit_code, store.order(order_id).status) == (3, "COMPLETED")
        assert "somebody else has changed the order meanwhile (status)" in result.errors[0]["error"]
    else:
        assert (result.exit_code, store.order(order_id).status) == (0, "PACKED")
        assert result.already == (["status"] if status == "PACKED" else [])


@pytest.mark.parametrize("alive", [True, False])
def test_a_request_that_arrives_late_is_not_sent_again(
    alive: bool, order_id: int, writer: Writer, store: Store, server: SandboxServer
) -> None:
    """It arrives half a minute after its answer was lost, or its process died. Planted: the order read at once."""

    def arrives(seconds: float) -> None:
        writer.clock.sleep(seconds)
        store.set_status(order_id, "PACKED")

    of_writes(server, Fault.RESET)
    if not alive:
        assert die(writer, order_id, lambda _: bool(writer.sent()), after=False, status="PACKED")
    with session_at(writer.settings, writer.clock, sleep=arrives) as session:
        result = write(session, order_id, status="PACKED")

    assert (result.exit_code, writer.sent()) == (0, ["status"])
    assert writer.rows() == [("status", "lost" if alive else None, "done")]
    assert [is_ours for _, _, is_ours in writer.history(order_id)] == [False, True]


def test_a_run_that_has_lost_its_lock_sends_nothing(order_id: int, writer: Writer) -> None:
    """Its machine may have slept since it noted the request, and another run may have sent the same.

    Planted: the lock looked at only before the request is noted.
    """
    with session_at(writer.settings, writer.clock) as session:
        dialect = session.warehouse.engine.dialect
        commit = dialect.do_commit

        def lose_lock_once_noted(connection: Any) -> None:
            commit(connection)
            if session.lock.taken and writer.rows():
                session.lock.release()

        dialect.do_commit = lose_lock_once_noted  # type: ignore[assignment, method-assign]
        try:
            with pytest.raises(WarehouseError, match="does not have its lock"):
                write(session, order_id, drive_thru=True)
        finally:
            dialect.do_commit = commit  # type: ignore[method-assign]

    assert (writer.sent(), writer.rows()) == ([], [("drive_thru", None, None)])


@pytest.mark.slow
def test_a_write_that_is_never_answered_is_sent_three_times_at_most(
    order_id: int, writer: Writer, server: SandboxServer
) -> None:
    """Planted: no bound."""
    of_writes(server, Fault.RESET, times=None)
    result = writer(order_id, status="PACKED")
    assert (result.exit_code, writer.sent()) == (3, ["status"] * 3)
    assert writer.rows() == [("status", "lost", "not_done")] * 3
    assert "was not done" in result.errors[0]["error"]


def test_a_drive_thru_is_not_sent_again_by_the_run_that_sent_it(
    order_id: int, writer: Writer, server: SandboxServer
) -> None:
    """Not even if the order shows that it was not done. Planted: a drive thru treated as any other request."""

    def lose_and_wait(request: RecordedRequest) -> None:
        if request.method != "GET":
            server.faults.next(Fault.RESET)
            writer.clock.advance(hours=2)

    server.on_request = lose_and_wait
    result = writer(order_id, drive_thru=True)
    assert (result.exit_code, writer.sent()) == (3, ["drive_thru"])
    assert writer.rows() == [("drive_thru", "lost", "not_done")]


@pytest.mark.slow
def test_an_order_that_cannot_be_read_leaves_the_write_to_the_next_run(
    order_id: int, writer: Writer, store: Store, server: SandboxServer, sync: Sync
) -> None:
    """Planted: sent again although the order could not be read."""
    server.faults.after_effect = True

    def fail_once_written(request: RecordedRequest) -> None:
        if request.method != "GET" or writer.sent():
            server.faults.next(Fault.HTTP500)

    server.on_request = fail_once_written
    result = writer(order_id, status="PACKED")
    assert result.exit_code in (3, 6)
    assert "not known whether" in result.errors[0]["error"]
    assert writer.rows() == [("status", "lost", None)]
    server.on_request = None
    assert sync().success
    assert writer.rows() == [("status", "lost", "done")]
    expect_one_effect(writer, store, order_id, {"status": "PACKED"}, "status")


@pytest.mark.parametrize(
    "lives",
    [
        pytest.param(range(10), marks=pytest.mark.slow, id="10"),
        *(pytest.param(range(at, at + 20), marks=FULL, id=f"{at}...") for at in range(0, 1000, 20)),
    ],
)
def test_a_drive_thru_is_sent_once_whatever_happens(
    lives: range, synced: Sync, writer: Writer, store: Store, server: SandboxServer, sync: Sync
) -> None:
    """In each life the command is given again and again, while answers are lost, processes die and time passes.

    Planted: a lost drive thru sent again without asking; writes of dead runs not settled.
    """
    for life in lives:
        chance = Random(life)
        order_id = store.place_order()
        for _ in range(chance.randint(1, 4)):
            server.faults.clear()
            server.faults.after_effect = chance.random() < 0.5
            server.on_request = None
            if chance.random() < 0.7:
                of_writes(server, chance.choice([fault for fault in LOSING if fault is not Fault.TIMEOUT]))
            at = chance.randint(0, 30)
            if chance.random() < 0.5:
                die(writer, order_id, at.__eq__, after=chance.random() < 0.5, drive_thru=True)
            else:
                writer(order_id, drive_thru=True)
            assert store.drive_thrus(order_id) <= 1, f"life {life}"
            if chance.random() < 0.3:
                sync()
            writer.clock.advance(minutes=chance.choice([1, 20, 90]))
        server.faults.clear()
        server.on_request = None
        writer.clock.advance(hours=1)
        assert writer(order_id, drive_thru=True).success, f"life {life}"
        assert store.drive_thrus(order_id) == 1, f"life {life}"
        # The calls of a life are free again for the next one.
        writer.clock.advance(days=1)
