"""`bl doctor`: what is wrong with the set-up, and how to repair it."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from bl_pipeline.books.booking import is_behind
from bl_pipeline.books.closing import month, other_timezones, read_periods
from bl_pipeline.bricklink import (
    BrickLinkError,
    CredentialsRefused,
    PermissionDenied,
    RateLimited,
)
from bl_pipeline.clock import utc_now
from bl_pipeline.env_file import ENV_FILE
from bl_pipeline.records import ExitCode
from bl_pipeline.reports.taxes import read_taxes
from bl_pipeline.rules.indicator import FRESH_FOR
from bl_pipeline.settings import Settings, SettingsError, load_settings
from bl_pipeline.sync.status import read_status
from bl_pipeline.sync.stops import stop_for
from bl_pipeline.sync.trial import try_connection
from bl_pipeline.terminal import console as c
from bl_pipeline.terminal.views import calls_line, other_timezone
from bl_pipeline.warehouse import stores
from bl_pipeline.warehouse.database import (
    DamagedWarehouse,
    PreconditionsFailed,
    Warehouse,
    WarehouseError,
    open_warehouse,
    read_revision,
)
from bl_pipeline.warehouse.ledger import BudgetExhausted
from bl_pipeline.warehouse.preconditions import Problem, look
from bl_pipeline.warehouse.usage import hash_key
from bl_pipeline.wording import plural

_PYTHON = ((3, 11), (3, 14))


class Verdict(StrEnum):
    """The result of a check."""

    OK = "ok"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Check:
    """One check; `repair` says what to do, `exit_code` is that of `bl` if it is an error."""

    name: str
    verdict: Verdict
    finding: str
    repair: str = ""
    exit_code: int = ExitCode.OTHER

    def as_dict(self) -> dict[str, Any]:
        """All but the exit code, ready for JSON."""
        values = asdict(self)
        del values["exit_code"]
        return values


def exit_code(checks: Sequence[Check]) -> int:
    """The exit code of the first error; 0 if there is none."""
    return next((check.exit_code for check in checks if check.verdict is Verdict.ERROR), ExitCode.DONE)


def examine() -> list[Check]:
    """All checks; those that depend on an earlier one are left out if it failed."""
    return list(_examine())


def _examine() -> Iterator[Check]:
    yield _check_python()
    try:
        settings = load_settings()
    except SettingsError as error:
        yield Check("Settings", Verdict.ERROR, *_split(str(error)), exit_code=ExitCode.USAGE)
        return
    yield Check("Settings", Verdict.OK, f"store {settings.bl_store}, API at {settings.bricklink_api_url}")
    yield _check_env_file(settings)
    credentials = _check_credentials(settings)
    yield credentials
    try:
        with open_warehouse(settings) as warehouse:
            c.show_times_in(warehouse.timezone)
            checks = list(_check_warehouse(warehouse))
            yield from checks
            # An answer that cannot be stored is not asked for.
            if credentials.verdict is Verdict.OK and exit_code(checks) == ExitCode.DONE:
                yield _check_store(settings, warehouse) or _check_api(settings, warehouse)
            yield _check_taxes(settings, warehouse)
            yield from _check_books(settings, warehouse)
            yield from _check_state(settings, warehouse)
    except PreconditionsFailed as error:
        yield from map(_check_failed, error.problems)
    except SettingsError as error:
        yield Check(
            "BL_DATABASE_URL" if settings.postgres_url else "BL_HOME",
            Verdict.ERROR,
            *_split(str(error)),
            exit_code=ExitCode.USAGE,
        )
    except DamagedWarehouse as error:
        yield Check("Tables", Verdict.ERROR, *_split(str(error)))
    except WarehouseError as error:
        yield Check("Warehouse", Verdict.ERROR, *_split(str(error)), exit_code=ExitCode.UNREACHABLE)


def _split(message: str) -> tuple[str, str]:
    first, _, rest = message.partition("\n")
    return first, rest.strip()


def _check_python() -> Check:
    oldest, too_new = _PYTHON
    version = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    if oldest <= sys.version_info[:2] < too_new:
        return Check("Python", Verdict.OK, version)
    return Check("Python", Verdict.WARNING, f"{version} is not tested", "Use Python 3.11, 3.12 or 3.13: make setup")


def _check_env_file(settings: Settings) -> Check:
    """Which `.env` was read, and whether other users of the machine can read secrets in it."""
    name, file = "File .env", ENV_FILE.absolute()
    if not file.exists():
        return Check(name, Verdict.OK, f"none in {file.parent}, so no setting comes from there")
    secrets = settings.secrets_in_env_file()
    if not secrets:
        return Check(name, Verdict.OK, f"{file}, with no secrets in it")
    mode = file.stat().st_mode
    if mode & 0o044:
        readers = "every user of this machine" if mode & 0o004 else "every user of its group"
        finding = f"{file} can be read by {readers}, and has secrets in it: {', '.join(secrets)}"
        return Check(name, Verdict.WARNING, finding, f"Keep it to yourself: chmod 600 {shlex.quote(str(file))}")
    return Check(name, Verdict.OK, f"{file}; its secrets can be read by nobody else")


def _check_credentials(settings: Settings) -> Check:
    try:
        settings.store.known_credentials()
    except SettingsError as error:
        return Check("Credentials", Verdict.ERROR, *_split(str(error)), exit_code=ExitCode.USAGE)
    return Check("Credentials", Verdict.OK, "all four are set")


def _check_warehouse(warehouse: Warehouse) -> Iterator[Check]:
    with warehouse.engine.connect() as connection:
        server = look(connection)
        revision = read_revision(connection)
    yield Check("Warehouse", Verdict.OK, f"{warehouse.address}, version {server.version_name}")
    # Opening the warehouse has brought them up to date.
    yield Check("Tables", Verdict.OK, f"up to date, revision {revision}")
    problems = server.writing_problems()
    yield from map(_check_failed, problems)
    if not problems:
        yield Check("Database", Verdict.OK, f"encoding {server.encoding}, can be written, all rights are there")


def _check_failed(problem: Problem) -> Check:
    return Check("Database", Verdict.ERROR, problem.finding, problem.repair, exit_code=ExitCode.UNREACHABLE)


def _check_store(settings: Settings, warehouse: Warehouse) -> Check | None:
    """An error if the orders of this API key are in the warehouse under another name; None if all is well."""
    with warehouse.engine.connect() as connection:
        key = hash_key(connection, settings.store.known_credentials().consumer_key)
        other = stores.other_name_of_key(connection, warehouse.store, key)
    if other is None:
        return None
    message = stores.same_store_message(settings.store, other)
    return Check("Store", Verdict.ERROR, *_split(message), exit_code=ExitCode.USAGE)


def _check_api(settings: Settings, warehouse: Warehouse) -> Check:
    name = "BrickLink API"
    try:
        sales = try_connection(settings.store, warehouse, asked_by="doctor")
    except BudgetExhausted:
        return Check(name, Verdict.WARNING, "not asked: the call budget is used up")
    except RateLimited as error:
        return Check(name, Verdict.WARNING, *_split(stop_for(error, utc_now(), listing=True).message))
    except (CredentialsRefused, PermissionDenied) as error:
        return Check(name, Verdict.ERROR, *_split(str(error)), exit_code=ExitCode.CREDENTIALS)
    except BrickLinkError as error:
        return Check(
            name,
            Verdict.ERROR,
            *_split(f"{error}\nCheck the network, BRICKLINK_API_URL and BrickLink's own status; then try again"),
            exit_code=ExitCode.UNREACHABLE,
        )
    return Check(name, Verdict.OK, f"accepts the credentials; {plural(sales, 'unfiled sale')} (this took one call)")


def _check_taxes(settings: Settings, warehouse: Warehouse) -> Check:
    """The tax settings that reports use: those of the last run that could write."""
    name = "Tax settings"
    with warehouse.engine.connect() as connection:
        taxes = read_taxes(connection, warehouse.store)
    finding = "none, so reports say of all tax that it is unclear; BL_TAX_FILE names a file with them"
    if taxes is not None:
        finding = (
            f"home country {taxes.home_country}, scheme {taxes.scheme}, One-Stop Shop {'yes' if taxes.oss else 'no'}, "
            f"VAT {taxes.vat_source}, {plural(len(taxes.rates), 'rate')}"
        )
    if taxes != settings.store.taxes:
        now = "has others" if settings.store.taxes else "is not set any more"
        puts = f"the next {settings.store.command('sync')} or bl up puts that in force"
        return Check(name, Verdict.WARNING, finding, f"BL_TAX_FILE {now}: {puts}")
    return Check(name, Verdict.OK, finding)


def _check_books(settings: Settings, warehouse: Warehouse) -> Iterator[Check]:
    """Whether the journal knows what is stored, and closed months are as they were closed; nothing if there is none."""
    with warehouse.engine.connect() as connection:
        behind = is_behind(connection, warehouse.store)
        periods = read_periods(connection, warehouse.store)
        zones = other_timezones(connection, warehouse.store)
    if not periods and not behind:
        return
    changed = [month(period.period) for period in periods if period.is_intact is False]
    closed = [month(period.period) for period in periods if period.is_closed]
    finding = f"closed up to {closed[-1]}, and as it was closed" if closed else "no month is closed"
    if changed:
        finding = f"not as it was closed: {', '.join(changed)}. Somebody has changed it in Postgres"
        yield Check("Journal", Verdict.ERROR, finding, "Restore a backup from before: bl restore --replace FILE")
    elif behind:
        repair = f"The next run books them: {settings.store.command('sync')}"
        yield Check("Journal", Verdict.WARNING, "some orders are not booked yet", repair)
    elif zones:
        finding = f"months were closed in the time zone {', '.join(zones)}, and days are in {warehouse.timezone} now"
        repair = (
            "period_changes also shows orders that have moved to another month by that. To go back, set BL_TIMEZONE; "
            f"then: {settings.store.command('sync')}"
        )
        yield Check("Journal", Verdict.WARNING, finding, repair)
    else:
        yield Check("Journal", Verdict.OK, finding)


def _check_state(settings: Settings, warehouse: Warehouse) -> Iterator[Check]:
    command = settings.store.command
    status = read_status(settings.store, warehouse, utc_now())
    exhausted = status.calls.next_reset_at is not None or status.calls.left == 0
    remedies = []
    if status.calls.dated_ahead:
        remedies.append("Check the clock of this machine: it was ahead, or is behind now")
    if exhausted:
        remedies.append("Wait, or change BL_DAILY_CALL_LIMIT and BL_CALL_RESERVE")
    yield Check(
        "Call budget",
        Verdict.WARNING if remedies else Verdict.OK,
        calls_line(status.calls),
        "\n".join(remedies),
    )
    other = other_timezone(status, settings.store)
    if status.last_run:
        yield Check("Time zone", Verdict.WARNING if other else Verdict.OK, c.zone(), other or "")
    if status.failed_orders:
        yield Check(
            "Failed orders",
            Verdict.WARNING,
            f"{plural(status.failed_orders, 'order')} could not be fetched or read",
            f"See why with: {command('errors')}. Try again with: {command('retry')}",
        )
    else:
        yield Check("Failed orders", Verdict.OK, "none")
    synced = status.last_synced_at
    unset = "" if settings.store.credentials else f"Set the credentials first, then: {command('sync')}"
    if synced is None:
        yield Check("Last sync", Verdict.WARNING, "never", unset or f"Start one with: {command('sync')}")
    elif abs(status.now - synced) > FRESH_FOR:
        yield Check(
            "Last sync",
            Verdict.WARNING,
            f"{c.moment(synced)}, {c.ago(status.now - synced)}",
            unset or f"Sync now with: {command('sync')}. Sync every half hour with: bl up",
        )
    else:
        yield Check("Last sync", Verdict.OK, f"{c.moment(synced)}, {c.ago(status.now - synced)}")


_MARKS = {Verdict.OK: ("ok", "green"), Verdict.WARNING: ("warning", "yellow"), Verdict.ERROR: ("error", "bold red")}


def checks_view(checks: Sequence[Check]) -> RenderableType:
    """The checks below each other, each with what to do if something is wrong."""
    grid = Table.grid(padding=(0, 1))
    for width in (7, 15):
        grid.add_column(width=width, no_wrap=True)
    grid.add_column(overflow="fold")
    for check in checks:
        word, style = _MARKS[check.verdict]
        grid.add_row(Text(word, style), Text(check.name, "bold"), c.in_zone(check.finding))
        for line in check.repair.splitlines():
            grid.add_row("", "", c.in_zone(line.strip()))
    return grid
