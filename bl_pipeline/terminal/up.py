"""`bl up`: the Dagster UI and its daemon, which runs the schedules, until told to stop."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import NoReturn
from urllib.error import URLError
from urllib.request import urlopen

from bl_pipeline.project import PROJECT
from bl_pipeline.settings import Settings, SettingsError, load_settings
from bl_pipeline.sync.result import ExitCode
from bl_pipeline.terminal import console as c
from bl_pipeline.terminal.demo_world import demo_world

HOST = "127.0.0.1"
_PATIENCE = 20.0
_POLL = 0.2


class _Stop(BaseException):
    """Told to stop, by Ctrl-C or a signal."""


def run_up(port: int, *, demo: bool) -> int:
    """Run the UI and the daemon until a signal comes; returns the exit code.

    Raises SettingsError without credentials, WarehouseError without a warehouse.
    """
    if _in_use(port):
        c.complain(
            f"Port {port} is in use, perhaps by another bl up.\n"
            f"Stop what uses it, or choose another port: bl up --port {port + 1}"
        )
        return ExitCode.OTHER
    try:
        with ExitStack() as stack:
            if demo:
                c.show("Making a store to play with ...")
                settings = stack.enter_context(demo_world()).settings
            else:
                settings = load_settings()
                _require_credentials(settings)
            # After the demo's world, whose end needs no more than that this ends first.
            stack.enter_context(_signals_stop())
            return _serve(stack, settings, port, demo=demo)
    except (_Stop, KeyboardInterrupt):
        c.show("Stopped.")
        return ExitCode.DONE


def _require_credentials(settings: Settings) -> None:
    try:
        settings.credential_values()
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


@contextmanager
def _signals_stop() -> Iterator[None]:
    def stop(_number: int, _frame: FrameType | None) -> NoReturn:
        # A second signal must not cut the stopping short.
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise _Stop

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _serve(stack: ExitStack, settings: Settings, port: int, *, demo: bool) -> int:
    from bl_pipeline.defs.instance import dagster_home, open_instance  # noqa: PLC0415
    from bl_pipeline.defs.sync_graph import API_POOL  # noqa: PLC0415
    from bl_pipeline.warehouse.database import open_warehouse  # noqa: PLC0415

    home = dagster_home(settings)
    if demo or not os.environ.get("DAGSTER_HOME"):
        shutil.copyfile(PROJECT / "dagster.yaml", home / "dagster.yaml")
    # Made and brought up to date before anybody comes; the instance also holds the embedded Postgres.
    with open_warehouse(settings, for_writing=True):
        instance = stack.enter_context(open_instance(settings))
    # The default limit of pools is not there yet when the first two runs of a new instance start.
    instance.event_log_storage.set_concurrency_slots(API_POOL, 1)
    workspace = str(PROJECT / "workspace.yaml")
    children: dict[str, subprocess.Popen[bytes]] = {}
    stack.callback(_end, children.values())
    children["The Dagster UI"] = _start(
        settings,
        home,
        *("dagster_webserver", "-h", HOST, "-p", str(port), "-w", workspace),
        *("--dagster-log-level", "warning", "--code-server-log-level", "warning", "--suppress-warnings"),
    )
    children["The Dagster daemon"] = _start(
        settings, home, "dagster._daemon", "run", "-w", workspace, "--log-level", "warning"
    )
    announced = False
    while True:
        for name, child in children.items():
            if child.poll() is not None:
                c.complain(f"{name} has ended by itself (exit code {child.returncode}); what it said is above.")
                return ExitCode.OTHER
        if not announced and _answers(port):
            announced = True
            c.show(f"The Dagster UI is at http://{HOST}:{port} and the store is synced every half hour.")
            if demo:
                c.show("Start the first sync there: Jobs > sync_orders > Materialize all.")
            c.show("Ctrl-C stops it.")
        time.sleep(_POLL)


def _start(settings: Settings, home: Path, module: str, *arguments: str) -> subprocess.Popen[bytes]:
    """A process group of its own."""
    return subprocess.Popen(  # noqa: S603  (the command is made of our own words)
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.DEVNULL,
        # Dagster lets a .env in its working directory win over the environment, where our settings say the
        # opposite. So it works where there is no such file, and gets what the settings have made of both.
        cwd=home,
        env={**os.environ, **settings.as_environment(), "DAGSTER_HOME": str(home), "PYTHONWARNINGS": "ignore"},
        start_new_session=True,
    )


def _end(processes: Iterable[subprocess.Popen[bytes]]) -> None:
    """Ask all groups to end, wait, and kill what is left of them."""
    groups = list(processes)
    for number in (signal.SIGTERM, signal.SIGKILL):
        for process in groups:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, number)
        until = time.monotonic() + _PATIENCE
        while any(_group_lives(process) for process in groups) and time.monotonic() < until:
            time.sleep(_POLL / 4)


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    process.poll()  # or it stays as a zombie, and the group with it
    try:
        os.killpg(process.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://{HOST}:{port}/server_info", timeout=2) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
