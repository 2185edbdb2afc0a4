"""Logs as one JSON object a line, for programs that collect them: BL_LOG_FORMAT=json."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import datetime
from types import TracebackType

from pythonjsonlogger.json import JsonFormatter

from bl_pipeline.settings import LogFormat, Settings
from bl_pipeline.sync.unexpected import LOG, frames

_OF_DAGSTER = re.compile(
    r"(?P<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [+-]\d{4}) - (?P<name>\S+) - (?P<levelname>[A-Z]+) - (?P<message>.*)"
)
"""A line of Dagster's own logs. To a run's log it gives no other form without a configuration of each run."""
_OF_A_RUN = re.compile(
    r"(?P<job>\S+) - (?P<run_id>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}) - (?:\d+ - )?(?P<rest>.*)"
)


class JsonLines(JsonFormatter):
    """Makes a JSON object of a record: time (UTC), level, logger, message; store, job and run_id if they are known.

    Of an error it has the class and the frames, and not its text, which may quote a buyer.
    """

    def __init__(self, store: str | None) -> None:
        """All lines are about this store; None if there are several."""
        super().__init__(
            "%(levelname)s %(name)s %(message)s",
            rename_fields={"levelname": "level", "name": "logger"},
            static_fields={"store": store} if store else None,
            timestamp="time",
        )

    def formatException(  # noqa: N802  (the name is logging's)
        self,
        ei: tuple[type[BaseException], BaseException, TracebackType | None] | tuple[None, None, None],
    ) -> str:
        """The class of the error and the calls that led to it."""
        return "" if ei[1] is None else "\n".join([type(ei[1]).__name__, *frames(ei[1])])

    def format_line(self, line: str) -> str:
        """Such an object of a line that a process has written: as it is if it is one already."""
        try:
            if isinstance(json.loads(line), dict):
                return line.rstrip()
        except ValueError:
            pass
        values: dict[str, object] = {"name": "bl_pipeline.up", "levelname": "INFO", "msg": line.rstrip()}
        if found := _OF_DAGSTER.match(line):
            written = datetime.strptime(found["time"], "%Y-%m-%d %H:%M:%S %z")
            values = {"name": found["name"], "levelname": found["levelname"], "msg": found["message"]}
            values["created"] = written.timestamp()
            if run := _OF_A_RUN.match(found["message"]):
                values |= {"msg": run["rest"], "job": run["job"], "run_id": run["run_id"]}
        return self.format(logging.makeLogRecord(values))


def log_as_json(settings: Settings, store: str | None) -> bool:
    """If the settings say so, let what this process logs, about this store, go to standard error as JSON.

    Returns whether they do; `store` is None if the process is about several.
    """
    if settings.bl_log_format is not LogFormat.JSON:
        return False
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines(store))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    LOG.handlers.clear()  # `bl` would print this one as text too
    return True
