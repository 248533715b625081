"""A runbook is tried, not believed."""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from smithers_nb.cli.investigate.incident import linted_page
from smithers_nb.errors import ParameterError
from smithers_nb.workflows.incident.lint.check import lint
from smithers_nb.workflows.incident.profile import load_profile

if TYPE_CHECKING:
    from smithers_nb.workflows.incident.lint.results import Linted
    from tests.workflows.incident.conftest import Orchestrator


def outcomes(found: Linted) -> dict[str, str]:
    return {row.id: row.outcome for row in found.steps}


def test_captured_commands_disprove_what_cannot_work(corpus: Path, cli: Callable[..., Any]) -> None:
    """What was found by hand is found again, each with the captured output; what no capture shows is not tried."""
    found = lint(load_profile("curriculum-builder"), corpus / "rundirs")
    assert found.drift
    rows = {row.id: row for row in found.steps}
    assert {row.id for row in found.steps if row.outcome == "fails"} == {"1.status", "B.report", "F.archive"}
    assert "Invalid run metadata" in rows["F.archive"].output
    assert "auto-sync" in rows["1.status"].output
    assert {rows[name].outcome for name in ("A.scope-file", "F.init", "F.run", "S.validate", "S.plan", "S.iterate")} == {"works"}
    assert rows["C.rerun"].outcome == "not tried here"
    assert found.proved_on.startswith("2026-11-20")
    assert cli("incident", "lint", "curriculum-builder", "--captures", corpus / "rundirs").code == 1


def test_without_captures_nothing_is_found(tmp_path: Path) -> None:
    """No finding without a run or a capture; a folder without captures is refused."""
    found = lint(load_profile("curriculum-builder"))
    assert not found.drift
    assert set(outcomes(found).values()) == {"not tried here"}
    with pytest.raises(ParameterError, match="no captures"):
        lint(load_profile("curriculum-builder"), tmp_path)


def test_steps_are_tried_in_a_copy(orchestrator: Orchestrator, tmp_path: Path) -> None:
    """With the orchestrator at hand a step is run on a copy: `archive` of a broken run fails, `init` works, the capture stays as it is."""
    orchestrator.write("run.json", {"run_id": "x"})
    capture = tmp_path / "captures" / "broken"
    capture.mkdir(parents=True)
    shutil.move(orchestrator.run, capture / "run")
    command = {
        "argv": ["x", "status", orchestrator.run.name],
        "exit": 2,
        "stderr": "[invalid_argument] Invalid run metadata in r; delete\n",
    }
    (capture / "commands.jsonl").write_text(json.dumps(command))
    before = sorted((path, path.stat().st_mtime_ns) for path in capture.rglob("*"))
    found = lint(load_profile("curriculum-builder"), tmp_path / "captures", program=orchestrator.program)
    rows = {row.id: row for row in found.steps}
    assert (rows["F.archive"].outcome, rows["F.init"].outcome) == ("fails", "works")
    assert rows["F.archive"].where == "sandbox of broken"
    assert rows["F.archive"].instead
    assert sorted((path, path.stat().st_mtime_ns) for path in capture.rglob("*")) == before


PROGRAM = """
import pathlib, sys, time
verb, run = sys.argv[1], pathlib.Path(sys.argv[2])
state = run.read_text() if run.exists() else ""
if verb == "start":
    run.write_text("held" if pathlib.Path("hold").exists() else "broken")
    if pathlib.Path("hold").exists():
        pathlib.Path("begun").touch()
        time.sleep(60)
        run.write_text("done")
elif verb == "show":
    print('{"state": "%s"}' % state)
elif verb == "mend" and (state == "held" or pathlib.Path("mended").exists()):
    run.write_text("done")
elif verb == "mend":
    sys.exit("nothing is mended")
"""
PROFILE = """
name = "small"
title = "Small"
capture = { "state.json" = "show" }
[program]
argv = ["small-orchestrator"]
env = ["SMALL"]
[verbs]
start = { args = ["start", "{run_id}"] }
show = { args = ["show", "{run_id}"] }
mend = { args = ["mend", "{run_id}"] }
[files]
state = { path = "state.json", json = true }
[signatures.broken]
title = "It broke"
[signatures.held]
title = "It was held up"
[[rules]]
id = "broken"
layer = "state"
file = "state"
where = { state = "^broken$" }
signature = "broken"
[[rules]]
id = "held"
layer = "state"
file = "state"
where = { state = "^held$" }
signature = "held"
[[flow.steps]]
verb = "show"
[[recovery.broken.steps]]
id = "mend"
do = "run"
verb = "mend"
title = "mend it"
[[recovery.held.steps]]
id = "mend"
do = "run"
verb = "mend"
title = "mend it"
[[trials]]
id = "broken"
state = "broken"
make = ["start"]
mended = { "mended" = "" }
[[trials]]
id = "killed"
state = "held"
make = ["start"]
kill_when = "begun"
files = { "hold" = "" }
"""
KILLED = PROFILE[PROFILE.index('[[trials]]\nid = "killed"') :]
AT_ONCE = ((KILLED, ""), ("[[trials]]", "[[trials]]\nwithin_s = 0.1"))
"""One trial, whose state is there at once or never."""


