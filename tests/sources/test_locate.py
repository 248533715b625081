"""Finding the store a person means."""

from __future__ import annotations

import json
import os
import re
import shutil

import pytest

from smithers_nb.errors import SourceMoved, SourceNotFound, SourceUnreadable, SourceVanished
from smithers_nb.model.rows import RunRow
from smithers_nb.sources.locate import open_source


@pytest.fixture
def project(store):
    """Make a project folder with a store, a `.smithers/` and a deep sub-folder."""
    root = store("invoice-rollup").parent
    (root / ".smithers" / "workflows").mkdir(parents=True)
    (root / "src" / "deep").mkdir(parents=True)
    return root


def marker(root, backend, **target):
    (root / ".smithers" / "backend.json").write_text(json.dumps({"backend": backend, "target": {"backend": backend, **target}}))


@pytest.mark.parametrize("inside", [".", "src/deep", ".smithers", ".smithers/workflows"])
def test_folder_is_searched_upward(project, inside):
    """Any folder of a project leads to its store, also outside the home folder."""
    source = open_source(project / inside)
    assert source.location == str(project / "smithers.db")
    assert len(source.rows(RunRow)) == 1


def test_none_is_the_current_folder(project, monkeypatch):
    """Without a place the search starts where one stands."""
    monkeypatch.chdir(project / "src" / "deep")
    assert open_source().location == str(project / "smithers.db")


@pytest.mark.parametrize("where", ["", "  ", "x" * 5_000, "~nobody-of-this-name/x", "sqlite:///" + "x" * 5_000, "\x00", "a\nb"])
def test_no_place_at_all(tmp_path, monkeypatch, where):
    """Text that can be no place is answered as one where nothing is; an empty one is never the current folder."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceNotFound):
        open_source(where)


def test_current_folder_that_was_deleted(tmp_path, monkeypatch):
    """Standing in a folder that is gone is a place where nothing is."""
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(SourceNotFound):
        open_source()


def test_pipe(tmp_path):
    """A pipe is refused instead of waited for."""
    os.mkfifo(tmp_path / "smithers.db")
    with pytest.raises(SourceUnreadable, match="pipe"):
        open_source(tmp_path / "smithers.db")


def test_store_without_an_anchor(store):
    """A folder that has only a smithers.db is enough."""
    path = store("invoice-rollup")
    (path.parent / "sub").mkdir()
    assert open_source(path.parent / "sub").location == str(path)


def test_nested_anchor_is_passed_over(project):
    """A `.smithers` inside another `.smithers` is not a project."""
    (project / ".smithers" / "workflows" / ".smithers").mkdir()
    shutil.copy(project / "smithers.db", project / ".smithers" / "workflows" / "smithers.db")
    assert open_source(project / ".smithers" / "workflows").location == str(project / "smithers.db")


def test_project_without_a_store(tmp_path):
    """A project in which nothing ran says what was searched, in one line, and stops at the project's own root."""
    (tmp_path / "inner" / ".smithers").mkdir(parents=True)
    with pytest.raises(SourceNotFound) as caught:
        open_source(tmp_path / "inner")
    places = ("smithers.db", ".smithers/smithers.db", ".smithers_nb/journal.db")
    assert caught.value.searched == tuple(str(tmp_path / "inner" / place) for place in places)
    assert "\n" not in str(caught.value)
    assert caught.value.exit_code == 4


def test_missing_path(tmp_path):
    """A path that is not there is named."""
    with pytest.raises(SourceNotFound, match=re.escape("nowhere.db")):
        open_source(tmp_path / "nowhere.db")


@pytest.mark.parametrize("form", ["sqlite:///{}", "file:{}", "file://{}", "{}"])
def test_urls(store, form):
    """A store is opened by path and by both URL forms, blanks and percent signs included."""
    path = store("invoice-rollup")
    odd = path.parent / "a b%41.db"
    path.rename(odd)
    text = form.format(str(odd) if form == "{}" else str(odd).replace("%", "%25").replace(" ", "%20"))
    assert len(open_source(text).rows(RunRow)) == 1


@pytest.mark.parametrize("url", ["mysql://me:hunter2@db.example/runs", "rundir:/var/runs"])
def test_unknown_scheme(url):
    """A scheme of a later version gives one line that names what this one opens, without the password."""
    with pytest.raises(SourceNotFound) as caught:
        open_source(url)
    text = f"{caught.value} {caught.value.hint}"
    assert url.partition(":")[0] in text
    assert "sqlite:" in text
    assert "hunter2" not in text


@pytest.mark.parametrize(
    ("backend", "target", "where"), [("pglite", {"dataDir": "/data/pg"}, "/data/pg"), ("postgres", {}, "SMITHERS_POSTGRES_URL")]
)
def test_migrated_project(project, backend, target, where):
    """A project whose history was migrated away says where it is; its old file is not taken for the truth."""
    marker(project, backend, **target)
    with pytest.raises(SourceMoved) as caught:
        open_source(project / "src")
    assert caught.value.backend == backend
    assert where in caught.value.where


def test_receipt_of_a_migration(project):
    """The receipt alone tells of a migration; a marker that names SQLite overrules it, as it does for the engine."""
    (project / ".smithers" / "migrated.json").write_text('{"target": {"backend": "pglite", "dataDir": "/data/pg"}}')
    with pytest.raises(SourceMoved):
        open_source(project)
    marker(project, "sqlite")
    assert open_source(project).problems == []


def test_migrated_file_by_name(project):
    """The old file of a migrated project is opened when it is named itself, with a problem that tells of newer history."""
    marker(project, "pglite")
    source = open_source(project / "smithers.db")
    assert len(source.rows(RunRow)) == 1
    assert "pglite" in source.problems[0].what


@pytest.mark.parametrize("content", ["{", "[]", '{"backend": "sqlite"}', '{"backend": 7}', "\xff"])
def test_odd_marker_is_no_migration(project, content):
    """A broken marker, or one that names SQLite, changes nothing."""
    (project / ".smithers" / "backend.json").write_text(content, encoding="latin-1")
    assert open_source(project).problems == []


def test_other_sqlite_file(tmp_path):
    """An SQLite file of another program is refused by what it is."""
    import sqlite3

    connection = sqlite3.connect(tmp_path / "other.db")
    connection.execute("CREATE TABLE bookmarks (url TEXT)")
    connection.close()
    with pytest.raises(SourceUnreadable, match="not a Smithers store"):
        open_source(tmp_path / "other.db")


def test_store_that_vanishes(store):
    """A store that is deleted after it was opened is `SourceVanished` at the next read."""
    path = store("invoice-rollup")
    source = open_source(path)
    path.unlink()
    with pytest.raises(SourceVanished):
        source.rows(RunRow)
