"""What can be expected to go wrong, as a message that says what to do, and an exit code."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from typer.exceptions import TyperException

from bl_pipeline.records import ExitCode
from bl_pipeline.sync.interruptions import Interrupted, interruption_behind
from bl_pipeline.sync.unexpected import LOG, describe
from bl_pipeline.terminal.console import clean, complain, stderr


class Refused(Exception):
    """What was asked for cannot be done; the message says what to write instead."""

    def __init__(self, message: str, exit_code: int = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


def explain(error: BaseException) -> tuple[int, str] | None:
    """The exit code and the message of what can be expected to go wrong; None for anything else."""
    if isinstance(error, Refused):
        return error.exit_code, str(error)
    if not isinstance(error, Exception):
        return ExitCode.OTHER, "Canceled."  # first: it may have interrupted one of the imports that follow
    # Imported only now: if nothing goes wrong, nobody waits for them.
    from bl_pipeline.settings import SettingsError, load_stores

    if isinstance(error, SettingsError):
        return ExitCode.USAGE, str(error)
    from bl_pipeline.home import describe_os_error
    from bl_pipeline.postgres.cluster import EmbeddedPostgresError
    from bl_pipeline.sync.run_errors import RunError
    from bl_pipeline.sync.session import RunLost
    from bl_pipeline.terminal.demo_world import DemoError
    from bl_pipeline.warehouse.backup import BackupError
    from bl_pipeline.warehouse.database import DamagedWarehouse, NothingStored, OutdatedWarehouse, WarehouseError
    from bl_pipeline.warehouse.refusals import read_refusal

    if isinstance(error, RunError):
        return error.exit_code, str(error)
    if isinstance(error, NothingStored):
        stores = load_stores()
        of_all = "Fetch your sales with: bl sync --all-stores"
        return ExitCode.OTHER, f"{error} {stores[0].store.first_step if len(stores) == 1 else of_all}"
    if isinstance(error, OutdatedWarehouse | DamagedWarehouse | RunLost):
        return ExitCode.OTHER, str(error)
    if isinstance(error, WarehouseError):
        return ExitCode.UNREACHABLE, str(error)
    if isinstance(error, DemoError | BackupError | EmbeddedPostgresError):
        return ExitCode.OTHER, str(error)
    if interruption_behind(error):
        return ExitCode.OTHER, "Canceled."
    if isinstance(error, OSError) and (message := describe_os_error(error)):
        return ExitCode.USAGE if isinstance(error, PermissionError) else ExitCode.OTHER, message
    if refusal := read_refusal(error):
        return ExitCode.UNREACHABLE if refusal.is_lost else ExitCode.OTHER, refusal.message
    return None


def explain_all(error: BaseException) -> tuple[int, str]:
    """The exit code and the message of any error; that of an unexpected one says where it was raised.

    It shows the error's class and frames, and not its own text, which may quote a buyer.
    """
    if known := explain(error):
        return known
    return ExitCode.OTHER, describe(error)


@contextmanager
def explained() -> Iterator[None]:
    """Turn what goes wrong into a message and an exit code, and print what our own code logs of its faults."""
    on_stderr = _OnStderr()
    LOG.addHandler(on_stderr)
    try:
        yield
    except (typer.Exit, typer.Abort, TyperException, BrokenPipeError):
        # For typer, which ends quietly if the reader of the output has closed it.
        raise
    except (Exception, KeyboardInterrupt, Interrupted) as error:
        code, message = explain_all(error)
        complain(message)
        raise typer.Exit(code) from None
    finally:
        LOG.removeHandler(on_stderr)


class _OnStderr(logging.Handler):
    """Prints what is logged on what is standard error now, even if that is redirected later."""

    def __init__(self) -> None:
        super().__init__()
        self._console = stderr()

    def emit(self, record: logging.LogRecord) -> None:
        """Print it."""
        for line in record.getMessage().splitlines():
            self._console.print(clean(line), soft_wrap=True)
