"""The folder of the files that are not code: the reports' SQL and Dagster's YAML."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).parent

PROJECT = _PACKAGE if (_PACKAGE / "dagster.yaml").exists() else _PACKAGE.parent
"""The folder of sql/, dagster.yaml and workspace.yaml: in an installation the package, in a checkout the one above."""
