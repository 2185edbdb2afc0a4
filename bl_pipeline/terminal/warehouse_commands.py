"""`bl rename-store`: what is done with a warehouse as a whole."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Annotated

import typer

from bl_pipeline.settings import load_settings
from bl_pipeline.terminal.console import plural, show
from bl_pipeline.terminal.failures import Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Engine


def rename_store(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The name under which the orders are stored.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name they get: the one in BL_STORE from now on.")],
) -> None:
    """Give a store another name, with all its orders and history."""
    settings = load_settings(bl_store=old)
    load_settings(bl_store=new)  # checks it
    from bl_pipeline.warehouse import stores
    from bl_pipeline.warehouse.database import open_warehouse

    with open_warehouse(settings) as warehouse, ExitStack() as stack:
        lock_stores(stack, warehouse.engine, {old, new})
        with warehouse.engine.begin() as connection:
            known = stores.stores_with_orders(connection)
            if old not in known:
                there = f"this warehouse has orders of: {', '.join(known)}." if known else "it is empty."
                raise Refused(f"There are no orders of a store {old}: {there} Nothing was changed.")
            if new in known:
                raise Refused(
                    f"There are orders of a store {new} already, and two stores cannot become one. Nothing was "
                    "changed.\nChoose one of the two with BL_STORE."
                )
            orders = stores.rename_store(connection, old, new)
    show(f"Store {old} is called {new} now, with {plural(orders, 'order')}. Set BL_STORE={new}.")


def lock_stores(stack: ExitStack, engine: Engine, names: Iterable[str]) -> None:
    """Keep any sync of these stores from running until the stack is closed. Raises LockHeld if one is running."""
    from bl_pipeline.terminal.running import LockHeld
    from bl_pipeline.warehouse.database import Warehouse
    from bl_pipeline.warehouse.lock import SyncLock

    for name in sorted(names):
        lock = SyncLock(Warehouse(engine, name))
        if not lock.try_acquire():
            raise LockHeld(
                f"A sync of store {name} is running, so nothing was changed. Wait until it has ended (bl status), "
                "then try again."
            )
        stack.callback(lock.release)
