"""A run directory is listed and read without leaving it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from smithers_nb.errors import SourceNotFound
from smithers_nb.sources.rundir.directory import RunDirectory


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "inputs").mkdir(parents=True)
    (folder / "inputs" / "spec.json").write_text("{}")
    (tmp_path / "secret").write_text("outside")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "spec.json").write_text("outside")
    return folder


def test_links_are_listed_and_never_followed(run: Path) -> None:
    """A link to a file or folder outside is an entry with its target; nothing behind it can be read."""
    (run / "leak").symlink_to(run.parent / "secret")
    (run / "folder").symlink_to(run.parent / "elsewhere")
    directory = RunDirectory(run)
    kinds = {entry.path: entry.kind for entry in directory.entries}
    assert kinds == {"folder": "link", "inputs": "directory", "inputs/spec.json": "file", "leak": "link"}
    for path in ("leak", "folder/spec.json", "../secret", "inputs/../../secret", str(run.parent / "secret")):
        assert directory.read(path) is None
        assert directory.sha256(path) is None
    assert directory.entry("folder/spec.json") is None


def test_a_pipe_does_not_block(run: Path) -> None:
    """A named pipe is listed and reading it gives nothing instead of waiting for a writer."""
    os.mkfifo(run / "pipe")
    directory = RunDirectory(run)
    assert {entry.path: entry.kind for entry in directory.entries}["pipe"] == "other"
    assert directory.read("pipe") is None


def test_hostile_names_are_kept(run: Path) -> None:
    """Newlines, leading dashes and bytes that are not UTF-8 in a name change nothing."""
    for name in (b"-rf", b"two\nlines", b"\xff\xfe"):
        Path(os.fsdecode(os.fsencode(run) + b"/" + name)).write_bytes(b"x")
    directory = RunDirectory(run)
    assert {"-rf", "two\nlines", "\udcff\udcfe"} <= {entry.path for entry in directory.entries}
    assert directory.read("\udcff\udcfe") == b"x"


def test_a_missing_directory_is_refused(tmp_path: Path) -> None:
    """A directory that is not there, or a file, is not a run."""
    (tmp_path / "file").write_text("")
    for name in ("nothing", "file"):
        with pytest.raises(SourceNotFound):
            RunDirectory(tmp_path / name)
