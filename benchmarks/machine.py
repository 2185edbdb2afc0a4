"""The machine and the versions that figures belong to."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

from benchmarks.processes import PROJECT
from benchmarks.server import Server

_PACKAGES = ("dagster", "pandas", "pyarrow", "psycopg", "sqlalchemy", "msgspec", "requests")
_SETTINGS = ("fsync", "synchronous_commit", "shared_buffers", "wal_level")


def describe(server: Server) -> dict[str, str]:
    """What figures depend on, by what it is."""
    return {
        "processor": f"{_processor()}, {os.cpu_count()} cores",
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "Postgres": f"{server.ask('SHOW server_version')}, embedded; "
        + ", ".join(f"{name} {server.ask(f'SHOW {name}')}" for name in _SETTINGS),
        "packages": ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
    }


def revision() -> str:
    """The commit that is measured, with a + if files differ from it."""
    described = subprocess.run(
        ["git", "describe", "--always", "--dirty=+"], cwd=PROJECT, capture_output=True, text=True, check=False
    )
    return described.stdout.strip() or "unknown"


def load_before() -> float:
    """Processes that were running or waiting in the last minute: near 0 on a quiet machine."""
    return os.getloadavg()[0]


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    found = re.search(r"^model name\s*: (.*)$", info.read_text(), re.MULTILINE) if info.exists() else None
    return found[1] if found else platform.processor()
