"""The script of a dump, as psql reads it, for a server of any version."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

_COLUMN_OPTIONS = re.compile(rb"(ALTER (?:FOREIGN )?TABLE ONLY .+ ALTER COLUMN .+ SET \()(.*)(\);\n)")
_OF_THE_SERVER = b"pg_attver="
"""An option that servers since the minor versions of autumn 2026 set at each column for themselves. Older ones refuse
it, and a pg_dump of before takes it for one that somebody has set.
"""

_SINCE_17 = b"SET transaction_timeout = 0;\n"


def portable(script: Iterable[bytes]) -> Iterator[bytes]:
    """The lines of a dump, without what only some servers know; the rows of tables are as they are."""
    lines = iter(script)
    for line in lines:
        if line == _SINCE_17:
            continue
        if options := _COLUMN_OPTIONS.fullmatch(line):
            kept = [option for option in options[2].split(b", ") if not option.startswith(_OF_THE_SERVER)]
            if kept:
                yield options[1] + b", ".join(kept) + options[3]
            continue
        yield line
        if line.startswith(b"COPY ") and line.endswith(b" FROM stdin;\n"):
            for row in lines:
                yield row
                if row == b"\\.\n":
                    break
