"""An incident that is killed at any point goes on, and what it has written is whole."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support import incident_kills, orchestrator

if TYPE_CHECKING:
    from tests.support.attacks import Tally

CURRICULUM = "outputs/curriculum/curriculum.json"


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["metadata", "stale"])
def test_a_killed_incident_goes_on(fault: str, tmp_path: Path, amount: Callable[[int, int], int], tally: Callable[[str], Tally]) -> None:
    """Killed between any two steps of triage, recovery and bundle: the copy is the run as it was, the log has no gap, and it recovers."""
    program = shlex.join([sys.executable, "-S", orchestrator.__file__])
    env = {**os.environ, "ORCHESTRATION_BASE_DIR": str(tmp_path / "runs"), "AGENT_PROVIDER": "internal"}

    def do(*words: str) -> None:
        subprocess.run([*shlex.split(program), *words], env=env, check=True, capture_output=True)

    do("init", "case")
    run = next((tmp_path / "runs").iterdir())
    (run / "inputs/topic_spec.json").write_text(json.dumps(orchestrator.SPEC))
    if fault == "stale":
        do("run", run.name)
        (run / CURRICULUM).write_text(json.dumps({"nodes": [{"id": "N2", "prerequisites": []}]}))
    else:
        (run / "run.json").write_text(json.dumps({"run_id": run.name}))
    command = [sys.executable, incident_kills.__file__, str(tmp_path), program, str(amount(3, 500))]
    folder = Path(incident_kills.__file__).parents[2]
    done = subprocess.run(command, env=env, cwd=folder, check=True, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    counts = tally(f"incident kills, {fault}")
    counts.tried = len(rows)
    counts.lost = sum(bool(row["wrong"] or not row["killed"] or row["outcome"] != "recovered") for row in rows)
    assert [row for row in rows if row["wrong"] or not row["killed"] or row["outcome"] != "recovered"] == []
    assert len(rows) >= 3
