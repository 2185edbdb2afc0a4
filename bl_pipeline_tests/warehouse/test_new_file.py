"""A file has its name only when it is complete; what was never completed is removed, but not under a living process."""

from __future__ import annotations

from pathlib import Path

import pytest

from bl_pipeline.warehouse.new_file import new_file, remove_unfinished


def unfinished(folder: Path) -> list[Path]:
    return sorted(folder.glob(".bl-pipeline-*.part"))


def test_it_gets_its_name_at_the_end(tmp_path: Path) -> None:
    """Planted: the name before the check, or before all is written; a file that everybody may read."""
    file, content = tmp_path / "backup", b"x" * 100_000
    seen: list[tuple[bool, int]] = []

    def check() -> None:
        (part,) = unfinished(tmp_path)
        seen.append((file.exists(), part.stat().st_size))

    with new_file(file, check) as into:
        into.write(content)
        assert not file.exists()
        assert remove_unfinished(tmp_path) == [], "it is being written"
    assert seen == [(False, len(content))]
    assert file.read_bytes() == content
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]


def test_what_fails_leaves_no_file(tmp_path: Path) -> None:
    def check() -> None:
        raise FileExistsError

    with pytest.raises(FileExistsError), new_file(tmp_path / "backup", check) as into:
        into.write(b"x")
    with pytest.raises(ValueError, match="why"), new_file(tmp_path / "backup", lambda: None) as into:
        raise ValueError("why")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(OSError, match="No such file"), new_file(tmp_path / "none" / "backup", lambda: None):
        pass


def test_what_a_killed_process_has_left_is_removed(tmp_path: Path) -> None:
    left = [tmp_path / f".bl-pipeline-{name}.part" for name in ("a", "b")]
    others = [tmp_path / "backup", tmp_path / ".bl-pipeline-c", tmp_path / "d.part"]
    for file in [*left, *others]:
        file.write_bytes(b"x")
    link = tmp_path / ".bl-pipeline-e.part"
    link.symlink_to(others[0])
    assert remove_unfinished(tmp_path) == left
    assert sorted(tmp_path.iterdir()) == sorted([*others, link])
    assert remove_unfinished(tmp_path) == []
