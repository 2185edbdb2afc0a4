"""One run of a job, as a process: reads {"job", "run_id", "config"} and prints {"exit_code", "message"}, both JSON.

python -m bl_pipeline.desk.launched
"""

from __future__ import annotations

import json
import sys

from bl_pipeline.records import ExitCode
from bl_pipeline.running import run_job
from bl_pipeline.settings import load_settings
from bl_pipeline.sync.session import Unwatched
from bl_pipeline.sync.unforeseen import describe, foreseen


def main() -> None:
    """Run what standard input asks for."""
    asked = json.load(sys.stdin)
    try:
        result = run_job(
            load_settings(), asked["job"], asked["config"], Unwatched(), warn=lambda _: None, run_id=asked["run_id"]
        )
        code, message = result.exit_code, result.message
    except (Exception, KeyboardInterrupt) as error:
        code, message = ExitCode.OTHER, foreseen(error) or describe(error)
    print(json.dumps({"exit_code": code, "message": message}))  # noqa: T201  (for the process that started this one)


if __name__ == "__main__":
    main()
