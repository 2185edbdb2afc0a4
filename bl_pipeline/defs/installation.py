"""All definitions of an installation: of each of its stores, and those that exist once."""

from collections.abc import Sequence

import dagster as dg

from bl_pipeline.dagster_names import names_of
from bl_pipeline.defs import checks, jobs, report_assets, retention, sensors, write_jobs
from bl_pipeline.defs.resources import SyncSessionResource
from bl_pipeline.settings import Store


def of_stores(stores: Sequence[Store], executor: dg.ExecutorDefinition) -> dg.Definitions:
    """The definitions of an installation with these stores, whose jobs have this executor."""
    names = [names_of(store) for store in stores]
    return dg.Definitions.merge(
        *map(of_store, stores),
        dg.Definitions(
            assets=report_assets.report_assets(names),
            jobs=[retention.delete_old_runs],
            schedules=[retention.delete_old_runs_schedule],
            sensors=[
                sensors.run_failed,
                sensors.sync_incomplete,
                sensors.runs_cut_short,
                report_assets.reports_sensor(names),
            ],
            executor=executor,
        ),
    )


def of_store(store: Store) -> dg.Definitions:
    """What each store has of its own. Of several stores, each has names with its key."""
    names = names_of(store)
    sales = jobs.sales_assets(names)
    sync_orders = jobs.sync_orders(names, sales)
    return dg.Definitions(
        assets=[sales],
        asset_checks=[checks.sales_checks(names)],
        jobs=[sync_orders, *jobs.other_jobs(names), *write_jobs.write_jobs(names)],
        schedules=[jobs.sync_schedule(store, sync_orders)],
        resources={names.resource: SyncSessionResource(store=names.store)},
    )
