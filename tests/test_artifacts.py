"""Artifacts lie inside their folder, whole or not at all."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.artifacts import artifact_path, safe_name, write_whole


@given(st.text())
def test_any_id_is_a_file_in_the_folder(run_id):
    """Whatever an id contains, its artifact is one ordinary file name inside the artifacts folder."""
    path = artifact_path(Path("/artifacts"), "autopsy", run_id, ".html")
    assert path.parent == Path("/artifacts/autopsy")
    assert ".." not in path.name
    assert not path.name.startswith(".")
    assert len(path.name.encode()) < 200


@pytest.mark.parametrize(
    ("run_id", "name"),
    [
        ("order-sync-010", "order-sync-010"),
        ("../../etc/passwd", r"____etc_passwd-[0-9a-f]{8}"),
        ("..", r"_-[0-9a-f]{8}"),
        ("", r"_-[0-9a-f]{8}"),
        ("-rf", r"_rf-[0-9a-f]{8}"),
        (".ssh", r"_ssh-[0-9a-f]{8}"),
        ("a\x00b\n", r"a_b_-[0-9a-f]{8}"),
    ],
)
def test_names_are_readable(run_id, name):
    """Ordinary ids stay as they are; what could mislead a file system is replaced and marked."""
    assert re.fullmatch(name, safe_name(run_id))


@given(st.lists(st.text(alphabet="a_/.-"), unique=True))
def test_names_stay_apart(run_ids):
    """Two runs never write to the same file, however alike their ids look once they are harmless."""
    assert len({safe_name(run_id) for run_id in run_ids}) == len(run_ids)


def test_long_ids_stay_apart():
    """Two long ids that begin alike get different names."""
    assert safe_name("x" * 500) != safe_name("x" * 501)


def test_an_interrupted_write_leaves_nothing(tmp_path, monkeypatch):
    """When the new content cannot take its place, the old one stays and nothing else is there."""
    target = tmp_path / "report.html"
    write_whole(target, b"old")
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space left"):
        write_whole(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_is_replaced_not_followed(tmp_path):
    """A symbolic link at the place of an artifact is replaced; what it pointed at is untouched."""
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "out.html").symlink_to(precious)
    write_whole(tmp_path / "out.html", b"new")
    assert precious.read_text() == "mine"
    assert (tmp_path / "out.html").read_bytes() == b"new"


def test_a_private_file_is_for_its_owner_only(tmp_path):
    """What only its owner may read is so from the first byte on, whatever the mask; other files follow the mask."""
    before = os.umask(0)
    try:
        write_whole(tmp_path / "a" / "private", b"x", private=True)
        write_whole(tmp_path / "a" / "public", b"x")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / "a" / name).stat().st_mode) for name in ("private", "public")] == [0o600, 0o666]


KILLED = """
import os, pathlib, sys
from smithers_nb.artifacts import write_whole
os.fsync = lambda _: (print(flush=True), input())
write_whole(pathlib.Path(sys.argv[1]), b"new" * 9)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="files without a name are Linux's")
def test_a_killed_writer_leaves_nothing(tmp_path):
    """A writer that is killed leaves no part of a new file at all, and beside an earlier one only what the next writer removes."""
    report = tmp_path / "report.html"
    for content in ([], [report]):
        writer = subprocess.Popen([sys.executable, "-c", KILLED, report], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        writer.stdout.readline()
        writer.kill()
        writer.communicate()
        left = list(tmp_path.iterdir())
        assert left == content or (content and len(left) == 2)
        write_whole(report, b"whole")
        assert list(tmp_path.iterdir()) == [report]


def test_without_unnamed_files_it_is_the_same(tmp_path, monkeypatch):
    """Where a file needs a name before it is whole, it is written all the same, and nothing stays beside it."""
    monkeypatch.setattr(os, "link", lambda *_, **__: (_ for _ in ()).throw(FileNotFoundError("/proc")))
    write_whole(tmp_path / "report.html", b"whole", private=True)
    assert [(path.name, path.read_bytes(), stat.S_IMODE(path.stat().st_mode)) for path in tmp_path.iterdir()] == [
        ("report.html", b"whole", 0o600)
    ]
