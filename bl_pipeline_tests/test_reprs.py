"""What a repr does not show: errors and logs may have one in them."""

from __future__ import annotations

import dataclasses
import importlib
import pkgutil
from collections.abc import Iterator

import bl_pipeline

HIDDEN = {
    # Content of answers, and signatures.
    "bricklink.client.Answer": {"raw", "reader"},
    "bricklink.transport.Request": {"headers", "body"},
    "bricklink.transport.Response": {"body"},
    # Texts of the seller's.
    "rules.writes.WriteRequest": {"asked", "values"},
    "sync.asking.WriteOrder": {"values"},
    "warehouse.writes.Write": {"asked", "before", "after"},
    # Of no interest.
    "bricklink.retry.RetryPolicy": {"jitter"},
}
ROOMS = ("rules", "bricklink", "sync", "warehouse")


def dataclasses_of(room: str) -> Iterator[type]:
    package = importlib.import_module(f"{bl_pipeline.__name__}.{room}")
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if ".migrations" not in found.name:
            module = importlib.import_module(found.name)
            yield from (
                each
                for each in vars(module).values()
                if isinstance(each, type) and each.__module__ == found.name and dataclasses.is_dataclass(each)
            )


def test_personal_data_and_secrets_are_in_no_repr() -> None:
    """Planted: the bytes of an answer shown. A field that is hidden is named here."""
    hidden = {
        f"{each.__module__.partition('.')[2]}.{each.__name__}": {
            field.name for field in dataclasses.fields(each) if not field.repr
        }
        for room in ROOMS
        for each in dataclasses_of(room)
    }
    assert {name: fields for name, fields in hidden.items() if fields} == HIDDEN
    assert len(hidden) > 40
