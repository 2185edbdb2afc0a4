"""`bl`: the pipeline from a terminal. What it shows and how it runs things is in bl_pipeline.terminal."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from bl_pipeline.settings import SettingsError, load_settings
from bl_pipeline.sync.result import ExitCode, SyncResult
from bl_pipeline.sync.statuses import PURGED, STATUSES, UNKNOWN
from bl_pipeline.terminal.console import complain, print_json, show, stderr
from bl_pipeline.terminal.report_command import report

_REPORTING = {"sync", "refresh", "retry"}
"""Commands whose --json is a SyncResult at every exit code."""


class _Commands(TyperGroup):
    """The commands of `bl`, where wrong usage is no exception to what --json promises."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Note what was written, for `invoke`."""
        ctx.obj = list(args)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except TyperException as error:
            command, *arguments = ctx.obj or [""]
            if command in _REPORTING and "--json" in arguments:
                print_json(_failure(error.format_message()))
            raise


app = typer.Typer(
    name="bl",
    cls=_Commands,
    help="Every BrickLink sale in your own Postgres warehouse.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Json = Annotated[bool, typer.Option("--json", help="Print JSON: amounts are text, times are ISO 8601 in UTC.")]
ResultJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on standard output, and nothing else there.")
]


class Refused(Exception):
    """What was asked for cannot be done; the message says what to write instead."""

    def __init__(self, message: str, exit_code: int = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def main() -> None:
    """The console script."""
    app()


def explain(error: BaseException) -> tuple[int, str] | None:
    """The exit code and the message of what can be expected to go wrong; None for anything else."""
    if isinstance(error, SettingsError):
        return ExitCode.USAGE, str(error)
    if isinstance(error, KeyboardInterrupt):
        return ExitCode.OTHER, "Canceled."
    if isinstance(error, Refused):
        return error.exit_code, str(error)
    # Imported only now: where nothing goes wrong, nobody waits for them.
    import psycopg
    from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError

    from bl_pipeline.terminal.demo_world import DemoError
    from bl_pipeline.terminal.running import RunError
    from bl_pipeline.warehouse.database import WarehouseError

    if isinstance(error, RunError):
        return error.exit_code, str(error)
    if isinstance(error, WarehouseError):
        return ExitCode.UNREACHABLE, str(error)
    if isinstance(error, DemoError):
        return ExitCode.OTHER, str(error)
    if type(error).__name__ == "DagsterPostgresException" and error.__cause__:
        error = error.__cause__
    if isinstance(error, DBAPIError) and isinstance(error.orig, psycopg.Error):
        error = error.orig
    if isinstance(error, psycopg.Error | DBAPIError):
        # The first line only: what follows may quote rows, and with them buyers.
        reason = (str(getattr(error, "orig", error)).strip().splitlines() or ["no reason given"])[0]
        lost = (psycopg.OperationalError, psycopg.InterfaceError, OperationalError, InterfaceError)
        if isinstance(error, lost):
            return ExitCode.UNREACHABLE, (
                f"The connection to the warehouse was lost: {reason}\n"
                "What was stored is kept. Check that Postgres runs, and try again: bl doctor"
            )
        return ExitCode.OTHER, f"The warehouse refuses: {reason}"
    return None


@contextmanager
def _explained() -> Iterator[None]:
    """Turn what can be expected to go wrong into a message and an exit code."""
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        explained = explain(error)
        if explained is None:
            raise
        code, message = explained
        complain(message)
        raise typer.Exit(code) from None


def _run(job: str, config: Mapping[str, Any], *, as_json: bool, doing: str) -> NoReturn:
    """Run a job, report, and exit with the result's code."""
    from bl_pipeline.terminal.progress import SyncProgress
    from bl_pipeline.terminal.running import Canceled, run_job

    try:
        settings = load_settings()
        with SyncProgress(doing) as progress:
            result = run_job(settings, job, config, progress)
    except (Exception, KeyboardInterrupt) as error:
        explained = explain(error)
        code, message = explained or (ExitCode.OTHER, f"{type(error).__name__}: a fault of bl_pipeline itself.")
        if as_json:
            print_json(_failure(message, getattr(error, "result", None)))
        if explained is None:
            raise
        complain(message)
        if isinstance(error, Canceled):
            # Requests in flight have threads that Python would wait for, a minute perhaps.
            sys.stdout.flush()
            os._exit(code)
        raise typer.Exit(code) from None
    if as_json:
        print_json(_as_json(result))
    else:
        from bl_pipeline.terminal.views import result_view

        show(result_view(result))
    if result.message:
        complain(result.message) if result.exit_code != ExitCode.BUDGET else stderr().print(result.message)
    raise typer.Exit(result.exit_code)


def _as_json(result: SyncResult) -> dict[str, Any]:
    """The SyncResult; what ended the whole run is an error without an order."""
    if result.message and result.exit_code != ExitCode.BUDGET:
        return _failure(result.message, result)
    return result.as_dict()


def _failure(message: str, result: SyncResult | None = None) -> dict[str, Any]:
    """The SyncResult of a run that did not come to its end, with what it had done before."""
    values = (result or SyncResult()).as_dict()
    return {**values, "success": False, "errors": [{"order_id": None, "error": message}, *values["errors"]]}


@app.command()
def sync(
    full: Annotated[bool, typer.Option("--full", help="Fetch every order again, changed or not.")] = False,
    filed: Annotated[
        bool, typer.Option("--filed/--no-filed", help="Ask for filed orders too: one call more.", show_default=False)
    ] = True,
    items: Annotated[
        bool, typer.Option("--items/--no-items", help="Fetch the items of the orders too.", show_default=False)
    ] = True,
    as_json: ResultJson = False,
) -> None:
    """Bring new and changed sales into the warehouse, now."""
    config = {"full_sync": full, "include_filed": filed, "include_items": items}
    _run("sync_orders", config, as_json=as_json, doing="Asking BrickLink what has changed")


@app.command()
def refresh(
    order_ids: Annotated[list[str], typer.Argument(metavar="ID...", help="Orders, such as 15646315 or BL-15646315.")],
    as_json: ResultJson = False,
) -> None:
    """Fetch these orders again, whatever is stored of them."""
    _run("refresh_order", {"order_ids": order_ids}, as_json=as_json, doing="Fetching again")


@app.command()
def retry(as_json: ResultJson = False) -> None:
    """Try again the orders that failed, and only these."""
    _run("retry_failed_orders", {}, as_json=as_json, doing="Trying again")


@app.command()
def status(as_json: Json = False) -> None:
    """How the warehouse stands: the indicator, orders, the last sync, API calls left."""
    with _explained():
        settings = load_settings()
        from bl_pipeline.status import read_status
        from bl_pipeline.terminal.views import status_view
        from bl_pipeline.warehouse.database import open_warehouse

        with open_warehouse(settings) as warehouse:
            now = read_status(settings, warehouse)
        if as_json:
            print_json(now.as_dict())
        else:
            show(status_view(now))


@app.command()
def orders(
    status: Annotated[str | None, typer.Option(help="Only this status, such as shipped or PAID.")] = None,
    platform: Annotated[str | None, typer.Option(help="Only this platform: bricklink.")] = None,
    search: Annotated[
        str | None, typer.Option(help="Only where this is part of the id, the buyer or the tracking number.")
    ] = None,
    since: Annotated[
        str | None, typer.Option(metavar="DATE", help="Only of this date or later: 2026-05-31, in UTC.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: Json = False,
) -> None:
    """The orders, the latest first."""
    with _explained():
        _check_choice("--status", status, {*STATUSES.values(), UNKNOWN, *STATUSES, PURGED})
        _check_choice("--platform", platform, {"bricklink"})
        earliest = _parse_since(since)
        settings = load_settings()
        from bl_pipeline.terminal.views import orders_view
        from bl_pipeline.warehouse.database import open_warehouse
        from bl_pipeline.warehouse.sales import OrderFilter, read_orders

        wanted = OrderFilter(status=status, platform=platform, search=search, since=earliest, limit=limit)
        with open_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
            rows = read_orders(connection, warehouse, wanted)
        if as_json:
            print_json(rows)
        elif rows:
            show(orders_view(rows))
            if len(rows) == limit:
                stderr().print(f"The latest {limit}; more with --limit", style="dim")
        else:
            stderr().print(
                "No orders. Fetch them with: bl sync" if wanted == OrderFilter(limit=limit) else "No orders like that."
            )


def _check_choice(option: str, value: str | None, choices: set[str]) -> None:
    if value is not None and value.lower() not in {choice.lower() for choice in choices}:
        known = ", ".join(sorted(choices, key=lambda choice: (choice.isupper(), choice)))
        raise Refused(f"{option} {value} is not known. One of: {known}")


def _parse_since(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(
            f"--since {text} is no date. Write it as 2026-05-31, or with a time as 2026-05-31T14:00Z"
        ) from None
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


@app.command()
def order(
    order_id: Annotated[str, typer.Argument(metavar="ID", help="The order, such as 15646315 or BL-15646315.")],
    as_json: Json = False,
) -> None:
    """One order in full: buyer, address, items, totals, history."""
    with _explained():
        number = order_id.strip().upper().removeprefix("BL-")
        if not (number.isascii() and number.isdigit()):
            raise Refused(f"{order_id} is no order number. Write it as 15646315 or BL-15646315")
        settings = load_settings()
        from bl_pipeline.terminal.views import order_view
        from bl_pipeline.warehouse.database import open_warehouse
        from bl_pipeline.warehouse.sales import read_order

        with open_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
            found = read_order(connection, warehouse, number)
        if found is None:
            raise Refused(
                f"There is no order {number} in the warehouse of store {settings.bl_store}.\n"
                f"Fetch it with: bl refresh {number}, or all that is new with: bl sync",
                ExitCode.OTHER,
            )
        if as_json:
            print_json(found)
        else:
            show(order_view(found))


app.command()(_explained()(report))


@app.command()
def errors(as_json: Json = False) -> None:
    """The orders that failed, and why."""
    with _explained():
        settings = load_settings()
        from dataclasses import asdict

        from bl_pipeline.terminal.views import errors_view
        from bl_pipeline.warehouse.database import open_warehouse
        from bl_pipeline.warehouse.state import failed_orders

        with open_warehouse(settings) as warehouse, warehouse.engine.connect() as connection:
            failed = failed_orders(connection, warehouse)
        if as_json:
            print_json([asdict(entry) for entry in failed])
        elif failed:
            show(errors_view(failed))
            stderr().print("Try these again with: bl retry", style="dim")
        else:
            show("No order has failed.")


@app.command()
def doctor(as_json: Json = False) -> None:
    """Check settings, credentials, warehouse and call budget; where credentials are set, with one API call."""
    with _explained():
        from bl_pipeline.terminal.doctor import checks_view, examine, exit_code

        checks = examine()
        if as_json:
            print_json({"ok": exit_code(checks) == ExitCode.DONE, "checks": [check.as_dict() for check in checks]})
        else:
            show(checks_view(checks))
    raise typer.Exit(exit_code(checks))


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Where to listen; 0 picks a free port.")] = 0,
    orders: Annotated[int, typer.Option(min=0, help="How many sales; purchases come on top.")] = 300,
    seed: Annotated[int, typer.Option(help="What the store grows from.")] = 7,
) -> None:
    """Serve a BrickLink to try things with, until Ctrl-C; prints how to connect to it."""
    sys.stdout.flush()
    arguments = ["--port", str(port), "--orders", str(orders), "--seed", str(seed)]
    # In place of this process: signals reach it, and its exit code is ours.
    os.execv(sys.executable, [sys.executable, "-m", "bl_pipeline.sandbox", *arguments])  # noqa: S606


@app.command()
def demo() -> None:
    """Show it all on a made-up store: a full sync, a store that moves on, an incremental sync, reports."""
    with _explained():
        from bl_pipeline.terminal.demo import run_demo

        done = run_demo()
    raise typer.Exit(ExitCode.DONE if done else ExitCode.OTHER)


@app.command()
def up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Where the UI listens, on this machine only.")] = 3000,
    demo: Annotated[bool, typer.Option("--demo", help="With a made-up store, in a database of its own.")] = False,
) -> None:
    """Run the Dagster UI and the schedules until Ctrl-C."""
    with _explained():
        from bl_pipeline.terminal.up import run_up

        code = run_up(port, demo=demo)
    raise typer.Exit(code)
