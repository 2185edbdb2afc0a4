import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests
from requests_oauthlib import OAuth1

from bl_pipeline.sandbox import Credentials, SandboxServer, Store
from bl_pipeline_tests.support.waiting import PATIENCE, wait_until

COMMAND = [sys.executable, "-m", "bl_pipeline.sandbox", "--orders", "6"]


def environment(**variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("BRICKLINK_")}
    return kept | variables


def run(*options: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*COMMAND, *options], check=False, capture_output=True, text=True, timeout=PATIENCE, env=environment()
    )


@contextmanager
def running(*options: str, **variables: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """The command, and what it has printed once it is ready."""
    with subprocess.Popen(
        [*COMMAND, *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(**variables),
    ) as process:
        try:
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append(line.rstrip("\n"))
                if line.startswith("#"):
                    break
            yield process, lines
        finally:
            process.kill()


def exported(lines: list[str]) -> dict[str, str]:
    exports = [line.removeprefix("export ") for line in lines if line.startswith("export ")]
    return dict(line.split("=", 1) for line in exports)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_prints_what_to_set_and_serves_until_stopped(number: signal.Signals, tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with running("--filed", "2", "--purged", "1", "--ready-file", str(ready)) as (process, lines):
        settings = exported(lines)
        assert lines[-1] == "# serving 6 sales (2 filed, 1 purged) and 2 purchases"
        auth = OAuth1(
            settings["BRICKLINK_CONSUMER_KEY"],
            settings["BRICKLINK_CONSUMER_SECRET"],
            settings["BRICKLINK_TOKEN_VALUE"],
            settings["BRICKLINK_TOKEN_SECRET"],
        )
        answer = requests.get(f"{settings['BRICKLINK_API_URL']}/orders", auth=auth, timeout=PATIENCE)
        assert len(answer.json()["data"]) == 4
        assert ready.read_text().splitlines() == lines
        process.send_signal(number)
        rest, errors = process.communicate(timeout=PATIENCE)
        assert (process.returncode, rest, errors) == (0, "", "")


def test_it_takes_the_credentials_of_the_environment_and_keeps_them() -> None:
    credentials = Credentials.generate(2)
    with running(**credentials.environment()) as (_, lines):
        settings = exported(lines)
        assert set(settings) == {"BRICKLINK_API_URL"}
        auth = OAuth1(
            credentials.consumer_key,
            credentials.consumer_secret,
            credentials.token_value,
            credentials.token_secret,
        )
        answer = requests.get(f"{settings['BRICKLINK_API_URL']}/orders/1", auth=auth, timeout=PATIENCE)
        assert answer.json()["meta"]["code"] == 404


@pytest.mark.parametrize(
    ("options", "code", "error"),
    [
        (("--filed", "7"), 2, "sandbox: filed=7, purged=None and unknown=0 do not fit into 6 sales\n"),
        (("--currencies", "XXX"), 2, "sandbox: no currency to sell in: XXX\n"),
    ],
)
def test_wrong_use_is_one_line(options: tuple[str, ...], code: int, error: str) -> None:
    done = run(*options)
    assert (done.returncode, done.stdout, done.stderr) == (code, "", error)


def test_a_port_in_use_is_one_line() -> None:
    with SandboxServer(Store.grow(1)) as server:
        done = run("--port", str(server.port))
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
        assert f"cannot serve on port {server.port}: " in done.stderr


def test_it_ends_with_its_parent(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    start = [*COMMAND, "--exit-with-parent", "--ready-file", str(ready)]
    code = (
        "import subprocess, sys, time; from pathlib import Path\n"
        f"child = subprocess.Popen({start!r}, stdout=subprocess.DEVNULL)\n"
        f"while not Path({str(ready)!r}).exists(): time.sleep(0.02)\n"
        "print(child.pid, flush=True); time.sleep(600)\n"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment()) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        parent.kill()
    url = exported(ready.read_text().splitlines())["BRICKLINK_API_URL"]

    def gone() -> bool:
        try:
            requests.get(url, timeout=PATIENCE)
        except requests.ConnectionError:
            return True
        return False

    wait_until(gone)
