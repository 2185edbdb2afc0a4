"""How long a command takes to start is what it imports. The modules are the same on every machine, seconds are not."""

from __future__ import annotations

import subprocess
import sys

import pytest

from bl_pipeline_tests.terminal.conftest import Bl

RUN = """
import sys
from bl_pipeline.terminal.cli import main
sys.argv = ["bl", *sys.argv[1:]]
try:
    main()
finally:
    print("\\n".join(sys.modules), file=sys.stderr)
"""

FRAMES = {"pandas", "numpy", "pyarrow", "matplotlib"}
READING = FRAMES | {"dagster", "alembic", "requests", "fastapi", "rich.markdown"}
WITHOUT = {
    "--help": READING | {"pydantic", "sqlalchemy", "psycopg", "msgspec"},
    "status": READING,
    "orders": READING,
}
"""Command → what it does not import."""


@pytest.mark.parametrize("command", WITHOUT)
def test_a_command_imports_only_what_it_needs(synced_bl: Bl, command: str) -> None:
    """Planted: each of these imported by a module that the command needs."""
    # A process: this one has imported them all. It gets the variables that `synced_bl` has set.
    done = subprocess.run([sys.executable, "-c", RUN, command], capture_output=True, text=True, check=True)
    assert done.stdout
    imported = set(done.stderr.splitlines())
    assert "bl_pipeline.terminal.cli" in imported
    assert sorted(imported & WITHOUT[command]) == []
