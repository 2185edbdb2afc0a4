"""`bl up`: the Dagster UI and its daemon, which runs the schedules, until a signal stops it."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from datetime import datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import psutil  # type: ignore[import-untyped]

from bl_pipeline.clock import utc_now
from bl_pipeline.dagster_names import names_of
from bl_pipeline.postgres.cluster import FileLock
from bl_pipeline.project import PROJECT
from bl_pipeline.records import ExitCode
from bl_pipeline.reports.views import set_timezone
from bl_pipeline.settings import LogFormat, Settings, SettingsError, load_installation, load_stores
from bl_pipeline.sync.run_errors import timezone_changed
from bl_pipeline.terminal import console as c
from bl_pipeline.terminal.demo_world import demo_world, how_to_call_bl
from bl_pipeline.terminal.services import ServiceEnded, Services, listens
from bl_pipeline.terminal.signals import orderly_end
from bl_pipeline.warehouse.database import open_warehouse, read_warehouse
from bl_pipeline.warehouse.refusals import read_refusal

if TYPE_CHECKING:
    from dagster import DagsterInstance

HOST = "127.0.0.1"
WEB = "bl_pipeline.terminal.web"
DESK = "bl_pipeline.desk.serving"
_LOG_LEVEL = "warning"
_SCHEDULER = "SCHEDULER"  # Dagster's name for the daemon of schedules
_FOR_THE_DEMO = """\
Start the first sync at the desk: Sync now. Or use the commands, in another terminal:
  source {variables}
  {bl} sync
  {bl} orders
