"""What the definitions of one store have in common: the keys of its assets, its resource, its settings."""

from typing import TYPE_CHECKING

import dagster as dg

from bl_pipeline.dagster_names import Names
from bl_pipeline.settings import Settings, load_settings

if TYPE_CHECKING:
    from bl_pipeline.sync.session import SyncSession


def asset_key(names: Names, name: str) -> dg.AssetKey:
    """The key of an asset of the store's sync."""
    return dg.AssetKey(names.asset(name))


def session_of(
    context: dg.OpExecutionContext | dg.AssetExecutionContext | dg.AssetCheckExecutionContext, names: Names
) -> "SyncSession":
    """The session of the store's resource, which the op requires under the name that the store gives it."""
    session: SyncSession = getattr(context.resources, names.resource).session
    return session


def settings_of(names: Names) -> Settings:
    """The settings of the store. Raises SettingsError."""
    return load_settings(bl_store=names.store) if names.store else load_settings()


def job_of(op: dg.OpDefinition, *, name: str, step: str, description: str) -> dg.JobDefinition:
    """A job of one step; the step has the same name with each store."""

    @dg.job(name=name, description=description)
    def job() -> None:
        op.alias(step)()

    return job
