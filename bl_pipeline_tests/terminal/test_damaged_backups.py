"""`bl restore` of what is no whole backup, or none of this release: nothing is changed."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bl_pipeline_tests.terminal.conftest import Bl, expect
from bl_pipeline_tests.terminal.test_backup import everything

pytestmark = pytest.mark.slow


def cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def flipped(content: bytes) -> bytes:
    middle = len(content) // 3
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


def plain_dump(_content: bytes) -> bytes:
    return b"PGDMP, as pg_dump writes it"


def repacked(content: bytes, part: str, change: Callable[[bytes], bytes]) -> bytes:
    """The backup with this part of it changed."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(packed, "w") as another:
        for name in archive.namelist():
            another.writestr(name, change(archive.read(name)) if name == part else archive.read(name))
    return packed.getvalue()


def cut_before_it_was_packed(content: bytes) -> bytes:
    return repacked(content, "warehouse.dump", cut)


@pytest.mark.parametrize(
    "damage", [cut, flipped, plain_dump, cut_before_it_was_packed], ids=lambda damage: damage.__name__
)
def test_a_damaged_backup_changes_nothing(
    damage: Callable[[bytes], bytes], synced_bl: Bl, database_url: str, file: Path
) -> None:
    """Planted: the checksum of the file not looked at; a commit before the end of the dump; pg_restore not asked."""
    expect(synced_bl("backup", str(file)), 0)
    file.write_bytes(damage(file.read_bytes()))
    before = everything(database_url)
    message = " ".join(expect(synced_bl("restore", "--replace", str(file)), 1).stderr.split())
    assert "is damaged" in message
    assert everything(database_url) == before


def test_what_is_no_file_is_not_read(bl: Bl) -> None:
    """Caught: a device that never ends was read for ever."""
    assert "Error: /dev/null is no file. Nothing was changed." in expect(bl("restore", "/dev/null"), 1).stderr


def rewritten(file: Path, old: bytes, new: bytes) -> None:
    """Replace a piece of the manifest."""

    def change(manifest: bytes) -> bytes:
        assert old in manifest
        return manifest.replace(old, new)

    file.write_bytes(repacked(file.read_bytes(), "manifest.json", change))


def test_what_does_not_have_the_counts_of_the_backup_is_not_kept(
    synced_bl: Bl, database_url: str, file: Path, other_url: str
) -> None:
    """Planted: no check; a check after the commit."""
    expect(synced_bl("backup", str(file)), 0)
    rewritten(file, b'"sales.orders": 12', b'"sales.orders": 13')
    before = everything(database_url)
    for url in (database_url, other_url):
        message = expect(synced_bl("restore", "--replace", str(file), BL_DATABASE_URL=url), 1).stderr
        assert "counts or sums differ" in " ".join(message.split())
    assert everything(database_url) == before
    assert everything(other_url) == {}


def test_a_backup_of_a_newer_release_is_refused(synced_bl: Bl, database_url: str, file: Path) -> None:
    expect(synced_bl("backup", str(file)), 0)
    rewritten(file, b'"revision": "', b'"revision": "9')
    before = everything(database_url)
    assert "newer bl_pipeline" in " ".join(expect(synced_bl("restore", "--replace", str(file)), 1).stderr.split())
    assert everything(database_url) == before
