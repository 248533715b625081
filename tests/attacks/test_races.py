"""People who decide one gate at the same moment: one of them has decided it, the others are told so, and the run goes on once."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.support.history import Runs, cell, write_notebook

DECIDER = """
import sys
from smithers_nb.engine.control import decide
from smithers_nb.engine.location import Location
from smithers_nb.errors import ControlRefused
location, me = Location.of(sys.argv[1], database=sys.argv[2] or None), int(sys.argv[3])
print('ready', flush=True)
for line in sys.stdin:
    try:
        decide(location, line.strip(), 'ship', approved=me % 2 == 0, by=f'person{me}')
        print('decided', flush=True)
    except ControlRefused as error:
        print(error.code, flush=True)
"""
PEOPLE = 4


@pytest.fixture
def deciders(project):
    """People at terminals of their own, who decide whatever run is named to them."""
    url = "" if project.location.file else project.location.url
    command = [sys.executable, "-c", DECIDER, str(project.root), url]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    started = [subprocess.Popen([*command, str(me)], text=True, cwd=project.root, **pipes) for me in range(PEOPLE)]
    assert [process.stdout.readline() for process in started] == ["ready\n"] * PEOPLE
    yield started
    for process in started:
        process.stdin.close()
        process.stdout.close()
        process.wait(30)


@pytest.mark.slow
def test_races(project, database, deciders, amount, tally):
    """Of all who decide at once exactly one does, it is theirs that is recorded, and one execution follows."""
    counts = tally(f"races on {database}")
    runs = Runs(project.location, write_notebook(project.root / "job.ipynb", cell("1", name="work")))
    for number in range(amount(4, 15)):
        run_id = runs.new(f"r{number}")
        runs.gate(run_id, "ship")
        before = len(runs.rows("_smithers_nb_executions", run_id))
        for process in deciders:
            process.stdin.write(f"{run_id}\n")
            process.stdin.flush()
        said = [process.stdout.readline().strip() for process in deciders]
        (gate,) = runs.rows("_smithers_approvals", run_id)
        winner = said.index("decided") if "decided" in said else -1
        counts.tried += 1
        counts.doubled += said.count("decided") > 1 or len(runs.rows("_smithers_nb_executions", run_id)) > before + 1
        counts.lost += (gate.decided_by, gate.status) != (f"person{winner}", "denied" if winner % 2 else "approved")
        assert set(said) == {"decided", "ALREADY_DECIDED"}, said
    runs.journal.close()
    assert counts.held, counts
