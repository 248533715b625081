"""Artifacts lie inside their folder, whole or not at all."""

from __future__ import annotations

import os
import re
import stat
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
