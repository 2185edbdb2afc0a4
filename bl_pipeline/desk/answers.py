"""What the JSON endpoints answer: each field with its unit, and when it is null.

Names are those of the warehouse in camelCase. Amounts are text with four decimals, times are UTC in ISO 8601.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, create_model
from pydantic.alias_generators import to_camel

from bl_pipeline.columns import ORDER_FEEDBACK, ORDER_ITEMS, ORDER_MESSAGES, ORDERS, Column, ColumnType, OrderGroup
from bl_pipeline.records import StopReason
from bl_pipeline.rules.indicator import Indicator


class JsonModel(BaseModel):
    """An object whose names are camelCase in JSON."""

    model_config = ConfigDict(alias_generator=to_camel, validate_by_name=True, from_attributes=True)


# One line each, however long: so they are easy to read and to add.
# ruff: noqa: E501
# fmt: off
class Problem(BaseModel):
    """Problem details (RFC 9457): what happened, and what to do."""

    type: str = Field(description="What kind of problem it is, a stable name: one of those on the page /problems, or about:blank if the status says it all", examples=["/problems#sync-running"])
    title: str = Field(description="What happened, in a few words")
    status: int = Field(description="The status code of the answer")
    detail: str = Field(description="What it means and what to do; empty if the title says it all")
    next_reset_at: datetime | None = Field(default=None, alias="nextResetAt", description="Only with 429: when calls are free again; absent if with these settings none ever is")


class Launched(JsonModel):
    """A run that has been started."""

    run_id: str = Field(description="The id of the run, the same as in the Dagster UI")
    status_url: str = Field(description="The address at which this run's progress, then its result, can be read")


class Calls(JsonModel):
    """How much of the call budget is used; every number is of API calls."""

    used: int = Field(description="Calls made in the last 24 hours")
    left: int = Field(description="Calls that can be made now")
    limit: int = Field(description="The limit of calls in any 24 hours, BL_DAILY_CALL_LIMIT")
    reserve: int = Field(description="Of the limit those that are left to other tools, BL_CALL_RESERVE")
    next_reset_at: datetime | None = Field(description="When enough calls for a sync are free again; null if they are now, or never with these settings")


class Progress(JsonModel):
    """A run that is going on; counts are of orders."""

    run_id: str = Field(description="The id of the run, the same as in the Dagster UI")
    job: str = Field(description="The name of the job, such as sync_orders; empty until the run has begun")
    percent: int | None = Field(description="How much of what is to be fetched was fetched, 0 to 100; null until it is known")
    orders_planned: int | None = Field(description="Orders to be fetched; null until the lists were compared")
    orders_fetched: int = Field(description="Orders whose answers were received; they are stored in batches")
    orders_created: int = Field(description="Orders stored so far that are new to the warehouse")
    orders_updated: int = Field(description="Orders stored so far whose content changed")
    orders_skipped: int = Field(description="Orders found unchanged so far")
    current_order_id: str | None = Field(description="The order that was asked for last, a platformOrderId; null if none was")
    api_calls: int = Field(description="Calls made by this run so far")
    duration_seconds: float | None = Field(description="Seconds since the run has begun; null until then")
    is_stopping: bool = Field(description="It was asked to stop, and will within seconds")


class OrderError(JsonModel):
    """An order that could not be fetched, read or stored."""

    platform_order_id: str = Field(description="The order's id at BrickLink")
    error: str = Field(description="Why, and what to do, in plain words")


class Result(JsonModel):
    """How a run ended; counts are of orders."""

    run_id: str = Field(description="The id of the run, the same as in the Dagster UI")
    job: str = Field(description="The name of the job, such as sync_orders; empty if it ended before it began")
    success: bool = Field(description="Everything was done")
    exit_code: int = Field(description="As that of bl: 0 done, 3 some orders failed, 4 stopped at the call budget, 5 credentials refused, 6 not reachable, 2 a setting is wrong, 1 anything else")
    orders_processed: int = Field(description="Orders that are up to date now: created, updated and skipped")
    orders_created: int = Field(description="Orders new to the warehouse")
    orders_updated: int = Field(description="Orders whose content changed")
    orders_skipped: int = Field(description="Orders found unchanged")
    orders_deferred: int = Field(description="Orders left for the next run at the call budget")
    errors: list[OrderError] = Field(description="Each order that failed")
    api_calls: int = Field(description="Calls made by this run, failed ones included")
    last_synced_at: datetime | None = Field(description="When the warehouse was last brought up to date with BrickLink's lists; null if never")
    duration_seconds: float | None = Field(description="Seconds from start to end; null if it ended before it began")
    stop_reason: StopReason | None = Field(description="What stopped it before everything was done; null if nothing did")
    message: str | None = Field(description="What a stop means and what to do; null if nothing stopped it")


class StoreState(JsonModel):
    """How a store stands."""

    store: str = Field(description="Key of the store, BL_STORE")
    indicator: Indicator = Field(description="The state in one word, the same as everywhere else")
    reason: str = Field(description="Why it is this word, and what to do")
    connected: bool = Field(description="API credentials are set")
    orders_synced: int = Field(description="Orders in the warehouse")
    orders_failed: int = Field(description="Orders that could not be fetched or read, and were not since")
    last_synced_at: datetime | None = Field(description="When the warehouse was last brought up to date with BrickLink's lists; null if never")
    next_sync_at: datetime | None = Field(description="When Dagster's schedule syncs next; null if no sync is planned, or if it is not known")
    calls: Calls = Field(description="The call budget")


class SyncStatus(StoreState):
    """How the store stands, and its runs."""

    run: Progress | None = Field(description="The run that is going on; null if none is")
    last_result: Result | None = Field(description="How the last run ended; null if none has")


class ListedStore(StoreState):
    """One of the stores, and how it stands."""

    api_url: str = Field(description="The address of its endpoints, relative to that of the desk: /stores/KEY/api, or /api if it is the only store")


class StoreList(JsonModel):
    """The stores of this installation."""

    stores: list[ListedStore] = Field(description="The stores, in the order of their file")


class ListedOrder(JsonModel):
    """An order in a list."""

    platform_order_id: str = Field(description="The order's id at the platform")
    display_id: str = Field(description="The order's id as people see it: BL-<id>")
    platform: str = Field(description="Where the order was placed: bricklink")
    order_date: datetime = Field(description="When it was placed; a batch added to the order resets it")
    status_changed_at: datetime | None = Field(description="When the status changed last; null if BrickLink does not say")
    buyer_name: str | None = Field(description="Full name of the addressee; null if BrickLink does not say")
    buyer_username: str | None = Field(description="The buyer's BrickLink username; null if BrickLink does not say")
    status: OrderGroup = Field(description="The group of BrickLink's status")
    platform_status: str = Field(description="The status in BrickLink's own word, empty if it cannot be read")
    payment_status: str | None = Field(description="None, Sent, Received, Clearing, Returned, Bounced or Completed; null if BrickLink does not say")
    country_code: str | None = Field(description="Country of the address, ISO 3166-1 alpha-2; null if BrickLink does not say")
    total_count: int | None = Field(description="Pieces; null if BrickLink does not say")
    unique_count: int | None = Field(description="Lots; null if BrickLink does not say")
    total: Decimal | None = Field(description="What the order comes to, in currency; null if BrickLink does not say")
    final_total: Decimal | None = Field(description="The total less the tax that BrickLink collects itself, in currency; null if BrickLink does not say")
    currency: str = Field(description="ISO 4217 code of the amounts")
    tracking_number: str | None = Field(description="Tracking number; null if there is none")
    shipped_at: datetime | None = Field(description="When it was shipped; null if it was not")
    store: str = Field(description="Key of the store")


class OrderPage(JsonModel):
    """A page of the list of orders, and what all orders that were asked for come to."""

    orders: list[ListedOrder] = Field(description="The orders of this page")
    count: int = Field(description="How many orders there are on all pages")
    limit: int = Field(description="At most this number of orders is on a page")
    offset: int = Field(description="How many orders come before this page")
    totals: dict[str, Decimal | None] = Field(description="The sum of total on all pages, by currency; null if no order has a total")
    without_revenue: int = Field(description="How many of all are cancelled or a problem: their totals are no revenue")


class Address(JsonModel):
    """An address as BrickLink sends it; a part is null if there is none."""

    name: str | None = Field(default=None, description="Full name")
    first_name: str | None = Field(default=None, description="First name")
    last_name: str | None = Field(default=None, description="Last name")
    full: str | None = Field(default=None, description="The address in one text, lines divided by line breaks")
    address1: str | None = Field(default=None, description="First line")
    address2: str | None = Field(default=None, description="Second line")
    city: str | None = Field(default=None, description="City")
    state: str | None = Field(default=None, description="State or region")
    postal_code: str | None = Field(default=None, description="Postal code")
    country_code: str | None = Field(default=None, description="Country in BrickLink's code, which is UK for Great Britain")
    phone_number: str | None = Field(default=None, description="Phone number")


class StatusChange(JsonModel):
    """What an order said each time it was seen to differ."""

    observed_at: datetime = Field(description="When the pipeline first saw it")
    status_changed_at: datetime | None = Field(description="When the status changed; null if BrickLink does not say")
    status: OrderGroup = Field(description="The group of BrickLink's status")
    platform_status: str = Field(description="The status in BrickLink's own word")
    payment_status: str | None = Field(description="Payment status; null if BrickLink does not say")
    order_date: datetime = Field(description="orderDate at that time")
    paid_at: datetime | None = Field(description="When it was paid; null if it was not")
    shipped_at: datetime | None = Field(description="When it was shipped; null if it was not")
    total: Decimal | None = Field(description="total at that time, in currency; null if BrickLink did not say")
    final_total: Decimal | None = Field(description="finalTotal at that time, in currency; null if BrickLink did not say")
    credit: Decimal | None = Field(description="credit at that time, in currency; null if BrickLink did not say")
    coupon: Decimal | None = Field(description="coupon at that time, in currency; null if BrickLink did not say")
    currency: str = Field(description="ISO 4217 code of the amounts")
    is_filed: bool | None = Field(description="Filed at that time; null if BrickLink did not say")
# fmt: on

_TYPES: dict[ColumnType, Any] = {
    ColumnType.TEXT: str,
    ColumnType.HTML: str,
    ColumnType.MONEY: Decimal,
    ColumnType.WEIGHT: Decimal,
    ColumnType.RATE: Decimal,
    ColumnType.TIME: datetime,
    ColumnType.COUNT: int,
    ColumnType.NUMBER: int,
    ColumnType.FLAG: bool,
    ColumnType.TEXTS: list[str],
    ColumnType.JSON: Address,
}
_UNITS = {
    ColumnType.MONEY: "; in the currency of the row, or in dispCurrency, as text",
    ColumnType.WEIGHT: ", as text",
    ColumnType.RATE: ", as text",
}
_KEYS = ("platform_order_id", "display_id")


def _fields(columns: Sequence[Column]) -> dict[str, Any]:
    """Columns of columns.py as fields of a model."""
    fields: dict[str, Any] = {}
    for column in columns:
        type_ = OrderGroup if column.name == "status" else _TYPES[column.type]
        may_be_null = column.null and column.type is not ColumnType.NUMBER and column.name not in _KEYS
        description = column.comment + _UNITS.get(column.type, "")
        if may_be_null and "null" not in column.comment:
            description += "; null if BrickLink does not say"
        fields[column.name] = (type_ | None if may_be_null else type_, Field(description=description))
    return fields


def _part(name: str, columns: Sequence[Column], doc: str) -> type[JsonModel]:
    of_part = [column for column in columns if column.name != "platform_order_id"]
    return create_model(name, __base__=JsonModel, __doc__=doc, **_fields(of_part))


if TYPE_CHECKING:
    OrderItem = OrderMessage = OrderFeedback = NormalizedOrder = JsonModel
else:
    OrderItem = _part("OrderItem", ORDER_ITEMS, "A line of an order.")
    OrderMessage = _part("OrderMessage", ORDER_MESSAGES, "A message about an order that the seller received.")
    OrderFeedback = _part("OrderFeedback", ORDER_FEEDBACK, "Feedback about an order.")
    NormalizedOrder = create_model(
        "NormalizedOrder",
        __base__=JsonModel,
        __doc__="An order in full.",
        **_fields(ORDERS),
        platform=(str, Field(description="Where the order was placed: bricklink")),
        items=(list[OrderItem], Field(description="Its lines; empty if they were not fetched")),
        status_history=(
            list[StatusChange],
            Field(description="The oldest first; changes between two fetches are not seen"),
        ),
        messages=(list[OrderMessage] | None, Field(description="Messages about it; null if they were never fetched")),
        feedback=(list[OrderFeedback] | None, Field(description="Feedback about it; null if it was never fetched")),
        raw_data=(
            dict[str, Any] | None,
            Field(
                None, description="BrickLink's answer about the order, as received; null if it is not stored any more"
            ),
        ),
    )
