"""Workers that are killed at seeded moments: nothing that was kept is lost or done again, and every run ends."""

from __future__ import annotations

import random
import time

import pytest

from smithers_nb.engine.control import resume
from smithers_nb.engine.workers.client import enqueue
from tests.support.durable import until

WORDS = "abcdef"
CELL = f"""
import time
from smithers_nb import stage
def log(what, word):
    with open('effects', 'a') as file:
        file.write(f'{{name}}:{{what}}:{{word}} ')
def step(word):
    log('begin', word)
    time.sleep(0.05)
    return word
for word in {WORDS!r}:
    assert stage(word, step, word) == word
    log('kept', word)
"""


@pytest.mark.slow
def test_kills(project, database, amount, tally):
    """However often a worker is killed, each stage whose output was kept has run for the last time, and every run can be finished."""
    counts, draw = tally(f"kills on {database}"), random.Random(database)
    runs: dict[str, str] = {}

    def unfinished() -> list[str]:
        return [name for name, run_id in runs.items() if project.run(run_id).status != "finished"]

    for _ in range(amount(1, 25)):
        resume_what_was_given_up(project, [runs[name] for name in unfinished()])
        while len(unfinished()) < amount(1, 2):
            name = f"run{len(runs)}"
            runs[name] = project.submit(CELL, parameters={"name": name})
            enqueue(project.location, runs[name])
        worker, before, more = project.process(), len(project.lines()), draw.randrange(5)
        until(lambda enough=before + more, worker=worker: len(project.lines()) >= enough or worker.poll() is not None, 90)
        time.sleep(draw.uniform(0, 0.4 if more else 3))
        worker.kill()
        worker.communicate()
        counts.tried += 1
    for _ in range(3):
        resume_what_was_given_up(project, [runs[name] for name in unfinished()])
        project.process().communicate(timeout=180)
        if not unfinished():
            break
    wrong = [f"{name} is {project.run(runs[name]).status}: {project.run(runs[name]).error_json}" for name in unfinished()]
    for name, run_id in runs.items():
        lost, counts.doubled = judged(project, name, run_id, counts.doubled)
        wrong += lost
    counts.lost = len(wrong)
    if not counts.held:
        pytest.fail("\n".join([str(counts), *wrong]))


def resume_what_was_given_up(project, run_ids: list[str]) -> None:
    """Resume runs whose process died four times in a row, after which nobody takes them over."""
    for run_id in run_ids:
        if project.run(run_id).status == "failed" and project.error(run_id)["code"] == "AUTO_RESUME_GAVE_UP":
            resume(project.location, run_id)
            enqueue(project.location, run_id)


def judged(project, name: str, run_id: str, doubled: int) -> tuple[list[str], int]:
    """Find what a run has lost, and count the stages that began again after they were kept."""
    mine = [line for line in project.lines() if line.startswith(f"{name}:")]
    lost = []
    for word in WORDS:
        if f"{name}:kept:{word}" not in mine or project.states(run_id).get(word) != "finished":
            lost.append(f"{name} lost {word}: {project.states(run_id)}, {mine}, {project.tries(run_id)}")
        kept = next((place for place, line in enumerate(mine) if line == f"{name}:kept:{word}"), len(mine))
        doubled += f"{name}:begin:{word}" in mine[kept:]
    return lost, doubled
