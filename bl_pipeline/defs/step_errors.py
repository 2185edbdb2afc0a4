"""What Dagster stores and logs of an error that ends a step: what it means, and nothing that may quote a buyer."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from inspect import isgeneratorfunction
from typing import Any, TypeVar, cast

import dagster as dg

from bl_pipeline.sync.interruptions import interruption_behind
from bl_pipeline.sync.unexpected import message_of

_Compute = TypeVar("_Compute", bound=Callable[..., Any])


class StepFailed(dg.Failure):
    """An error that ended a step, without its own text unless that is ours; `error` is the error itself."""

    def __init__(self, error: Exception) -> None:
        super().__init__(message_of(error), allow_retries=False)
        self.error = error


@contextmanager
def explaining() -> Iterator[None]:
    """Around what may raise an error that Dagster stores and logs; a hidden interruption is raised as it is."""
    try:
        yield
    except (dg.Failure, dg.DagsterError):
        raise
    except Exception as error:
        if interruption_behind(error):
            raise
        # Without the chain of errors: Dagster would store the text of each.
        raise StepFailed(error) from None


def explained(compute: _Compute) -> _Compute:
    """The function of an op, an asset, a check or a sensor, whose errors Dagster may store and log."""
    if not isgeneratorfunction(compute):
        return explaining()(compute)

    @wraps(compute)
    def generate(*arguments: Any, **named: Any) -> Iterator[Any]:
        with explaining():
            yield from compute(*arguments, **named)

    return cast("_Compute", generate)
