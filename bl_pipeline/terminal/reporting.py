"""Runs of jobs for somebody who waits: what they did is shown, or printed as JSON, and their exit code is ours."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from bl_pipeline.records import ExitCode, SyncResult
from bl_pipeline.sync.interruptions import Interrupted
from bl_pipeline.terminal.console import complain, in_zone, print_json, show, show_times_in, stderr
from bl_pipeline.terminal.failures import explain_all, explained

if TYPE_CHECKING:
    from rich.console import RenderableType

    from bl_pipeline.settings import Settings, Store

ResultJson = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON on standard output, and nothing else there.")
]


def run_and_report(job: str, config: Mapping[str, Any], *, as_json: bool, doing: str, nothing: str = "") -> NoReturn:
    """Run a job, report, and exit with the result's code; `nothing` is what to say if there was nothing to do."""
    from bl_pipeline.running import run_job
    from bl_pipeline.terminal.progress import SyncProgress

    def run(settings: Settings) -> SyncResult:
        with SyncProgress(doing) as progress:
            return run_job(settings, job, config, progress, warn=stderr().print)

    def view(result: SyncResult, store: Store) -> RenderableType:
        from bl_pipeline.terminal.views import result_view

        return result_view(result, store, nothing)

    report_run(run, view, as_json=as_json)


def report_run(
    run: Callable[[Settings], SyncResult], view: Callable[[SyncResult, Store], RenderableType], *, as_json: bool
) -> NoReturn:
    """Report what a run did, and exit with the result's code."""
    # Standard output may have no room for the result either.
    with explained():
        from bl_pipeline.settings import load_settings

        try:
            settings = load_settings()
            show_times_in(settings.bl_timezone)
            result = run(settings)
        except (Exception, KeyboardInterrupt, Interrupted) as error:
            code, message = explain_all(error)
            complain(message)
            if as_json:
                print_json(failure_as_dict(message, getattr(error, "result", None)))
            raise typer.Exit(code) from None
        if result.message:
            complain(result.message) if result.exit_code != ExitCode.BUDGET else stderr().print(in_zone(result.message))
        try:
            print_json(_as_json(result)) if as_json else show(view(result, settings.store))
        except BrokenPipeError:
            raise
        except OSError as error:
            code, message = explain_all(error)
            status = settings.store.command("status")
            complain(f"{message} The run itself has ended, and what it did is stored. Look at it with: {status}")
            raise typer.Exit(code) from None
    raise typer.Exit(result.exit_code)


def _as_json(result: SyncResult) -> dict[str, Any]:
    """The SyncResult; the reason that ended the whole run is an error without an order."""
    if result.message and result.exit_code != ExitCode.BUDGET:
        return failure_as_dict(result.message, result)
    return result.as_dict()


def failure_as_dict(message: str, result: SyncResult | None = None) -> dict[str, Any]:
    """The SyncResult of a run that did not reach its end, with what it had done before."""
    values = (result or SyncResult()).as_dict()
    return {**values, "success": False, "errors": [{"order_id": None, "error": message}, *values["errors"]]}
