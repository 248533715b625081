"""Printed commands are run where the CLI finds the store that was read."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from smithers_nb.diagnosis.engines.working_directory import commands_folder
from smithers_nb.sources.smithers.source import SmithersSource
from smithers_nb.sources.snapshot import Snapshot

Make = Callable[..., Any]


@pytest.fixture
def stored(snapshot: Make, run: Make) -> Make:
    """Make a snapshot that was read from a file, with the paths that its run recorded."""

    def make(location: Path, *more: Any, **values: Any) -> Snapshot:
        location.parent.mkdir(parents=True, exist_ok=True)
        location.touch()
        made: Snapshot = snapshot(run(**{name: str(value) for name, value in values.items()}), *more)
        made.source.location = str(location)
        return made

    return make


def test_the_folder_of_the_store_wins(stored: Make, tmp_path: Path) -> None:
    """A retry-task records the folder of the workflow, where there is neither store nor CLI."""
    flow = tmp_path / "p/workflows/w.tsx"
    for store in ("p/smithers.db", "p/.smithers/smithers.db"):
        found = commands_folder(stored(tmp_path / store, root=flow.parent, workflow_path=flow))
        assert str(found) == f"Run the commands in {tmp_path / 'p'}."


def test_a_store_from_elsewhere_names_where_it_came_from(stored: Make, tmp_path: Path) -> None:
    """Neither the copy's folder nor the machine it was copied to has the project."""
    away = stored(tmp_path / "copy/smithers.db", root="/nowhere/p", workflow_path="/nowhere/p/w/w.tsx")
    assert str(commands_folder(away)) == (
        f"Run the commands in /nowhere/p (the store in {tmp_path / 'copy'} was copied from there, on another machine)."
    )


def test_a_copy_beside_its_project_names_the_project(stored: Make, tmp_path: Path) -> None:
    """The project is on this machine with a store of its own, whatever a retry-task recorded."""
    flow = tmp_path / "p/workflows/w.tsx"
    flow.parent.mkdir(parents=True)
    (tmp_path / "p/smithers.db").touch()
    copy = commands_folder(stored(tmp_path / "copy/smithers.db", root=flow.parent, workflow_path=flow))
    assert copy == (str(tmp_path / "p"), f"the store in {tmp_path / 'copy'} was copied from there")


def test_a_store_apart_from_its_workflow_stays_where_it_is(stored: Make, tmp_path: Path) -> None:
    """The workflow is on this machine and no other store is: the CLI was started in the folder of this one."""
    flow = tmp_path / "flows/w.tsx"
    flow.parent.mkdir()
    flow.touch()
    found = commands_folder(stored(tmp_path / "runs/smithers.db", root=flow.parent, workflow_path=flow))
    assert found == (str(tmp_path / "runs"), "")


def test_a_backup_is_no_place_to_run_anything(stored: Make, tmp_path: Path) -> None:
    """The CLI looks for one file name only."""
    found = commands_folder(stored(tmp_path / "p/backup.db", root=tmp_path / "p", workflow_path=tmp_path / "p/w/w.tsx"))
    assert found == (str(tmp_path / "p"), "")


def test_nothing_recorded_names_nothing(snapshot: Make, run: Make) -> None:
    """A source that is no file, of a run that recorded no folder."""
    assert commands_folder(snapshot(run())) is None


def test_what_a_retry_task_recorded_is_seen_through(store: Make) -> None:
    """In a store that was retried the workflow's folder stands where the project's should; the repository is the better guess."""
    seen = Snapshot(SmithersSource(store("retry-task")), "871637af")
    found = commands_folder(seen)
    assert seen.run.root == "/srv/ws/audio-join/workflows"
    assert found is not None
    assert found.path == "/srv/ws/audio-join"
