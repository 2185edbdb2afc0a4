"""The asset checks: what must be true of the warehouse after every sync."""

from collections.abc import Iterator

import dagster as dg

from bl_pipeline.dagster_names import Names
from bl_pipeline.defs.check_results import check_specs, evaluate
from bl_pipeline.defs.of_a_store import session_of
from bl_pipeline.defs.step_errors import explained


def sales_checks(names: Names) -> dg.AssetChecksDefinition:
    """The checks of the store's assets, as one op."""

    @dg.multi_asset_check(
        name=names.of("check_sales"),
        specs=check_specs(names),
        can_subset=True,
        required_resource_keys={names.resource},
        description="Checks the warehouse after a sync, with no call to BrickLink.",
    )
    @explained
    def check_sales(context: dg.AssetCheckExecutionContext) -> Iterator[dg.AssetCheckResult]:
        yield from evaluate(session_of(context, names), context.selected_asset_check_keys)

    return check_sales
