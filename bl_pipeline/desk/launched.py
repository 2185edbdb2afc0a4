"""One run of a job, as a process: reads {"job", "run_id", "config"} and prints {"exit_code", "message"}, both JSON.

python -m bl_pipeline.desk.launched

Its standard input stays open; when it ends, the run is canceled, as by Ctrl-C.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from threading import Thread

from bl_pipeline.desk.launching import CANCELED
from bl_pipeline.records import ExitCode
from bl_pipeline.running import run_job
from bl_pipeline.settings import load_settings
from bl_pipeline.sync.interruptions import Interrupted, interruption_behind
from bl_pipeline.sync.run_errors import RunError
from bl_pipeline.sync.session import NoProgress
from bl_pipeline.sync.unexpected import message_of


def main() -> None:
    """Run what standard input asks for."""
    asked = json.loads(sys.stdin.readline())
    # Whatever this process has inherited: a program that is started in the background ignores Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        Thread(target=_cancel_at_the_end_of_input, daemon=True).start()
        result = run_job(
            load_settings(), asked["job"], asked["config"], NoProgress(), warn=lambda _: None, run_id=asked["run_id"]
        )
        code, message = result.exit_code, result.message
    except (Exception, KeyboardInterrupt, Interrupted) as error:
        code, message = ExitCode.OTHER, why(error)
    print(json.dumps({"exit_code": code, "message": message}))  # noqa: T201  (for the process that started this one)


def why(error: BaseException) -> str:
    """What is said of a run that ended by an error, or by an interruption that it could not note itself."""
    if isinstance(error, RunError):
        return str(error)
    return CANCELED if interruption_behind(error) else message_of(error)


def _cancel_at_the_end_of_input() -> None:
    # Not sys.stdin: at its end Python would wait for the lock that a waiting thread has.
    while os.read(sys.stdin.fileno(), 1):
        pass
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main()
