"""`bl`: the pipeline from a terminal. What it shows and how it runs things is in bl_pipeline.terminal."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

from bl_pipeline.dagster_names import Job
from bl_pipeline.records import ExitCode, SyncResult
from bl_pipeline.terminal.canceling import cancel
from bl_pipeline.terminal.console import complain, forget_impossible_width, print_json, show, stderr
from bl_pipeline.terminal.conversation import feedback, messages
from bl_pipeline.terminal.encoding import never_fail
from bl_pipeline.terminal.exporting import export
from bl_pipeline.terminal.failures import Refused, explain_all, explained
from bl_pipeline.terminal.importing import import_file
from bl_pipeline.terminal.orders import orders
from bl_pipeline.terminal.periods import close, periods, reopen
from bl_pipeline.terminal.reading import Json, OrderId, errors, order, order_number, status
from bl_pipeline.terminal.report_command import report
from bl_pipeline.terminal.reporting import ResultJson, failure_as_dict, report_run, run_and_report
from bl_pipeline.terminal.signals import hang_up_cancels, interrupt_at_ctrl_c
from bl_pipeline.terminal.store_option import of_a_store
from bl_pipeline.terminal.stores import stores
from bl_pipeline.terminal.warehouse_commands import backup, rename_store, restore, upgrade_postgres

if TYPE_CHECKING:
    from bl_pipeline.settings import Settings

_REPORTING = {"sync", "refresh", "retry", "update", "drive-thru"}
"""Commands whose --json is a SyncResult at every exit code."""


class _Commands(TyperGroup):
    """The commands of `bl`; with --json, wrong usage is printed as a JSON result too."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002  (the names are typer's)
        """List the commands; what each does is wrapped, and not cut off."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.help) for name, command in self.commands.items()])

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Note what was written, for `invoke`."""
        ctx.obj = list(args)
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        interrupt_at_ctrl_c()
        try:
            return super().invoke(ctx)
        except TyperException as error:
            command, *arguments = ctx.obj or [""]
            if command in _REPORTING and "--json" in arguments:
                print_json(failure_as_dict(error.format_message()))
            raise


app = typer.Typer(
    name="bl",
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # its imports would take longer than all the rest of --help
)


def _show_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        show(f"bl_pipeline {version('bl-pipeline')}")
        raise typer.Exit


