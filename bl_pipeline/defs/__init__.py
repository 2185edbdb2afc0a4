"""The definitions for Dagster: assets, ops, jobs, schedules, sensors, checks, resources; thin layers on `sync/`."""
