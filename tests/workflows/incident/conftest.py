"""Run directories of the corpus, with the modification times they had, and small ones made here."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest


class Case(NamedTuple):
    """A labelled run in a private copy."""

    run: Path
    commands: Path
    label: dict[str, Any]


@pytest.fixture
def case(corpus: Path, tmp_path: Path) -> Callable[[str], Case]:
    """Give a private copy of a run directory of the corpus by its name."""

    def copy(name: str) -> Case:
        label = json.loads((corpus / "rundirs" / name / "label.json").read_text())
        home = tmp_path / "runs"
        run = home / label["run_id"]
        if not run.exists():
            shutil.copytree(corpus / "rundirs" / name / "run", run)
            for path in (home, *home.rglob("*")):
                path.chmod(0o755 if path.is_dir() else 0o644)
            restore(run, label)
            shutil.copy(corpus / "rundirs" / name / "commands.jsonl", tmp_path / f"{name}.jsonl")
        return Case(run, tmp_path / f"{name}.jsonl", label)

    return copy


def restore(run: Path, label: dict[str, Any]) -> None:
    """Set the modification times that were recorded."""
    for name, stamp in label["mtimes_ns"].items():
        if (run / name).exists():
            os.utime(run / name, ns=(stamp, stamp))
