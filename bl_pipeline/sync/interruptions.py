"""What ends a run from outside: Ctrl-C, Terminate, and the errors that these leave behind them."""

from __future__ import annotations


class Interrupted(BaseException):
    """The run is being canceled while a thread waits; no `except Exception` may swallow it."""


def interruption_behind(error: BaseException) -> BaseException | None:
    """The interruption an error is, or hides: a library that clears up after one may fail at that. None without one.

    SQLAlchemy, say, cannot take back a connection that is interrupted while it is tested.
    """
    behind: BaseException | None = error
    # Dagster raises an error again while it handles its own wrapper of it: such a chain is a circle.
    seen: set[int] = set()
    while isinstance(behind, Exception) and id(behind) not in seen:
        seen.add(id(behind))
        behind = behind.__cause__ or behind.__context__
    return None if isinstance(behind, Exception | GeneratorExit | SystemExit) else behind
