"""BL_HOME between two accounts: whoever used it first, the other works there, or sees what repairs it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from pwd import getpwnam
from typing import Any

import pytest

from bl_pipeline.home import open_folder
from bl_pipeline.postgres import embedded
from bl_pipeline.sandbox import SandboxServer
from bl_pipeline.settings import SettingsError, load_settings
from bl_pipeline.warehouse.database import read_warehouse
from bl_pipeline_tests.terminal.conftest import BL, free_port

pytestmark = pytest.mark.slow

USER = "daemon"
as_root = pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("setpriv") is None, reason="only root can be two accounts, by setpriv"
)
not_root = pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere; as a user it is tested there")

OPEN = """
import json, pathlib, sys
from bl_pipeline.home import open_folder
from bl_pipeline.settings import SettingsError
for line in sys.stdin:
    try:
        open_folder(*map(pathlib.Path, json.loads(line)))
        print('""', flush=True)
    except SettingsError as error:
        print(json.dumps(str(error)), flush=True)
"""
"""Answers each line, a folder and its home, with what is said of it."""


@pytest.fixture
def home(isolated: pytest.MonkeyPatch) -> Iterator[Path]:
    """A home, with the folder that it is in open to all accounts."""
    folder = Path(tempfile.mkdtemp(prefix="bl-home-test-"))
    folder.chmod(0o755)
    isolated.chdir(folder)
    isolated.setenv("BL_HOME", str(folder / "home"))
    yield folder / "home"
    embedded.wait_until_stopped(folder / "home", 10)
    shutil.rmtree(folder)


def as_user(command: list[str]) -> list[str]:
    """The command for the user, who may read our Python, wherever that is, and write only what is the user's own."""
    become = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
    return [*become, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", *command]


def synced(command: list[str]) -> Any:
    """The result of a sync, which must work."""
    ran = subprocess.run([*command, "sync", "--json"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@as_root
@pytest.mark.timeout(600)
def test_a_home_goes_from_root_to_a_user_and_back(
    home: Path, server: SandboxServer, isolated: pytest.MonkeyPatch
) -> None:
    for name, value in server.environment().items():
        isolated.setenv(name, value)
    home.mkdir()
    shutil.chown(home, USER, USER)
    sales = len(server.store.sales)
    assert synced(BL)["orders_created"] == sales
    embedded.wait_until_stopped(home, 30)

    up = as_user([*BL, "up", "--port", str(free_port()), "--desk-port", str(free_port())])
    refused = subprocess.run(up, capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    what, repair = refused.stderr.splitlines()
    assert re.fullmatch(
        rf"Error: {home}/\S+ belongs to root, and this account \({USER}\) cannot use it: "
        r"bl has run here as root\. Nothing was started\.",
        what,
    )
    assert repair == f"Stop what root still runs here, then: sudo chown -R {USER}: {home}"
    subprocess.run(repair.partition("sudo ")[2].split(), check=True)

    assert synced(BL)["orders_skipped"] == sales  # root again, in what is now the user's
    assert synced(as_user(BL))["orders_skipped"] == sales


@as_root
def test_a_command_that_reads_says_whose_the_warehouse_is(home: Path) -> None:
    """Caught: without how to repair it, as if it had asked for a file of the user's."""
    data = home / "postgres" / "data"
    data.mkdir(parents=True)
    (data / "PG_VERSION").write_text("18")
    for folder in (home, home / "postgres"):
        shutil.chown(folder, USER, USER)
    data.chmod(0o700)
    settings = load_settings(env_file=None, bl_home=home)
    os.seteuid(getpwnam(USER).pw_uid)
    try:
        with pytest.raises(SettingsError) as refused, read_warehouse(settings):
            pass
    finally:
        os.seteuid(0)
    assert f"{data} belongs to root" in str(refused.value)
    assert f"sudo chown -R {USER}: {home}" in str(refused.value)


@as_root
def test_a_file_that_the_account_cannot_use_is_named(home: Path) -> None:
    for name in ("dagster/storage", "postgres/data", "demo"):
        (home / name).mkdir(parents=True)
    for name in ("dagster/dagster.yaml", "postgres/password"):
        (home / name).touch()
    (home / "lost+found").mkdir(mode=0o700)  # of a volume: it is not ours
    subprocess.run(["chown", "-R", f"{USER}:", home], check=True)
    shutil.chown(home / "lost+found", "root")

    process = subprocess.Popen(
        as_user([sys.executable, "-c", OPEN]), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )

    def opened(name: str, home: Path = home) -> str:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps([str(home / name), str(home)]) + "\n")
        process.stdin.flush()
        return str(json.loads(process.stdout.readline()))

    assert opened("postgres") == opened("dagster") == ""
    for name, folder in (
        *(("dagster/dagster.yaml", "dagster"), ("dagster/storage", "dagster"), ("dagster", "dagster")),
        *(("postgres/password", "postgres"), ("postgres/data", "postgres"), ("demo", "postgres"), ("", "dagster")),
    ):
        path = home / name
        path.chmod(0o700)
        shutil.chown(path, "root", "root")
        said = opened(folder)
        assert said.startswith(f"{path} belongs to root, and this account ({USER}) cannot use it"), (name, said)
        assert f"sudo chown -R {USER}: {home}" in said
        shutil.chown(path, USER, USER)
        path.chmod(0)
        if name != "postgres/data":  # whose mode is the server's business
            said = opened(folder)
            assert said.startswith(f"{path} is closed to its own owner"), (name, said)
            assert f"chmod -R u+rwX {home}" in said
        path.chmod(0o700)
    # Where it cannot be made at all, nothing is to be repaired.
    said = opened("dagster", Path("/below-the-root-of-all/home"))
    assert said.splitlines() == [
        f"/ belongs to root, and this account ({USER}) cannot use it. Nothing was started.",
        "Set BL_HOME to a folder that this account can write.",
    ]
    process.communicate()


@not_root
def test_a_closed_file_is_named(home: Path) -> None:
    file = open_folder(home / "dagster", home) / "dagster.yaml"
    file.touch(mode=0)
    with pytest.raises(SettingsError, match=r"dagster\.yaml is closed to its own owner"):
        open_folder(home / "dagster", home)


def test_a_home_that_is_a_file_is_said(home: Path) -> None:
    home.touch()
    with pytest.raises(SettingsError, match=r"(?s)home/dagster.*Set BL_HOME to a folder"):
        open_folder(home / "dagster", home)
    with pytest.raises(SettingsError, match=r"(?s)home/x.*Set DAGSTER_HOME to a folder"):
        open_folder(home / "x", home.parent / "elsewhere")
