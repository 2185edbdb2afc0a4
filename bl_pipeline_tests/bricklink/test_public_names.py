from __future__ import annotations

import bl_pipeline.bricklink as package
from bl_pipeline.bricklink import errors


def test_everything_public_exists_and_is_listed_in_order() -> None:
    names = package.__all__
    assert [name for name in names if not hasattr(package, name)] == []
    constants, classes, functions = (
        [name for name in names if name.isupper()],
        [name for name in names if name[0].isupper() and not name.isupper()],
        [name for name in names if name[0].islower()],
    )
    assert names == sorted(constants) + sorted(classes) + sorted(functions)


def test_what_others_build_on_is_public() -> None:
    assert {
        "DEFAULT_API_URL",
        "Answer",
        "BrickLinkClient",
        "CallLog",
        "Credentials",
        "Order",
        "OrderItem",
        "OrderSummary",
        "RetryPolicy",
        "UnreadableSummary",
        "read_items",
        "read_order",
        "read_summaries",
    } <= set(package.__all__)


def test_every_error_is_public_and_drawn_in_the_tree() -> None:
    tree = errors.__doc__ or ""
    for name, kind in vars(errors).items():
        if isinstance(kind, type) and issubclass(kind, errors.BrickLinkError):
            assert name in package.__all__
            assert f" {name} " in tree or f" {name}\n" in tree
