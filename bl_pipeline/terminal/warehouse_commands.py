"""`bl backup`, `restore`, `upgrade-postgres` and `rename-store`: commands for a warehouse as a whole."""

# ruff: noqa: PLC0415  (a command imports what it needs, so that `bl --help` and `bl status` are quick)

from __future__ import annotations

import shlex
from contextlib import ExitStack
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bl_pipeline.terminal.console import money, show
from bl_pipeline.terminal.failures import Refused
from bl_pipeline.wording import plural

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Engine

    from bl_pipeline.warehouse.backup import Manifest

BackupFile = Annotated[Path, typer.Argument(metavar="FILE", help="The file, such as warehouse-2026-11-27.zip.")]


def backup(file: BackupFile) -> None:
    """Write the whole warehouse into a file, also while syncs go on."""
    from bl_pipeline.settings import load_installation

    settings = load_installation()
    from bl_pipeline.warehouse.backup import back_up
    from bl_pipeline.warehouse.connections import open_engine
    from bl_pipeline.warehouse.database import postgres_url, refuse_poolers, refuse_unmade, refused_clearly
    from bl_pipeline.warehouse.new_file import remove_unfinished

    refuse_unmade(settings)
    file = file.expanduser().absolute()
    for unfinished in remove_unfinished(file.parent):
        show(f"An earlier backup was not completed. What it had written was removed: {unfinished}")
    with postgres_url(settings) as url, ExitStack() as stack:
        engine = open_engine(url)
        stack.callback(engine.dispose)
        with refused_clearly(url):
            refuse_poolers(settings, engine)
        manifest = back_up(url, file, binaries=settings.bl_postgres_bin)
    show(f"Backup in {file}, {file.stat().st_size / 1e6:,.1f} MB: {_contents(manifest)}.")
    show("It has buyers' names and addresses in it: keep it where nobody else can read it.")
    show(f"Restore it with: bl restore {file}")


def restore(
    file: BackupFile,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Delete what is in the warehouse now, and put the backup in its place.",
            show_default=False,
        ),
    ] = False,
) -> None:
    """Put a backup into the warehouse, and check its counts and sums.

    Without --replace a warehouse that has orders is left as it is.
    """
    from bl_pipeline.settings import load_installation

    settings = load_installation()
    from bl_pipeline.warehouse import backup
    from bl_pipeline.warehouse.connections import open_engine
    from bl_pipeline.warehouse.database import (
        address,
        check_preconditions,
        open_warehouse,
        postgres_url,
        refuse_poolers,
        refused_clearly,
    )

    file = file.expanduser().absolute()
    made = backup.read_manifest(file)
    with postgres_url(settings) as url, ExitStack() as stack:
        engine = open_engine(url)
        stack.callback(engine.dispose)
        with refused_clearly(url):
            refuse_poolers(settings, engine)
            with engine.connect() as connection:
                check_preconditions(connection, for_writing=True)
        target = backup.look_at_target(url)
        if target.has_data and not replace:
            raise Refused(
                f"The warehouse ({address(settings)}) has orders of: {', '.join(target.stores)}. Nothing was changed.\n"
                f"A restore puts what is in {file} in their place. To do that: bl restore --replace {file}"
            )
        if target.dependents:
            raise Refused(
                "These are your own, and a restore would remove them or what they depend on: "
                f"{', '.join(target.dependents)}. Nothing was changed.\n"
                "Move the tables to a schema of your own, drop views and foreign keys, restore, and make them again."
            )
        lock_stores(stack, engine, {settings.bl_store, *target.stores, *made.stores})
        backup.restore(url, file, binaries=settings.bl_postgres_bin)
    with open_warehouse(settings):
        pass  # brings the tables of an older backup up to date
    show(f"Restored from the backup of {made.made_at}, and checked: {_contents(made)}.")
    show("Roles for reading are not in a backup: run docs/analyst-role.sql again if you use it. Next: bl sync")


