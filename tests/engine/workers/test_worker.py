"""The durable engine on both databases: work is taken once, and whoever dies loses and doubles nothing."""

from __future__ import annotations

import signal
import time
from collections import Counter

import pytest

from smithers_nb.engine.journal import Journal
from smithers_nb.engine.journal.leases import known_workers
from smithers_nb.engine.journal.schema import executions
from smithers_nb.engine.workers.client import enqueue
from tests.support.durable import effect, ended, until

DIE_ONCE = """
import os, pathlib, signal
def die_once(where):
    mark = pathlib.Path(f'died-{name}')
    if where == name and not mark.exists():
        mark.touch()
        os.kill(int(os.environ['SMITHERS_NB_OWNER'].split(':')[1]), signal.SIGKILL)
        signal.pause()
"""
STAGES = """
from smithers_nb.engine.stages import stage
def step(word):
    die_once(f'before {word}')
    with open('effects', 'a') as file:
        file.write(f'{name.replace(" ", "-")}:{word} ')
    die_once(f'within {word}')
    return {'word': word}
die_once('at the start')
stage('first', step, 'first')
die_once('between')
stage('second', step, 'second')
die_once('at the end')
"""
"""Two stages, and a place at which the process that executes them is killed, once."""

BOUNDARIES = ("at the start", "before first", "within first", "between", "before second", "within second", "at the end")


@pytest.mark.slow
def test_workers_share_a_queue(project):
    """Two workers at once take every queued run exactly once, and end when nothing is left."""
    ids = [project.submit("with open('effects', 'a') as file:\n    file.write(name + ' ')", parameters={"name": f"n{i}"}) for i in range(6)]
    for run_id in ids:
        enqueue(project.location, run_id)
        enqueue(project.location, run_id)  # asking twice is asking once
    printed = ended([project.process(), project.process()])
    assert sorted(project.lines()) == [f"n{i}" for i in range(6)]
    assert Counter("".join(printed).split()) == Counter({**dict.fromkeys(ids, 1), "finished": 6})
    with Journal.open(project.location) as journal, journal.reading() as connection:
        assert known_workers(connection) == []


@pytest.mark.slow
def test_a_killed_worker_loses_and_doubles_nothing(project):
    """A worker killed at any stage boundary is replaced by the next one; a stage that was kept is not run again."""
    runs = {where: project.submit(DIE_ONCE, STAGES, parameters={"name": where}) for where in BOUNDARIES}
    for run_id in runs.values():
        enqueue(project.location, run_id)
    for _ in range(len(runs) + 3):
        process = project.process()
        process.communicate(timeout=90)
        if process.returncode == 0:
            break
    assert {where: project.run(run_id).status for where, run_id in runs.items()} == dict.fromkeys(runs, "finished")
    effects = Counter(project.lines())
    for where in BOUNDARIES:
        name = where.replace(" ", "-")
        done = effects[f"{name}:first"], effects[f"{name}:second"]
        # what happened between a stage's effect and its commit is the one thing that is repeated
        assert done == ((2, 1) if where == "within first" else (1, 2) if where == "within second" else (1, 1)), where
    assert {row.starts for run_id in runs.values() for row in project.rows(executions, run_id)} <= {2, 3}


@pytest.mark.slow
def test_a_killed_foreground_run_is_taken_over(project):
    """A run whose own process is killed goes on in a worker, from its last finished stage."""
    run_id = project.submit(DIE_ONCE, STAGES, parameters={"name": "between"})
    foreground = project.process(run_id)
    foreground.communicate(timeout=60)
    assert foreground.returncode == -signal.SIGKILL
    assert project.run(run_id).status == "running"
    assert ended([project.process()]) == [f"{run_id} finished\n"]
    assert project.lines() == ["between:first", "between:second"]


@pytest.mark.slow
def test_a_run_started_twice_at_once_is_executed_once(project):
    """Two processes that start one run at the same moment execute it once, and both learn how it ended."""
    run_id = project.submit(effect("once") + "\nimport time; time.sleep(1)")
    printed = ended([project.process(run_id), project.process(run_id)])
    assert project.lines() == ["once"]
    assert "finished\n" in printed
    assert project.run(run_id).status == "finished"


@pytest.mark.slow
def test_interrupting_a_foreground_run_cancels_it(project):
    """Ctrl-C ends a foreground run as cancelled, with its kernel and without a reason to look into."""
    run_id = project.submit(effect("begun") + "\nimport time; time.sleep(60)", effect("never"))
    process = project.process(run_id)
    until(project.lines)
    process.send_signal(signal.SIGINT)
    assert ended([process]) == ["cancelled\n"]
    assert (project.run(run_id).status, project.run(run_id).error_json) == ("cancelled", None)


@pytest.mark.slow
def test_a_decision_is_followed_at_once(project):
    """A run parked at a gate goes on within two seconds of the decision, in a worker that is alive."""
    from smithers_nb.engine import control

    cells = (
        "from smithers_nb.engine.stages import gate\ndecision = gate('ship', 'Ship it?')",
        "with open('effects', 'a') as file:\n    file.write(f'{decision.approved} ')",
    )
    run_id = project.submit(*cells)
    enqueue(project.location, run_id)
    worker = project.process()
    until(lambda: project.run(run_id).status == "waiting-approval")
    control.decide(project.location, run_id, approved=True, by="ann", note="go")
    begun = time.monotonic()
    until(project.lines)
    waited = time.monotonic() - begun
    ended([worker])
    assert project.lines() == ["True"]
    assert project.run(run_id).status == "finished"
    assert waited < 10, waited  # the benchmark measures; this only tells a hang
