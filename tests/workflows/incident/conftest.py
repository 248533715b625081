"""Run directories of the corpus, with the modification times they had, and small ones made here."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest

from smithers_nb.cli import main
from tests.support import orchestrator as orchestrator_program


class Case(NamedTuple):
    """A labelled run in a private copy."""

    run: Path
    commands: Path
    label: dict[str, Any]


@pytest.fixture
def case(corpus: Path, tmp_path: Path) -> Callable[[str], Case]:
    """Return a private copy of a run directory of the corpus by its name."""

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


class Orchestrator(NamedTuple):
    """A real orchestrator with one run."""

    run: Path
    program: str

    def do(self, verb: str, *rest: str, **env: str) -> int:
        """Run one of its commands on the run."""
        words = [*shlex.split(self.program), verb, self.run.name, *rest]
        whole = {**os.environ, "ORCHESTRATION_BASE_DIR": str(self.run.parent), "AGENT_PROVIDER": "internal", **env}
        return subprocess.run(words, env=whole, capture_output=True, check=False).returncode

    def write(self, name: str, value: Any) -> Path:
        """Write a JSON file of the run."""
        file = self.run / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(value))
        return file

    def read(self, name: str) -> Any:
        """Read a JSON file of the run."""
        return json.loads((self.run / name).read_text())


@pytest.fixture
def orchestrator(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Orchestrator:
    """Start a run of the small orchestrator whose spec is filled in."""
    monkeypatch.setenv("AGENT_PROVIDER", "internal")
    monkeypatch.chdir(tmp_path)
    program = shlex.join([sys.executable, "-S", orchestrator_program.__file__])
    subprocess.run(
        [*shlex.split(program), "init", "case"], env={**os.environ, "ORCHESTRATION_BASE_DIR": str(tmp_path / "runs")}, check=True
    )
    made = Orchestrator(next((tmp_path / "runs").iterdir()), program)
    made.write("inputs/topic_spec.json", orchestrator_program.SPEC)
    return made


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run a command in this process: its exit code, and its output as JSON."""

    def run(*args: object) -> Any:
        capsys.readouterr()
        code = main([str(arg) for arg in args])
        out = capsys.readouterr().out
        return SimpleNamespace(code=code, out=out, json=json.loads(out) if out.startswith("{") else None)

    return run