def _contents(manifest: Manifest) -> str:
    rows = manifest.rows
    amounts = [f"{store}: {money(Decimal(str(amount)), currency)}" for store, currency, amount in manifest.orders]
    return (
        f"{plural(sum(rows.values()), 'row')} in {plural(len(rows), 'table')}, among them "
        f"{plural(rows['sales.orders'], 'order')} with {plural(rows['sales.order_items'], 'lot')}"
        f"{', totals of ' if amounts else ''}{'; '.join(amounts)}"
    )


def upgrade_postgres() -> None:
    """Bring the data of the embedded Postgres to the newest version of Postgres there is."""
    from bl_pipeline.settings import load_installation

    settings = load_installation()
    from bl_pipeline.postgres.upgrade import upgrade_embedded

    if settings.postgres_url is not None:
        raise Refused("BL_DATABASE_URL is set, so the embedded Postgres is not used. Nothing was changed.")
    done = upgrade_embedded(settings.bl_home, binaries=settings.bl_postgres_bin)
    if done.kept is None:
        show(f"The data are of PostgreSQL {done.new}, the newest there is. Nothing was to be done.")
        return
    show(
        f"The data of PostgreSQL {done.old} are of PostgreSQL {done.new} now: {plural(sum(done.rows.values()), 'row')} "
        f"in {plural(len(done.rows), 'table')}, the same as before."
    )
    show(f"The old data are kept in {done.kept}. Delete that folder when you have seen that all is well: bl status")


def rename_store(
    old: Annotated[str, typer.Argument(metavar="OLD", help="The name under which the orders are stored.")],
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name they get: the one in BL_STORE from now on.")],
) -> None:
    """Give a store another name, with all its orders and history."""
    from bl_pipeline.settings import load_installation

    # As the setting has them: checked, and without blanks at the ends.
    settings, new = load_installation(bl_store=old), load_installation(bl_store=new).bl_store
    old = settings.bl_store
    from bl_pipeline.warehouse import stores
    from bl_pipeline.warehouse.database import open_warehouse, refuse_unmade

    refuse_unmade(settings)
    with open_warehouse(settings, for_writing=True) as warehouse, ExitStack() as stack:
        lock_stores(stack, warehouse.engine, {old, new})
        with warehouse.engine.begin() as connection:
            known = stores.stores_with_orders(connection)
            if old not in known:
                there = f"this warehouse has orders of: {', '.join(known)}." if known else "it is empty."
                raise Refused(f"There are no orders of a store {old}: {there} Nothing was changed.")
            if new == old:
                raise Refused(f"The store is called {old} already. Nothing was changed.")
            if new in known:
                raise Refused(
                    f"There are orders of a store {new} already, and two stores cannot become one. Nothing was "
                    f"changed.\nChoose one of the two with {'--store' if settings.bl_stores_file else 'BL_STORE'}."
                )
            orders = stores.rename_store(connection, old, new)
    of_one = f"Set BL_STORE={shlex.quote(new)}."
    advice = of_one if settings.bl_stores_file is None else f"Its part in BL_STORES_FILE is [{new}]."
    show(f"Store {old} is called {new} now, with {plural(orders, 'order')}. {advice}")


def lock_stores(stack: ExitStack, engine: Engine, names: Iterable[str]) -> None:
    """Keep any sync of these stores from running until the stack is closed. Raises LockTaken if one is running."""
    from bl_pipeline.sync.run_errors import LockTaken
    from bl_pipeline.warehouse.database import Warehouse
    from bl_pipeline.warehouse.lock import SyncLock

    for name in sorted(names):
        lock = SyncLock(Warehouse(engine, name))
        if not lock.try_acquire():
            raise LockTaken(
                f"A sync of store {name} is running, so nothing was changed. Wait until it has ended (bl status), "
                "then try again."
            )
        stack.callback(lock.release)
