"""What is read of a backup before anything is changed; the restores themselves are in terminal/test_backup.py."""

from __future__ import annotations

import json
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from bl_pipeline.records import ListedOrder
from bl_pipeline.warehouse import state
from bl_pipeline.warehouse.backup import BackupError, Manifest, Target, back_up, look_at_target, read_manifest
from bl_pipeline.warehouse.database import NothingStored, Warehouse, known_revisions

T = datetime(2026, 6, 15, 12, tzinfo=UTC)
MANIFEST: dict[str, Any] = {
    "made_at": "2026-06-15T12:00:00+00:00",
    "postgres": "18.1",
    "dumped_with": "18.1",
    "revision": known_revisions()[0],
    "contents": {
        "rows": {"sales.orders": 3},
        "orders": [["b", "EUR", "7.0000"], ["a", "EUR", "1.0000"], ["b", "USD", "2.0000"]],
    },
    "format": 1,
}


def backup(folder: Path, *, dump: bool = True, **values: Any) -> Path:
    """A file with this manifest; `...` leaves a value out."""
    content = {name: value for name, value in {**MANIFEST, **values}.items() if value is not ...}
    with zipfile.ZipFile(folder / "backup", "w") as archive:
        archive.writestr("manifest.json", json.dumps(content))
        if dump:
            archive.writestr("warehouse.dump", b"")
    return folder / "backup"


def why_not(file: Path) -> str:
    with pytest.raises(BackupError) as caught:
        read_manifest(file)
    assert "Nothing was changed" in str(caught.value)
    return str(caught.value)


def test_a_manifest_says_what_is_in_the_backup(tmp_path: Path) -> None:
    manifest = read_manifest(backup(tmp_path))
    assert manifest == Manifest(**MANIFEST)
    assert manifest.rows == {"sales.orders": 3}
    assert manifest.stores == ["a", "b"]
    assert manifest.orders == [("b", "EUR", "7.0000"), ("a", "EUR", "1.0000"), ("b", "USD", "2.0000")]


def test_what_is_no_backup(tmp_path: Path) -> None:
    """Planted: each of the looks at the file left out."""
    assert "cannot be read: No such file or directory" in why_not(tmp_path / "none")
    assert "is no file" in why_not(tmp_path)
    damaged = "is no complete backup of bl_pipeline"
    (tmp_path / "text").write_text("x")
    assert damaged in why_not(tmp_path / "text")
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("something", "else")
    assert damaged in why_not(tmp_path / "other.zip")
    assert damaged in why_not(backup(tmp_path, dump=False))
    assert damaged in why_not(backup(tmp_path, made_at=...))
    assert damaged in why_not(backup(tmp_path, something="new"))
    assert "was made by a newer bl_pipeline. " in why_not(backup(tmp_path, format=2))
    assert "was made by a newer bl_pipeline (revision 9999)" in why_not(backup(tmp_path, revision="9999"))


def test_nothing_is_written_over_and_nothing_is_no_backup(
    database_url: str, empty_database_url: str, tmp_path: Path
) -> None:
    file, link = tmp_path / "backup", tmp_path / "link"
    with pytest.raises(NothingStored):
        back_up(make_url(empty_database_url), file, binaries=None)
    with pytest.raises(BackupError, match=r"No file can be made in .*: No such file or directory\. No backup"):
        back_up(make_url(database_url), tmp_path / "none" / "backup", binaries=None)
    assert list(tmp_path.iterdir()) == []
    file.write_text("mine")
    link.symlink_to(tmp_path / "nowhere")
    for there in (file, link):
        with pytest.raises(BackupError, match="is there already, and is left as it is"):
            back_up(make_url(database_url), there, binaries=None)
    assert file.read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_programs_of_postgres_that_are_not_there(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(BackupError) as caught:
        back_up(make_url(database_url), tmp_path / "backup", binaries=tmp_path)
    assert "there is only none. Nothing was changed." in str(caught.value)
    assert "or unset BL_POSTGRES_BIN to use those that come with bl_pipeline." in str(caught.value)
    assert not (tmp_path / "backup").exists()


def test_a_backup_has_its_counts_and_its_dump(database_url: str, warehouse: Warehouse, tmp_path: Path) -> None:
    with warehouse.engine.begin() as connection:
        state.save_listed(connection, warehouse, [ListedOrder("1", T, "PAID", T, False, "f")], T)
    manifest = back_up(make_url(database_url), tmp_path / "backup", binaries=None)
    assert read_manifest(tmp_path / "backup") == manifest
    assert (manifest.revision, manifest.format, manifest.stores) == (known_revisions()[-1], 1, [])
    assert (manifest.rows["sync.order_state"], manifest.rows["sales.orders"]) == (1, 0)
    with zipfile.ZipFile(tmp_path / "backup") as archive:
        assert archive.read("warehouse.dump").startswith(b"PGDMP")


def test_what_a_restore_would_replace(database_url: str, empty_database_url: str, warehouse: Warehouse) -> None:
    """Planted: only one table looked at; a view of the user's own not named."""
    assert look_at_target(make_url(empty_database_url)) == Target([], False, [])
    assert look_at_target(make_url(database_url)) == Target([], False, [])
    with warehouse.engine.begin() as connection:
        for store in ("main", "other"):
            listed = [ListedOrder("1", T, "PAID", T, False, "f")]
            state.save_listed(connection, Warehouse(warehouse.engine, store), listed, T)
        connection.execute(text("CREATE VIEW public.mine AS SELECT total FROM sales.orders"))
        connection.execute(text("CREATE TABLE sales.mine (a int)"))
    found = look_at_target(make_url(database_url))
    assert (sorted(found.stores), found.has_data, found.dependents) == (
        ["main", "other"],
        True,
        ["public.mine", "sales.mine"],
    )
