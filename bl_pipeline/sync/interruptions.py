"""What ends a run from outside: Ctrl-C, Terminate, and the errors that these cause."""

from __future__ import annotations


class Interrupted(BaseException):
    """The run is being canceled while a thread waits; no `except Exception` may swallow it."""


def interruption_behind(error: BaseException) -> BaseException | None:
    """The interruption that an error is, or hides, as a library may fail while it cleans up after one; else None.

    SQLAlchemy, for example, cannot return a connection to its pool that was interrupted while it was tested.
    """
    behind: BaseException | None = error
    # Dagster raises an error again while it handles its own wrapper of it: such a chain is a circle.
    seen: set[int] = set()
    while isinstance(behind, Exception) and id(behind) not in seen:
        seen.add(id(behind))
        behind = behind.__cause__ or behind.__context__
    return None if isinstance(behind, Exception | GeneratorExit | SystemExit) else behind