@app.callback()
def bl(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Every BrickLink sale in your own Postgres warehouse."""


def main() -> None:
    """The console script."""
    # A closed output is no reason to fail before anything was done.
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    never_fail()
    forget_impossible_width()
    hang_up_cancels()
    try:
        app()
    except OSError as error:
        # Of what no command has under its care: --help, --version, and what is said of wrong usage.
        code, message = explain_all(error)
        complain(message)
        sys.exit(code)
    finally:
        try:
            sys.stdout.flush()
        except OSError:
            # The error was reported; Python would try again, and end with an exit code of its own.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@app.command()
@of_a_store
def sync(
    context: typer.Context,
    full: Annotated[
        bool,
        typer.Option(
            "--full",
            help="Fetch every order again, changed or not: one or two calls an order, over days if need be. "
            "Withdraw it with bl cancel.",
        ),
    ] = False,
    filed: Annotated[
        bool, typer.Option("--filed/--no-filed", help="Read the list of filed orders too, one call more.")
    ] = True,
    items: Annotated[
        bool, typer.Option("--items/--no-items", help="Fetch the items too. Without them a later sync does it.")
    ] = True,
    all_stores: Annotated[
        bool, typer.Option("--all-stores", help="All stores of BL_STORES_FILE, some at the same time.")
    ] = False,
    as_json: ResultJson = False,
) -> None:
    """Bring new and changed sales into the warehouse, now."""
    if all_stores:
        if context.params["store"] is not None:
            raise typer.BadParameter("goes with no --store: it is about all of them", param_hint="--all-stores")
        with explained():
            from bl_pipeline.terminal.all_stores import sync_all_stores

            code = sync_all_stores(full=full, filed=filed, items=items, as_json=as_json)
        raise typer.Exit(code)
    config = {"full_sync": full, "include_filed": filed, "include_items": items}
    run_and_report(Job.SYNC_ORDERS, config, as_json=as_json, doing="Asking BrickLink what has changed")


@app.command()
@of_a_store
def refresh(
    order_ids: Annotated[
        list[str],
        typer.Argument(metavar="ID", parser=order_number, help="Orders, such as 15646315 or BL-15646315."),
    ],
    as_json: ResultJson = False,
) -> None:
    """Fetch these orders again, whatever is stored of them: one or two calls an order."""
    run_and_report(Job.REFRESH_ORDER, {"order_ids": order_ids}, as_json=as_json, doing="Fetching again")


@app.command()
@of_a_store
def retry(as_json: ResultJson = False) -> None:
    """Try again the orders that failed, and only these."""
    run_and_report(Job.RETRY_FAILED_ORDERS, {}, as_json=as_json, doing="Trying again", nothing="No order has failed.")


DryRun = Annotated[
    bool,
    typer.Option(
        "--dry-run", help="Show each request and its cost in calls; one call reads the order, nothing is written."
    ),
]


def _write(job: str, order_id: str, given: Mapping[str, Any], *, dry_run: bool, as_json: bool, **how: Any) -> NoReturn:
    from bl_pipeline.sync.asking import NotAsked
    from bl_pipeline.sync.direct_writes import write_order
    from bl_pipeline.terminal.writing import written_view

    def run(settings: Settings) -> SyncResult:
        try:
            return write_order(settings, order_id, given, job=job, dry_run=dry_run, warn=stderr().print, **how)
        except NotAsked as error:
            raise Refused(str(error)) from None

    report_run(run, lambda result, _: written_view(order_id, result), as_json=as_json)


def _cost(what: str) -> Any:
    return typer.Option(metavar="AMOUNT", help=f"{what}, such as 4.50; only before the order is paid.")


@app.command()
@of_a_store
def update(
    order_id: OrderId,
    status: Annotated[
        str | None,
        typer.Option(
            help="The status: PENDING, UPDATED, PROCESSING, READY, PAID, PACKED, SHIPPED, RECEIVED or COMPLETED."
        ),
    ] = None,
    payment_status: Annotated[
        str | None, typer.Option(help="The payment's status: None, Received, Clearing, Returned, Bounced or Completed.")
    ] = None,
    tracking_no: Annotated[str | None, typer.Option(help="The tracking number.")] = None,
    tracking_link: Annotated[str | None, typer.Option(help="The address at which the parcel is tracked.")] = None,
    date_shipped: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="When it was shipped: 2026-03-14, or 2026-03-14T09:30Z; without Z in the store's time zone.",
        ),
    ] = None,
    method_id: Annotated[int | None, typer.Option(help="BrickLink's id of a shipping method of the store.")] = None,
    shipping: Annotated[str | None, _cost("Cost of shipping in the order's currency")] = None,
    insurance: Annotated[str | None, _cost("Insurance")] = None,
    credit: Annotated[str | None, _cost("What you take off the price")] = None,
    etc1: Annotated[str | None, _cost("Extra charge 1")] = None,
    etc2: Annotated[str | None, _cost("Extra charge 2")] = None,
    remarks: Annotated[str | None, typer.Option(help="Your remarks on the order; an empty text removes them.")] = None,
    filed: Annotated[bool | None, typer.Option("--filed/--unfiled", help="File the order, or take it back.")] = None,
    if_unchanged_since: Annotated[
        str | None,
        typer.Option(
            metavar="TIME", help="Send nothing if the order differs from what the warehouse knew of it at this time."
        ),
    ] = None,
    dry_run: DryRun = False,
    as_json: ResultJson = False,
) -> None:
    """Change an order at BrickLink, then fetch it again.

    Several changes are sent in the sequence that BrickLink accepts.
    """
    given = {
        "status": status,
        "payment_status": payment_status,
        "tracking_no": tracking_no,
        "tracking_link": tracking_link,
        "date_shipped": date_shipped,
        "method_id": method_id,
        "shipping": shipping,
        "insurance": insurance,
        "credit": credit,
        "etc1": etc1,
        "etc2": etc2,
        "remarks": remarks,
        "is_filed": filed,
    }
    _write(Job.UPDATE_ORDER, order_id, given, dry_run=dry_run, as_json=as_json, unchanged_since=if_unchanged_since)


@app.command()
@of_a_store
def drive_thru(
    order_id: OrderId,
    mail_me: Annotated[bool, typer.Option("--mail-me", help="Send a copy to yourself.")] = False,
    dry_run: DryRun = False,
    as_json: ResultJson = False,
) -> None:
    """Send "Thank You, Drive Thru!" to the buyer of an order: once, never a second time."""
    given = {"drive_thru": True}
    _write(Job.SEND_DRIVE_THRU, order_id, given, dry_run=dry_run, as_json=as_json, mail_me=mail_me)


@app.command()
@of_a_store
def plan(
    full: Annotated[bool, typer.Option("--full", help="What a full sync would fetch: every order again.")] = False,
    as_json: Json = False,
) -> None:
    """What a sync would fetch, and its cost in calls and days; it asks for the lists, which is two calls."""
    with explained():
        from bl_pipeline.settings import load_settings
        from bl_pipeline.terminal.planning import forecast_view, make_forecast

        forecast = make_forecast(load_settings(), full=full)
        print_json(asdict(forecast)) if as_json else show(forecast_view(forecast))


_OF_A_STORE = (
    cancel, status, orders, order, messages, feedback, report, errors, close, reopen, periods, export,
)  # fmt: skip
_OF_ALL = (backup, restore, rename_store, upgrade_postgres)
app.command()(explained()(stores))
for about_one in _OF_A_STORE:
    app.command()(of_a_store(explained()(about_one)))
app.command("import")(of_a_store(explained()(import_file)))
for about_all in _OF_ALL:
    app.command()(explained()(about_all))


@app.command()
@of_a_store
def rebuild(as_json: Json = False) -> None:
    """Make the tables of orders again from the stored answers of BrickLink, with no call."""
    with explained():
        from bl_pipeline.settings import load_settings
        from bl_pipeline.terminal.planning import make_rebuild
        from bl_pipeline.terminal.progress import SyncProgress

        with SyncProgress("Reading what was received", "Rebuilding") as progress:
            settings = load_settings()
            rebuilt = make_rebuild(settings, progress)
        if as_json:
            print_json(rebuilt.as_dict())
            return
        show(rebuilt.message)
        if rebuilt.failures:
            show(f"See why with: {settings.store.command('errors')}")


@app.command()
@of_a_store
def doctor(as_json: Json = False) -> None:
    """Check settings, credentials, warehouse and call budget; if credentials are set, with one API call."""
    with explained():
        from bl_pipeline.terminal.doctor import checks_view, examine, exit_code

        checks = examine()
        if as_json:
            print_json({"ok": exit_code(checks) == ExitCode.DONE, "checks": [check.as_dict() for check in checks]})
        else:
            show(checks_view(checks))
    raise typer.Exit(exit_code(checks))


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 picks a free port.")] = 0,
    orders: Annotated[int, typer.Option(min=0, max=1_000_000, help="How many sales; purchases are added.")] = 300,
    seed: Annotated[int, typer.Option(help="The same number makes the same store.")] = 7,
) -> None:
    """Serve a BrickLink to try things with, until Ctrl-C; prints the settings that connect to it."""
    sys.stdout.flush()
    arguments = ["--port", str(port), "--orders", str(orders), "--seed", str(seed)]
    # In place of this process: signals reach it, and its exit code is ours.
    os.execv(sys.executable, [sys.executable, "-m", "bl_pipeline.sandbox", *arguments])  # noqa: S606


@app.command()
def demo() -> None:
    """Show it all on a made-up store: a full sync, a store that moves on, an incremental sync, reports."""
    with explained():
        from bl_pipeline.terminal.demo import run_demo

        done = run_demo()
    raise typer.Exit(ExitCode.DONE if done else ExitCode.OTHER)


@app.command()
def desk(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the desk.")] = 8000,
    host: Annotated[
        str, typer.Option(help="Address to listen on; other than of this machine only, it needs BL_DESK_TOKEN.")
    ] = "127.0.0.1",
) -> None:
    """Run the orders desk alone, a web page for the seller, until Ctrl-C."""
    with explained():
        from bl_pipeline.terminal.up import run_desk

        code = run_desk(host, port)
    raise typer.Exit(code)


@app.command()
def up(
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the Dagster UI, on this machine only.")] = 3000,
    desk_port: Annotated[int, typer.Option(min=1, max=65535, help="Port of the orders desk.")] = 8000,
    demo: Annotated[bool, typer.Option("--demo", help="With a made-up store, in a database of its own.")] = False,
) -> None:
    """Run the orders desk, the Dagster UI and the schedules until Ctrl-C."""
    with explained():
        from bl_pipeline.terminal.up import run_up

        code = run_up(port, desk_port, demo=demo)
    raise typer.Exit(code)
