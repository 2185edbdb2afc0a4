"""The store of settings in which nothing is set."""

from bl_pipeline.settings import Settings

MAIN = Settings().store
