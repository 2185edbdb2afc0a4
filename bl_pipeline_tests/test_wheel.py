"""The wheel, built and installed elsewhere: it runs without the checkout that it was built from."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from bl_pipeline.postgres import embedded
from bl_pipeline_tests.terminal.conftest import free_port

pytestmark = pytest.mark.slow

PROJECT = Path(__file__).parents[1]
UV = str(Path(sys.executable).with_name("uv"))
PATIENCE = 240.0
"""Seconds that anything may take; on a quiet machine it takes a tenth of this."""


@dataclass
class Installation:
    """A fresh environment with the wheel, an empty folder to work in, and a home for the data."""

    bl: Path
    folder: Path
    environment: dict[str, str]

    def run(self, *arguments: str) -> str:
        """The output of a command of `bl` that ends with exit code 0."""
        done = subprocess.run(
            [self.bl, *arguments],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout


def build(folder: Path) -> tuple[Path, Path]:
    """The sdist, and the wheel that is built from it."""
    command = [UV, "build", "--quiet", "--no-build-isolation", "--python", sys.executable, "--out-dir", str(folder)]
    subprocess.run([*command, str(PROJECT)], check=True, capture_output=True)
    return next(folder.glob("*.tar.gz")), next(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture
def installed(built: tuple[Path, Path]) -> Iterator[Installation]:
    # Not below pytest's own folders, which are closed to Postgres if root runs the tests.
    root = Path(tempfile.mkdtemp(prefix="bl-wheel-test-"))
    root.chmod(0o711)
    python, folder = root / "venv/bin/python", root / "empty"
    folder.mkdir()
    install = [UV, "pip", "install", "--quiet", "--no-deps", "--system-certs", "--python", str(python)]
    subprocess.run([UV, "venv", "--quiet", "--python", sys.executable, str(root / "venv")], check=True)
    subprocess.run([*install, "--require-hashes", "-r", str(PROJECT / "requirements.lock")], check=True)
    subprocess.run([*install, str(built[1])], check=True)
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "TZ") if name in os.environ}
    yield Installation(
        python.with_name("bl"), folder, {**kept, "HOME": str(root), "BL_HOME": str(root / "data"), "COLUMNS": "120"}
    )
    embedded.wait_until_stopped(root / "data", PATIENCE)
    shutil.rmtree(root, ignore_errors=True)


def test_it_has_all_that_runs_and_no_tests(built: tuple[Path, Path]) -> None:
    """Planted: no `force-include`; `packages` left out, which takes the tests along."""
    sdist, wheel = built
    with zipfile.ZipFile(wheel) as archive:
        inside = {name for name in archive.namelist() if ".dist-info/" not in name}
    tracked = subprocess.run(
        ["git", "ls-files", "bl_pipeline", "sql", "dagster.yaml", "workspace.yaml"],
        cwd=PROJECT, capture_output=True, text=True, check=True,
    ).stdout.split()  # fmt: skip
    assert inside == {name if name.startswith("bl_pipeline/") else f"bl_pipeline/{name}" for name in tracked}
    with tarfile.open(sdist) as archive:
        outside = {name.partition("/")[2] for name in archive.getnames()}
    assert set(tracked) <= outside
    assert [name for name in outside if name.startswith("bl_pipeline_tests")] == []


def test_it_runs_in_an_empty_folder(installed: Installation) -> None:
    """Catches a file that is found in a checkout only."""
    assert installed.run("--version").startswith("bl_pipeline ")
    assert "Revenue by month" in installed.run("demo")
    assert "revenue_by_month" in installed.run("report")
    assert list(installed.folder.iterdir()) == []

    port, desk_port = free_port(), free_port()
    log = installed.folder / "up.log"
    with log.open("wb") as output:
        up = subprocess.Popen(
            [installed.bl, "up", "--demo", "--port", str(port), "--desk-port", str(desk_port)],
            cwd=installed.folder, env=installed.environment, stdout=output, stderr=subprocess.STDOUT,
        )  # fmt: skip
        try:
            until = time.monotonic() + PATIENCE
            while (
                not (healthy := answers(port, "/server_info") and answers(desk_port, "/"))
                and up.poll() is None
                and time.monotonic() < until
            ):
                time.sleep(0.3)
            assert healthy, log.read_text()
        finally:
            up.send_signal(signal.SIGINT)
            assert up.wait(PATIENCE) == 0, log.read_text()


def answers(port: int, path: str) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False
