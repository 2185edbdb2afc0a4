"""The asset checks: what must be true of the warehouse after every sync."""

from collections.abc import Iterator

import dagster as dg

from bl_pipeline.defs.check_results import SPECS, evaluate
from bl_pipeline.defs.resources import SyncSessionResource
from bl_pipeline.defs.step_errors import explained


@dg.multi_asset_check(
    name="check_sales",
    specs=SPECS,
    can_subset=True,
    description="Checks the warehouse after a sync, with no call to BrickLink.",
)
@explained
def sales_checks(context: dg.AssetCheckExecutionContext, sync: SyncSessionResource) -> Iterator[dg.AssetCheckResult]:
    """One result for each selected check."""
    yield from evaluate(sync.session, context.selected_asset_check_keys)
