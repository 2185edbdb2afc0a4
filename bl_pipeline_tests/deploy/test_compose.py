"""deploy/compose.yaml: by the schema of compose files, and its commands as processes that find each other over TCP."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest
import yaml  # type: ignore[import-untyped]

from bl_pipeline.sandbox import SandboxServer
from bl_pipeline_tests.support.servers import Postgres
from bl_pipeline_tests.terminal.conftest import BL, free_port
from bl_pipeline_tests.terminal.test_up import LAUNCH, ask

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE = (DEPLOY / "compose.yaml").read_text()
SERVICES: dict[str, Any] = yaml.safe_load(COMPOSE)["services"]
BIN = Path(sys.executable).parent
TOKEN = "of-twenty-characters"
PATIENCE = 900.0
"""Seconds that anything may take; on a quiet machine all of it takes a minute."""


def wait_for(what: str, happened: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not happened():
        assert time.monotonic() < until, f"{what} did not happen"
        time.sleep(0.2)


def validate(text: str, folder: Path) -> int:
    path = folder / "compose.yaml"
    path.write_text(text)
    command = [str(BIN / "check-jsonschema"), "--builtin-schema", "vendor.compose-spec", str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode


def test_it_is_a_compose_file(tmp_path: Path) -> None:
    assert validate(COMPOSE, tmp_path) == 0
    assert validate(COMPOSE.replace("stop_grace_period", "stop_grace_time"), tmp_path) == 1


def test_it_has_no_secret_and_publishes_on_loopback_only() -> None:
    """Planted: a password; a port without an address, which all machines of the network reach."""
    for name, service in SERVICES.items():
        for variable, value in service["environment"].items():
            assert "PASSWORD" not in variable or re.fullmatch(r"\$\{POSTGRES_PASSWORD:\?.*\}", value), (name, variable)
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
        if name != "postgres":
            assert service["environment"]["BL_DATABASE_URL"].startswith("postgresql://seller:${POSTGRES_PASSWORD:?")
            assert service["read_only"] is ("DAGSTER_HOME" not in service["environment"]), name
            assert (service["cap_drop"], service["env_file"]) == (["ALL"], "bl_pipeline.env")


@contextmanager
def containers(folder: Path, environment: dict[str, str], ports: dict[str, str]) -> Iterator[Any]:
    """Start the commands of services, with other ports and hosts, in one folder; each is ended as Docker ends it."""
    with ExitStack() as stack:

        def start(name: str, arguments: list[str] | None = None) -> subprocess.Popen[bytes]:
            words = arguments or SERVICES[name]["command"]
            here = [ports.get(word, word).replace("0.0.0.0", "127.0.0.1") for word in words]
            variables = {"DAGSTER_HOME": str(folder)} if "DAGSTER_HOME" in SERVICES[name]["environment"] else {}
            here = [word.replace("/opt/dagster", str(folder)) for word in here]
            log = stack.enter_context((folder / f"{name}.log").open("ab"))
            process = subprocess.Popen(
                [BIN / here[0], *here[1:]], env={**environment, **variables}, cwd=folder, stdout=log, stderr=log
            )
            # pytest shows it if the test fails.
            stack.callback(lambda: sys.stdout.write((folder / f"{name}.log").read_text()))
            stack.callback(process.wait, PATIENCE)
            stack.callback(process.terminate)
            return process

        yield start


def answers(url: str, **headers: str) -> int:
    try:
        with urlopen(Request(url, headers=headers), timeout=PATIENCE) as answer:
            return int(answer.status)
    except HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_its_commands_work_together(
    isolated: pytest.MonkeyPatch, server: SandboxServer, postgres: Postgres, tmp_path: Path
) -> None:
    """A sync that is launched in the UI, run by the code server and shown at the desk.

    Planted: another name of the code location; the workspace of another port; the UI without its guard.
    """
    code, ui, desk = (str(free_port()) for _ in range(3))
    folder = tmp_path / "dagster"
    folder.mkdir()
    shutil.copy(DEPLOY.parent / "dagster.yaml", folder)
    workspace = (DEPLOY / "workspace.yaml").read_text().replace("host: code", "host: 127.0.0.1")
    (folder / "workspace.yaml").write_text(workspace.replace("4000", code))
    with postgres.database() as url:
        variables = {**server.environment(), "BL_DATABASE_URL": url, "BL_HOME": str(tmp_path / "home")}
        for name, value in variables.items():
            isolated.setenv(name, value)
        environment = {**os.environ, "BL_DESK_TOKEN": TOKEN, "BL_LOG_FORMAT": "json", "PYTHONWARNINGS": "ignore"}
        environment["PATH"] = f"{BIN}:{environment['PATH']}"
        with containers(folder, environment, {"4000": code, "3000": ui, "8000": desk}) as start:
            assert start("prepare").wait(PATIENCE) == 0, (folder / "prepare.log").read_text()
            start("desk")
            start("code")
            wait_for("The code server", lambda: start("code", SERVICES["code"]["healthcheck"]["test"][1:]).wait() == 0)
            start("ui")
            start("daemon")
            wait_for("The UI", lambda: answers(f"http://127.0.0.1:{ui}/server_info") == 200)
            wait_for("The desk", lambda: answers(f"http://127.0.0.1:{desk}/static/desk.css") == 200)
            assert answers(f"http://127.0.0.1:{ui}/server_info", Host="evil.example") == 403
            assert answers(f"http://127.0.0.1:{desk}/metrics") == 401
            assert ask(int(ui), LAUNCH)["launchRun"]["__typename"] == "LaunchRunSuccess"

            def check() -> subprocess.CompletedProcess[str]:
                return subprocess.run([*BL, "status", "--check"], capture_output=True, text=True, check=False)

            wait_for("The sync", lambda: check().returncode == 0)
            request = Request(f"http://127.0.0.1:{desk}/metrics", headers={"Authorization": f"Bearer {TOKEN}"})

            def metrics() -> str:
                with urlopen(request, timeout=PATIENCE) as answer:
                    return str(answer.read().decode())

            # Waited for, as the schedule may have begun another sync meanwhile.
            synced = 'bl_pipeline_store_state{state="synced",store="main"} 1.0'
            wait_for("The metrics", lambda: synced in metrics())
