"""`bl up` on a small sandbox store, and what is asked of it over GraphQL."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import socket
from typing import Any

import requests

from bl_pipeline.sandbox import SandboxServer, Store
from bl_pipeline.settings import Settings
from bl_pipeline_tests.conftest import sandbox_settings

PATIENCE = 300.0
"""Seconds that anything may take: it takes a twentieth of this on a machine with nothing else to do."""

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
"""The browser of the tests; None if none is installed."""

ENDED = ("SUCCESS", "FAILURE", "CANCELED")


@dataclass
class Desk:
    """The Dagster UI of a store."""

    url: str
    server: SandboxServer
    settings: Settings
    environment: dict[str, str]

    def ask(self, query: str, **variables: Any) -> Any:
        """The `data` of a GraphQL answer."""
        answer = requests.post(
            f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=PATIENCE
        ).json()
        assert "errors" not in answer, answer["errors"]
        return answer["data"]

    def runs(self) -> list[dict[str, Any]]:
        """The latest runs, the newest first."""
        query = """
            {runsOrError(limit: 50) {... on Runs {results {runId jobName status tags {key value}}}}}
        """
        runs: list[dict[str, Any]] = self.ask(query)["runsOrError"]["results"]
        return runs

    def sync_schedules(self) -> list[str]:
        """The schedules that sync the stores."""
        query = """
            query ($selector: RepositorySelector!) {
                schedulesOrError(repositorySelector: $selector) {... on Schedules {results {name}}}
            }
        """
        selector = {"repositoryLocationName": "bl_pipeline", "repositoryName": "__repository__"}
        found = self.ask(query, selector=selector)["schedulesOrError"]["results"]
        return [schedule["name"] for schedule in found if schedule["name"].startswith("sync_orders_schedule")]

    def stop_schedule(self, name: str) -> None:
        """Switch a schedule off, so that its next tick does not come between."""
        query = """
            query ($selector: ScheduleSelector!) {
                scheduleOrError(scheduleSelector: $selector) {... on Schedule {scheduleState {id}}}
            }
        """
        selector = {
            "repositoryLocationName": "bl_pipeline",
            "repositoryName": "__repository__",
            "scheduleName": name,
        }
        schedule = self.ask(query, selector=selector)["scheduleOrError"]["scheduleState"]["id"]
        stopped = self.ask("mutation ($id: String!) {stopRunningSchedule(id: $id) {__typename}}", id=schedule)
        assert stopped["stopRunningSchedule"]["__typename"] == "ScheduleStateResult", stopped

    def wait_for(self, what: str, check: Any) -> Any:
        """What `check` returns once that is something."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            if found := check():
                return found
            time.sleep(0.3)
        raise AssertionError(f"{what} did not happen; runs: {self.runs()}")

    def launch(self, job: str) -> str:
        """Launch a job as it is, and return the run's id."""
        query = """
            mutation ($params: ExecutionParams!) {
                launchRun(executionParams: $params) {... on LaunchRunSuccess {run {runId}}}
            }
        """
        selector = {"repositoryLocationName": "bl_pipeline", "repositoryName": "__repository__", "jobName": job}
        return str(self.ask(query, params={"selector": selector, "runConfigData": {}})["launchRun"]["run"]["runId"])

    def messages(self, run_id: str) -> list[str]:
        """What a run has logged so far."""
        query = """
            query ($id: ID!) {
                logsForRun(runId: $id) {... on EventConnection {events {... on MessageEvent {message}}}}
            }
        """
        return [event["message"] for event in self.ask(query, id=run_id)["logsForRun"]["events"]]

    def end_of(self, run_id: str) -> str:
        """The status with which a run ends."""
        query = "query ($id: ID!) {runOrError(runId: $id) {... on Run {status}}}"

        def status() -> str | None:
            found: str = self.ask(query, id=run_id)["runOrError"]["status"]
            return found if found in ENDED else None

        ended: str = self.wait_for(f"The end of {run_id}", status)
        return ended


@contextmanager
def serve_desk(store: Store, database_url: str, **settings: str) -> Iterator[Desk]:
    """Run `bl up` as a seller does, on this store and database."""
    # Not below pytest's own folders, which as root are closed to others.
    home = Path(tempfile.mkdtemp(prefix="bl-pipeline-desk-"))
    log = home / "up.log"
    with SandboxServer(store) as server:
        environment = {
            **{name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"},
            **dict.fromkeys(Settings.model_fields, ""),
            **{name.upper(): "" for name in Settings.model_fields},
            **server.environment(),
            "BL_HOME": str(home),
            "BL_STORE": "main",
            "BL_DATABASE_URL": database_url,
            **settings,
        }
        port = _free_port()
        with log.open("wb") as output:
            up = subprocess.Popen(
                [
                    str(Path(sys.executable).with_name("bl")),
                    "up",
                    "--port",
                    str(port),
                    "--desk-port",
                    str(_free_port()),
                ],
                cwd=home,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        desk = Desk(
            f"http://127.0.0.1:{port}",
            server,
            sandbox_settings(server, database_url, bl_home=home),
            environment,
        )
        try:
            _wait_until_loaded(desk, up, log)
            for schedule in desk.sync_schedules():
                desk.stop_schedule(schedule)
            yield desk
        finally:
            up.send_signal(signal.SIGINT)
            try:
                up.wait(60)
            except subprocess.TimeoutExpired:
                up.kill()
                raise
            finally:
                shutil.rmtree(home, ignore_errors=True)


def _wait_until_loaded(desk: Desk, up: subprocess.Popen[bytes], log: Path) -> None:
    """Until the code location is there, which is later than the server."""
    query = "{repositoriesOrError {... on RepositoryConnection {nodes {name}}}}"
    until = time.monotonic() + PATIENCE
    while time.monotonic() < until and up.poll() is None:
        try:
            if desk.ask(query)["repositoriesOrError"].get("nodes"):
                return
        except requests.RequestException:
            pass
        time.sleep(0.3)
    raise AssertionError(f"bl up does not serve: {log.read_text()[-3000:]}")


def _free_port() -> int:
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
