"""The jobs that write to an order at BrickLink. Nothing starts them but a person: no schedule, no sensor."""

from typing import TYPE_CHECKING, Any

import dagster as dg
from pydantic import Field

from bl_pipeline.dagster_names import Job, Names, names_of
from bl_pipeline.defs import metadata
from bl_pipeline.defs.of_a_store import job_of, session_of
from bl_pipeline.defs.step_errors import explained
from bl_pipeline.defs.sync_graph import run_step
from bl_pipeline.records import RunStatus

if TYPE_CHECKING:
    from bl_pipeline.sync.session import SyncSession


class UpdateConfig(dg.Config):
    """What to change of one order. What is left out stays as it is."""

    order_id: str = Field(description="The order, in quotes, such as '15646315'.")
    status: str | None = Field(default=None, description="The order's status, such as PACKED or SHIPPED.")
    payment_status: str | None = Field(default=None, description="The payment's status, such as Received.")
    tracking_no: str | None = Field(default=None, description="The tracking number, in quotes.")
    tracking_link: str | None = Field(default=None, description="The address at which the parcel is tracked.")
    date_shipped: str | None = Field(
        default=None, description="When it was shipped, in quotes, such as '2026-03-14T09:30Z'."
    )
    method_id: int | None = Field(default=None, description="BrickLink's id of a shipping method of the store.")
    shipping: str | None = Field(
        default=None,
        description="Cost of shipping, in quotes, such as '4.50'. No cost can change once the order is paid.",
    )
    insurance: str | None = Field(default=None, description="Insurance, in quotes, such as '4.50'.")
    credit: str | None = Field(default=None, description="Credit, in quotes, such as '4.50'.")
    etc1: str | None = Field(default=None, description="Extra charge 1, in quotes, such as '4.50'.")
    etc2: str | None = Field(default=None, description="Extra charge 2, in quotes, such as '4.50'.")
    remarks: str | None = Field(
        default=None, description="Your remarks on the order. Dagster stores what you write here with the run."
    )
    is_filed: bool | None = Field(default=None, description="true files the order, false takes it back.")
    if_unchanged_since: str | None = Field(
        default=None,
        description="Send nothing if the order differs from what the warehouse knew of it at this time, in quotes, "
        "such as '2026-03-14T09:30Z'.",
    )


class DriveThruConfig(dg.Config):
    """Which order gets "Thank You, Drive Thru!"."""

    order_id: str = Field(description="The order, in quotes, such as '15646315'.")
    mail_me: bool = Field(default=False, description="Send a copy to yourself.")


def _write(
    context: dg.OpExecutionContext, session: "SyncSession", order_id: str, given: dict[str, Any], **how: Any
) -> None:
    """Write to the order, and show what was written; never what the texts say."""
    from bl_pipeline.defs.store_state import show, sync_report  # noqa: PLC0415
    from bl_pipeline.sync.asking import ask  # noqa: PLC0415
    from bl_pipeline.sync.writing import run_write  # noqa: PLC0415

    asked = ask(session.store, order_id, given, now=session.clock(), **how)
    session.take_lock(lambda: context.log.info("A sync of this store is running; waiting for it to end."))
    with run_step(context, session):
        result = run_write(session, asked, run_id=context.run_id, job=names_of(session.store).job(context.job_name))
    # What was written comes first: the UI folds a long list.
    report = {**metadata.writes_metadata(result.writes, result.already), **sync_report(session, result)}
    context.add_output_metadata(report)
    show(context.log_event, session, report)
    if result.run_status is RunStatus.FAILED:
        raise dg.Failure(result.message, metadata=report, allow_retries=False)


def write_jobs(names: Names) -> list[dg.JobDefinition]:
    """The jobs that write to an order of the store."""

    @dg.op(
        name=names.of("write_to_order"),
        pool=names.pool,
        required_resource_keys={names.resource},
        description="Changes one order at BrickLink, then fetches and loads it.",
    )
    @explained
    def write_to_order(context: dg.OpExecutionContext, config: UpdateConfig) -> None:
        given = config.model_dump()
        order_id, since = given.pop("order_id"), given.pop("if_unchanged_since")
        _write(context, session_of(context, names), order_id, given, unchanged_since=since)

    @dg.op(
        name=names.of("write_drive_thru"),
        pool=names.pool,
        required_resource_keys={names.resource},
        description='Sends "Thank You, Drive Thru!" to the buyer of an order, if it was never sent.',
    )
    @explained
    def write_drive_thru(context: dg.OpExecutionContext, config: DriveThruConfig) -> None:
        session = session_of(context, names)
        _write(context, session, config.order_id, {"drive_thru": True}, mail_me=config.mail_me)

    return [
        job_of(
            write_to_order,
            name=names.of(Job.UPDATE_ORDER),
            step="write_to_order",
            description="Changes one order at BrickLink, for real: costs before the payment status, tracking before "
            "SHIPPED. Then fetches it.",
        ),
        job_of(
            write_drive_thru,
            name=names.of(Job.SEND_DRIVE_THRU),
            step="write_drive_thru",
            description='Sends "Thank You, Drive Thru!" to the buyer of an order, for real: once, never a second time.',
        ),
    ]
