"""The option --store of the commands that are about one store."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from bl_pipeline.terminal.variables import set_variables

_NAME = "store"
_Store = Annotated[
    str | None,
    typer.Option("--store", metavar="KEY", help="The store, if there are several; as BL_STORE."),
]


def of_a_store(command: Callable[..., Any]) -> Callable[..., Any]:
    """The command with an option --store: for all that it does, the store is as if BL_STORE said it."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        store = options.pop(_NAME)
        if store is None:
            return command(*arguments, **options)
        if not store.strip():
            raise typer.BadParameter("write the key of a store; see: bl stores", param_hint="--store")
        with set_variables({"BL_STORE": store}):
            return command(*arguments, **options)

    signature = inspect.signature(command, eval_str=True)
    option = inspect.Parameter(_NAME, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_Store)
    parameters = [*signature.parameters.values(), option]
    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
