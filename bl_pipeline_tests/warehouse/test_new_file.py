"""A file has its name only when it is complete; what was never completed is removed, but not under a living process."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from bl_pipeline.warehouse.new_file import new_file, remove_unfinished, replaced_file


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
    none = tmp_path / "none" / "backup"
    with pytest.raises(OSError, match="No such file") as failed, new_file(none, lambda: None):
        pass
    # Caught: it named the incomplete file, of which the user knows nothing.
    assert failed.value.filename == str(none)
    with pytest.raises(PermissionError) as refused, new_file(tmp_path / "backup", lambda: None) as into:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), into.name)
    # Caught: the account of a file that is there was named, and not that of the folder.
    assert refused.value.filename == str(tmp_path)


def test_an_older_file_is_replaced_once_the_new_one_is_complete(tmp_path: Path) -> None:
    """Caught: a full disk left a cut file under its name, and the older one was gone. Planted: written in place."""
    older, link = tmp_path / "rows.csv", tmp_path / "link.csv"
    older.write_bytes(b"older")
    older.chmod(0o640)
    link.symlink_to(older)
    with pytest.raises(OSError, match="No space left") as failed, replaced_file(link) as into:
        into.write(b"x" * 100_000)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert (failed.value.filename, older.read_bytes()) == (str(link), b"older")
    with replaced_file(link) as into:
        into.write(b"newer")
        assert older.read_bytes() == b"older"
    assert (link.is_symlink(), older.read_bytes(), older.stat().st_mode & 0o777) == (True, b"newer", 0o640)
    assert sorted(tmp_path.iterdir()) == [link, older]


def test_a_file_that_was_not_there_can_be_read_as_the_umask_says(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        with replaced_file(tmp_path / "rows.csv") as into:
            into.write(b"x")
        assert os.umask(0o027) == 0o027, "planted: left as it was looked at"
    finally:
        os.umask(before)
    assert (tmp_path / "rows.csv").stat().st_mode & 0o777 == 0o640


def test_a_pipe_gets_it_as_it_is_written(tmp_path: Path) -> None:
    """Such as that of `--csv >(command)`. Planted: a file in its place."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # So neither end waits for the other.
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb") as read:  # noqa: PTH123
        with replaced_file(pipe) as into:
            into.write(b"rows")
        assert read.read() == b"rows"
    assert pipe.is_fifo()


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
