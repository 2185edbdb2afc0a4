"""The units of deploy/systemd, as systemd itself reads them; nothing is started."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "deploy" / "systemd"
SERVICES = sorted(path.name for path in UNITS.glob("*.service"))
ALL = sorted(path.name for path in UNITS.iterdir())
SYSTEM = Path("/usr/lib/systemd/system")
LARGEST_EXPOSURE = 20
"""In tenths, of systemd's own measure: a service without any protection has 96."""

pytestmark = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None or not SYSTEM.is_dir(), reason="systemd is not installed"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine on which they are installed, with empty programs."""
    installed = tmp_path / "etc/systemd/system"
    shutil.copytree(UNITS, installed)
    (tmp_path / SYSTEM.relative_to("/")).mkdir(parents=True)
    for target in (*SYSTEM.glob("*.target"), *SYSTEM.glob("*.slice")):
        shutil.copy(target, tmp_path / target.relative_to("/"))
    for program in ("opt/bl_pipeline/.venv/bin/bl", "bin/sh", "usr/bin/find"):
        path = tmp_path / program
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o755)
    return tmp_path


def analyze(root: Path, *arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        ["systemd-analyze", f"--root={root}", *arguments], capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_systemd_accepts_them(root: Path) -> None:
    """Without a warning: an option that systemd does not know is only that. Planted: ProtectSytem=strict."""
    assert analyze(root, "verify", "--man=no", *ALL) == (0, "")
    unit = root / "etc/systemd/system/bl-pipeline.service"
    unit.write_text(unit.read_text().replace("ProtectSystem", "ProtectSytem"))
    assert "ProtectSytem" in analyze(root, "verify", "--man=no", *ALL)[1]


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_may_do_little(root: Path, service: str) -> None:
    """Planted: without CapabilityBoundingSet and SystemCallFilter."""
    command = ("security", "--offline=true", f"--threshold={LARGEST_EXPOSURE}", service)
    code, said = analyze(root, *command)
    assert code == 0, said
    unit = root / "etc/systemd/system" / service
    unit.write_text(re.sub("^(CapabilityBoundingSet|SystemCallFilter)=.*$", "", unit.read_text(), flags=re.MULTILINE))
    assert analyze(root, *command)[0] != 0


def test_the_backup_as_it_is_written_keeps_thirty_days(tmp_path: Path) -> None:
    """The commands of the unit, as systemd hands them on, in folders of the test. Planted: no `-mtime`."""
    unit = (UNITS / "bl-pipeline-backup.service").read_text()
    backups = tmp_path / "backups"
    backups.mkdir()
    for name, days in (("warehouse-old.zip", 32), ("warehouse-new.zip", 29), ("other.zip", 99)):
        (backups / name).touch()
        subprocess.run(["touch", "-d", f"{days} days ago", backups / name], check=True)
    bl = tmp_path / "bl"
    bl.write_text('#!/bin/sh\n[ "$1" = backup ] && touch "$2"\n')
    bl.chmod(0o755)
    commands = re.findall("^ExecStart=(.*)$", unit, re.MULTILINE)
    assert len(commands) == 2
    for command in commands:
        here = command.replace("$$", "$").replace("%%", "%").replace("/opt/bl_pipeline/.venv/bin/bl", str(bl))
        here = here.replace("/var/lib/bl_pipeline_backups", str(backups)).replace("warehouse-*", "'warehouse-*'")
        subprocess.run(["sh", "-c", here], check=True)
    left = {path.name for path in backups.iterdir()}
    assert {"warehouse-new.zip", "other.zip"} < left
    (made,) = left - {"warehouse-new.zip", "other.zip"}
    assert re.fullmatch(r"warehouse-\d{4}-\d\d-\d\dT\d{6}Z\.zip", made)
