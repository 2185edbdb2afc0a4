"""The Dagster code location `bl_pipeline`: the definitions for the stores of the settings."""

from __future__ import annotations

from bl_pipeline.defs.executors import executor_of
from bl_pipeline.defs.installation import of_stores
from bl_pipeline.settings import load_stores

# Many processes load it: from the settings alone, without the warehouse. If they are wrong, their message is shown.
_stores = load_stores()
# The executor is a setting of the installation, and so the same with each store.
defs = of_stores([settings.store for settings in _stores], executor_of(_stores[0]))
