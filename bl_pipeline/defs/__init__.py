"""What Dagster is given: assets, ops, jobs, schedules, sensors, checks and resources, each a thin layer on `sync/`."""