@pytest.fixture
def small(tmp_path: Path) -> Callable[..., Linted]:
    """Lint a small profile with a real program that keeps each run's state in a file; texts of the profile may be replaced."""
    (tmp_path / "small.py").write_text(PROGRAM)

    def linted(*replaced: tuple[str, str], program: str | None = shlex.join([sys.executable, "-S", str(tmp_path / "small.py")])) -> Linted:
        text = PROFILE
        for old, new in replaced:
            text = text.replace(old, new)
        (tmp_path / "small.toml").write_text(text)
        return lint(load_profile(tmp_path / "small.toml"), program=program)

    return linted


def test_runs_are_made_and_mended(small: Callable[..., Linted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In an empty folder a run is brought into each state, killed where the trial says so, and mended; nothing is left here."""
    monkeypatch.chdir(tmp_path)
    found = small()
    assert set(outcomes(found)) == {
        f"{trial}.{step}" for trial in ("broken", "killed") for step in ("recognised", "show", "mend", "mended")
    }
    assert set(outcomes(found).values()) == {"works"}
    assert found.proved_on
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.py", "small.toml"]


@pytest.mark.parametrize(
    ("old", "new", "step", "says"),
    [
        ('mended = { "mended" = "" }', "", "broken.mend", "nothing is mended"),
        ("^broken$", "^renamed$", "broken.recognised", ""),
        ('args = ["mend", "{run_id}"]', 'args = ["unknown", "{run_id}"]', "broken.mended", "It broke"),
        ('args = ["mend", "{run_id}"]', 'args = ["mend", "{nobody}"]', "broken.mended", "nobody"),
    ],
)
def test_drift_is_found_by_trying(small: Callable[..., Linted], old: str, new: str, step: str, says: str) -> None:
    """A step that does not work, a state that is not recognised any more and a step that mends nothing are drift."""
    found = small((old, new), *AT_ONCE)
    failed = {row.id: row.output for row in found.steps if row.outcome == "fails"}
    assert found.drift
    assert says in failed[step]


@pytest.mark.parametrize("needs", ["", 'needs = ["no-such-program"]'])
def test_what_is_not_installed_is_not_tried(small: Callable[..., Linted], needs: str) -> None:
    """Without the orchestrator, or a program that it needs, each step is named as not tried, and why."""
    found = small(('[[trials]]\nid = "broken"', f'[sandbox]\n{needs}\n[[trials]]\nid = "broken"'), program=None)
    assert set(outcomes(found).values()) == {"not tried here"}
    assert all("is not on PATH" in row.output for row in found.steps)
    assert not found.drift
    assert "unclear" in "\n".join(linted_page(found))


def test_a_trial_sees_no_variable_of_this_machine(small: Callable[..., Linted], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the profile lets through elsewhere does not reach a trial, so that it cannot touch anybody's runs."""
    monkeypatch.setenv("SMALL", "ours")
    (tmp_path / "small.py").write_text(f"import os\nassert 'SMALL' not in os.environ\n{PROGRAM}")
    assert not small(*AT_ONCE).drift
    assert small(("[program]", "[sandbox]\nenv = { SMALL = 'theirs' }\n[program]"), *AT_ONCE).drift


@pytest.mark.slow
def test_our_own_notebooks_are_tried_for_real() -> None:
    """A notebook that asks is approved and goes on, with our own engine in an empty folder; `lint notebooks` takes the other trials."""
    profile = load_profile("notebooks")
    assert {trial.state for trial in profile.trials} == set(profile.signatures) - {"stuck"}  # which takes a quarter of an hour to show
    quick = tuple(trial for trial in profile.trials if trial.id == "approved")  # a stale worker takes half a minute to show
    found = lint(profile.model_copy(update={"trials": quick}), program=shlex.join([sys.executable, "-m", "smithers_nb"]))
    assert set(outcomes(found).values()) == {"works"}
    assert len(found.steps) == len(outcomes(found)) == 6


def test_without_steps_a_profile_does_not_look_clean(small: Callable[..., Linted]) -> None:
    """Nothing was tried, and the row says so."""
    found = small((PROFILE[PROFILE.index("[[trials]]") :], ""))
    assert found.summary == "small documents no steps: nothing was tried."