In that terminal every command is about this made-up store. Close it when you have finished."""


class _AlreadyUp(Exception):
    """Another `bl up` uses this Dagster instance; the message says which."""


def run_up(port: int, desk_port: int, *, demo: bool) -> int:
    """Run the desk, the UI and the daemon until a signal comes; returns the exit code.

    Raises SettingsError without credentials, or without the token that the desk needs; WarehouseError without a
    warehouse.
    """
    from bl_pipeline.desk.access import require_token  # noqa: PLC0415

    for used, option in ((port, "--port"), (desk_port, "--desk-port")):
        if _in_use(used):
            c.complain(_who_uses(used, f"bl up {'--demo ' if demo else ''}{option}"))
            return ExitCode.OTHER
    bl = how_to_call_bl()
    afterwards = ""
    try:
        with ExitStack() as stack:
            if demo:
                c.show("Making a store to play with ...")
                world = stack.enter_context(demo_world())
                settings, afterwards = world.settings, _FOR_THE_DEMO.format(bl=bl, variables=world.variables)
                stores = [settings]
            else:
                settings, stores = load_installation(), load_stores()
                _require_credentials(stores)
                require_token(settings, HOST)
            # After the demo's world: this has to end first.
            stack.enter_context(orderly_end())
            _serve(stack, settings, stores, port, desk_port, demo=demo, afterwards=afterwards)
    except KeyboardInterrupt:
        c.show("Stopped.")
        return ExitCode.DONE
    except (ServiceEnded, _AlreadyUp) as error:
        c.complain(str(error))
        return ExitCode.OTHER


def run_desk(host: str, port: int) -> int:
    """Serve the desk alone until a signal comes; returns the exit code.

    Raises SettingsError for a host that needs a token, WarehouseError without a warehouse.
    """
    from bl_pipeline.desk.access import require_token  # noqa: PLC0415
    from bl_pipeline.desk.serving import serve  # noqa: PLC0415

    if host == HOST and _in_use(port):
        c.complain(_who_uses(port, "bl desk --port"))
        return ExitCode.OTHER
    settings, stores = load_installation(), load_stores()
    require_token(settings, host)
    # The warehouse is made and brought up to date before anybody uses it; a desk that changes nothing does neither.
    opened = read_warehouse(settings) if settings.bl_desk_read_only else open_warehouse(settings, for_writing=True)

    def show_address() -> None:
        c.show(f"The orders desk is at http://{host}:{port}")
        c.show("Ctrl-C stops it.")

    with suppress(KeyboardInterrupt), opened, orderly_end():
        serve(settings, stores, host, port, started=show_address)
    c.show("Stopped.")
    return ExitCode.DONE


def _require_credentials(stores: Sequence[Settings]) -> None:
    """Raise SettingsError if no store can be synced; one that is not connected yet stops no other."""
    if any(settings.store.credentials for settings in stores):
        return
    try:
        stores[0].store.known_credentials()
    except SettingsError as error:
        lines = str(error).replace("bl demo", "bl up --demo")
        raise SettingsError(lines) from None


def _in_use(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return True
    return False


def _who_uses(port: int, command: str) -> str:
    """What a user reads if the port is in use: by what, if the system says so, and what to do."""
    other = f"choose another port: {command} {port + 1 if port < 65535 else port - 1}"
    listener = _listener(port)
    if listener is None:
        return f"Port {port} is in use, perhaps by another bl up.\nStop what uses it, or {other}"
    user = f"process {listener.pid} ({listener.name()})"
    with suppress(psutil.Error):
        if WEB in listener.cmdline():
            # The parent process ends all that belongs to it.
            parent = listener.parent()
            listener = parent if parent and parent.pid != 1 else listener
            user = f"another bl up, process {listener.pid}"
    return f"Port {port} is in use by {user}.\nEnd it with: kill {listener.pid}. Or {other}"


def _listener(port: int) -> psutil.Process | None:
    """The process that listens on this port; None if this account may not see it."""
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return process
    return None


def _serve(
    stack: ExitStack,
    settings: Settings,
    stores: Sequence[Settings],
    port: int,
    desk_port: int,
    *,
    demo: bool,
    afterwards: str,
) -> NoReturn:
    from bl_pipeline.defs.instance import dagster_home, limit_pools, open_instance  # noqa: PLC0415
    from bl_pipeline.logs import JsonLines  # noqa: PLC0415
    from bl_pipeline.reports.taxes import set_taxes  # noqa: PLC0415

    home = dagster_home(settings)
    _be_the_only_one(stack, home, port)
    if demo or not os.environ.get("DAGSTER_HOME"):
        shutil.copyfile(PROJECT / "dagster.yaml", home / "dagster.yaml")
    # Made and brought up to date before anybody uses it; the instance also has a lease on the embedded Postgres.
    with open_warehouse(settings, for_writing=True) as warehouse:
        for each in stores:
            with warehouse.engine.begin() as connection:
                before = set_timezone(connection, each.bl_store, each.bl_timezone)
                set_taxes(connection, each.bl_store, each.store.taxes, utc_now())
            if before:
                of_store = f"Store {each.bl_store}: " if len(stores) > 1 else ""
                c.stderr().print(f"{of_store}{timezone_changed(before, each.bl_timezone)}")
        instance = stack.enter_context(open_instance(settings))
    limit_pools(instance, [names_of(each.store) for each in stores])
    c.show("The orders desk and the Dagster UI are starting ...")
    # In Dagster a .env in its working directory overrides the environment; in our settings it is the other way
    # round. So Dagster runs in a folder without such a file, and gets the values of our settings.
    variables = {**settings.as_environment(), "DAGSTER_HOME": str(home), "PYTHONWARNINGS": "ignore"}
    form = JsonLines(settings.only_store).format_line if settings.bl_log_format is LogFormat.JSON else None
    started = utc_now()
    services = stack.enter_context(Services(home, {**os.environ, **variables}, form))
    code, workspace = services.private / "code", services.private / "workspace.yaml"
    location = {"host": "localhost", "socket": str(code), "location_name": "bl_pipeline"}
    workspace.write_text(json.dumps({"load_from": [{"grpc_server": location}]}))
    # One for the UI and the daemon: without it, the daemon would start a new one each minute. Its socket is a file in
    # a folder that is closed to other accounts, so no web page reaches it.
    services.start(
        "Dagster's code server",
        *("dagster", "code-server", "start", "--socket", str(code), "--module-name", "bl_pipeline.definitions"),
        *("--location-name", "bl_pipeline", "--log-level", _LOG_LEVEL),
    )
    # It waits for the code server by itself, once it has imported Dagster, which takes as long.
    services.start("The Dagster UI", WEB, str(port), str(workspace), "--code-socket", str(code))
    services.wait_for(lambda: listens(code))
    services.start(
        "The Dagster daemon", "dagster._daemon", "run", "--workspace", str(workspace), "--log-level", _LOG_LEVEL
    )
    services.start("The orders desk", DESK, str(desk_port), f"http://{HOST}:{port}")
    services.wait_for(lambda: _answers(desk_port, "/static/desk.css"))
    c.show(f"The orders desk is at http://{HOST}:{desk_port}")
    services.wait_for(lambda: _answers(port, "/server_info"))
    services.wait_for(lambda: _schedules_run(instance, started))
    synced = "the store is" if len(stores) == 1 else "the stores are"
    c.show(f"The Dagster UI is at http://{HOST}:{port} and {synced} synced every half hour.")
    for line in afterwards.splitlines():
        c.show(line)
    c.show("Ctrl-C stops it.")
    services.watch()


def _be_the_only_one(stack: ExitStack, home: Path, port: int) -> None:
    """Lock the folder of the Dagster instance: with two daemons on it, each would launch the runs of the schedules."""
    lock = FileLock(home / "up.lock")
    stack.callback(lock.close)
    if not lock.take(fcntl.LOCK_EX | fcntl.LOCK_NB):
        pid, _, url = (home / "up.lock").read_text().strip().partition(" ")
        raise _AlreadyUp(
            f"Another bl up serves this BL_HOME at {url}, process {pid}. Nothing was started.\n"
            f"Use that one, or end it with: kill {pid}. One bl up serves several stores: BL_STORES_FILE names them."
        )
    lock.sign(f"{os.getpid()} http://{HOST}:{port}")


def _schedules_run(instance: DagsterInstance, since: datetime) -> bool:
    """Whether the daemon that runs the schedules has noted since then that it lives."""
    try:
        beat = instance.get_daemon_heartbeats().get(_SCHEDULER)
    except Exception as error:
        refusal = read_refusal(error)
        if refusal is None or not refusal.is_lost:
            raise
        return False  # of a server that starts anew, for example
    return beat is not None and beat.timestamp >= since.timestamp()


def _answers(port: int, path: str) -> bool:
    with closing(HTTPConnection(HOST, port, timeout=2)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except (OSError, HTTPException):
            return False
