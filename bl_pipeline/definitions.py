"""The Dagster code location `bl_pipeline`."""

from __future__ import annotations

import dagster as dg

from bl_pipeline.defs import checks, jobs, report_assets, retention, sensors, write_jobs
from bl_pipeline.defs.resources import SyncSessionResource

defs = dg.Definitions(
    assets=[jobs.sales, *report_assets.report_assets()],
    asset_checks=[checks.sales_checks],
    jobs=[
        jobs.sync_orders,
        jobs.full_sync,
        jobs.refresh_order,
        jobs.retry_failed_orders,
        jobs.rebuild,
        jobs.cancel_full_sync,
        write_jobs.update_order,
        write_jobs.send_drive_thru,
        retention.delete_old_runs,
    ],
    schedules=[jobs.sync_orders_schedule, retention.delete_old_runs_schedule],
    sensors=[sensors.run_failed, sensors.sync_incomplete, sensors.runs_cut_short, sensors.automation],
    resources={"sync": SyncSessionResource()},
    # The fan-out's threads are inside its ops: a process for each step would only add a second to it.
    executor=dg.in_process_executor,
)
