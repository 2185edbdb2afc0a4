"""`make setup` if uv cannot be installed: pip does it, by the same hashes. `make up` with a wrong setting."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from bl_pipeline_tests.test_project import PROJECT, locked

pytestmark = pytest.mark.slow

FEW = ("hatchling", "editables", "packaging", "pathspec", "pluggy", "trove-classifiers")
"""What the last step of the set-up needs: the build of the project itself."""
TINY = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "tiny"
version = "1"
scripts = { bl = "tiny:main" }
"""


def test_pip_installs_the_lock_if_uv_cannot_be_installed(tmp_path: Path, isolated: pytest.MonkeyPatch) -> None:
    """A project with a lock of a few packages, and a uv that no index has, as on a platform without a wheel of it.

    Planted: no fallback; a fallback that installs something else.
    """
    if shutil.which("make") is None:
        pytest.skip("no make")
    isolated.delenv("VIRTUAL_ENV", raising=False)
    shutil.copy(PROJECT / "Makefile", tmp_path)
    (tmp_path / "pyproject.toml").write_text(TINY)
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny" / "__init__.py").write_text("def main(): print('it works')\n")
    uv = [f"uv==0.0.0.dev0 \\\n    --hash=sha256:{'0' * 64}"]
    lines = [*(line for name in FEW for line in locked()[name]), *uv]
    (tmp_path / "requirements.lock").write_text("\n".join(lines) + "\n")

    done = subprocess.run(
        ["make", "setup", f"PYTHON={getattr(sys, '_base_executable', sys.executable)}"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert "uv could not install the packages, so pip does it now: this takes some minutes." in done.stderr
    assert not (tmp_path / ".venv" / "bin" / "uv").exists()
    said = subprocess.run([tmp_path / ".venv" / "bin" / "bl"], capture_output=True, text=True, check=True)
    assert said.stdout == "it works\n"
    # It is done: the next time nothing is installed.
    again = subprocess.run(["make", "setup"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (again.returncode, again.stderr) == (0, "")


def test_up_names_a_wrong_setting_and_starts_no_demo(tmp_path: Path, isolated: pytest.MonkeyPatch) -> None:
    """Caught: whatever was wrong with the settings, `make up` said there were no credentials, and served a demo."""
    if shutil.which("make") is None:
        pytest.skip("no make")
    shutil.copy(PROJECT / "Makefile", tmp_path)
    isolated.setenv("BL_CALL_RESERVE", "x")
    isolated.setenv("BL_HOME", "/dev/null/nowhere")  # in which no demo starts
    command = ["make", "up", f"BIN={Path(sys.executable).parent}"]
    for name in ("requirements.lock", "pyproject.toml", ".venv/ready"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "BL_CALL_RESERVE: " in done.stderr
    assert "demo" not in done.stdout
