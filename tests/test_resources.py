"""What is shipped beside the code is found, and the example store is unpacked whole."""

from __future__ import annotations

import shutil
import stat
import tempfile
from pathlib import Path
from typing import Any

import pytest

from smithers_nb.resources import example_store, resource


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache folder that does not exist yet."""
    folder = tmp_path / "not" / "there" / "yet"
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder / "smithers-nb"


def test_the_example_is_unpacked_once(cache: Path) -> None:
    """The example lies with its workflows in a folder of the user's cache, and is used again."""
    first = example_store()
    assert first.parent.parent == cache
    assert list((first.parent / "workflows").glob("*.tsx"))
    written = first.stat().st_mtime_ns
    assert (example_store(), first.stat().st_mtime_ns) == (first, written)
    assert list(cache.iterdir()) == [first.parent]


def test_who_comes_second_leaves_nothing(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When another process has unpacked the example in the meantime, its copy is used and ours goes."""
    copytree = shutil.copytree

    def and_another_one(source: Path, target: Path) -> Any:
        shutil.copytree, other = copytree, Path(copytree(source, target)).parent
        return copytree(other, cache / other.name)

    monkeypatch.setattr(shutil, "copytree", and_another_one)
    assert example_store().is_file()
    assert list(cache.iterdir()) == [example_store().parent]


def test_what_is_missing_is_named() -> None:
    """An incomplete installation says which file it lacks."""
    with pytest.raises(FileNotFoundError, match=r"templates/nothing\.txt .* reinstall smithers-nb"):
        resource("templates/nothing.txt")


@pytest.mark.parametrize("home", ["a file", "nowhere"])
def test_without_a_home_the_example_is_unpacked_once(home: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has no home to write to gets the same folder among temporary files each time, unless it is somebody else's."""
    (tmp_path / "a file").touch()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "a file" / "x") if home == "a file" else "not/absolute")
    first = example_store()
    assert example_store() == first
    assert first.is_relative_to(tmp_path)
    folder = first.parent.parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    folder.chmod(0o777)
    assert not example_store().is_relative_to(folder)
