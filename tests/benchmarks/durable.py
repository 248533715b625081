"""What durable runs are measured with: notebooks with and without stages, a queue and its workers, gates and decisions.

Each function runs in a process of its own, through `jobs.py`.
"""

from __future__ import annotations

import logging
import os
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.benchmarks.measure import environment, tell

_WORK = """
import hashlib
def work(number):
    return {'number': number, 'digest': hashlib.pbkdf2_hmac('sha256', b'%d' % number, b'salt', 240_000).hex()}
"""
"""A function that keeps a processor busy for about fifty milliseconds."""

_STAGES = 10
_EFFECT = """
import os
file = os.open('effects', os.O_WRONLY | os.O_APPEND | os.O_CREAT)
os.write(file, f'{name} '.encode())
"""
_NEXT = "import time\nnow = time.time()\n" + _EFFECT.replace("{name} ", "{name}={now!r} ")
_WORKER = "import sys; from smithers_nb.cli import main; sys.exit(main())"
_PATIENCE_S = 1_500.0


def stages_beside_papermill(folder: str, repeats: str) -> None:
    """A notebook of ten stages in a durable run, and the same functions without stages, on the same and on the usual kernel, in turn."""
    import papermill

    from smithers_nb.engine.kernels.launcher import PRELOAD
    from smithers_nb.engine.kernels.pool import prewarmed
    from smithers_nb.engine.notebook.executor import Setting, execute

    logging.getLogger("papermill").setLevel(logging.ERROR)
    project, out = _project(folder), Path(folder) / "out.ipynb"
    stages = [f"stage('stage-{number}', work, {number})" for number in range(_STAGES)]
    with_stages = project.notebook(f"from smithers_nb import stage\n{_WORK}", *stages, name="stages", metadata={"nodes": "stages"})
    without = project.notebook(_WORK, *(f"work({number})" for number in range(_STAGES)), name="plain")
    lean = Setting(environment={PRELOAD: ""})
    with prewarmed(wait=True) as kernels, _executing(project, with_stages, 2 * (int(repeats) + 1)) as execute_next:
        took = _in_turn(
            {
                "durable": execute_next,
                "lean": lambda: execute(without, out, setting=lean),
                "papermill": lambda: papermill.execute_notebook(without, out, kernel_name="python3", progress_bar=False),
                "durable_warm": lambda: execute_next(kernels=kernels),
                "lean_warm": lambda: execute(without, out, kernels=kernels, setting=lean),
            },
            int(repeats),
        )
    tell(**took)


def queue_of_runs(folder: str, count: str, url: str) -> None:
    """Queue runs and let two workers take them; every effect is counted."""
    from smithers_nb.engine import control
    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.leases import known_workers
    from smithers_nb.engine.workers.client import enqueue

    project = _project(folder, url)
    notebook = project.notebook(_EFFECT)
    names = [f"n{number}" for number in range(int(count))]
    begun = time.perf_counter()
    for name in names:
        enqueue(project.location, control.submit(project.location, notebook, {"name": name}, cwd=project.root))
    queued, begun = time.perf_counter() - begun, time.perf_counter()
    workers = [_worker(project) for _ in range(2)]
    until, done = begun + _PATIENCE_S, begun
    while any(worker.poll() is None for worker in workers) and time.perf_counter() < until:
        before = len(project.lines())
        time.sleep(0.1)
        if len(project.lines()) != before:
            done = time.perf_counter()
    for worker in workers:
        worker.kill()
    effects = Counter(project.lines())
    with Journal.open(project.location) as journal, journal.reading() as connection:
        left = len(known_workers(connection))
    lost, doubled = len(set(names) - set(effects)), sum(times > 1 for times in effects.values())
    tell(done=len(effects), lost=lost, doubled=doubled, seconds=done - begun, queued=queued, left=left, statuses=_statuses(project))


def decisions(folder: str, count: str, url: str) -> None:
    """Park runs at a gate, decide one after the other, and measure until the cell after the gate begins in a living worker."""
    from smithers_nb.engine import control
    from smithers_nb.engine.workers.client import enqueue

    project = _project(folder, url)
    notebook = project.notebook("from smithers_nb import gate\ngate('ship', 'Ship it?')", _NEXT)
    worker = _worker(project, keep=True)
    runs = {name: control.submit(project.location, notebook, {"name": name}, cwd=project.root) for name in map(str, range(int(count)))}
    for run_id in runs.values():
        enqueue(project.location, run_id)
    _until(lambda: _statuses(project) == {"waiting-approval": len(runs)})
    took = []
    for name, run_id in runs.items():
        time.sleep(0.3 + int(name) % 7 / 10)  # decisions fall anywhere between two looks of the worker
        begun = time.time()
        control.decide(project.location, run_id, approved=True, by="bench", note="")
        took.append(_until(lambda name=name: _told(project).get(name)) - begun)
    worker.terminate()
    worker.wait(60)
    took.sort()
    tell(median=statistics.median(took), p95=took[min(len(took) - 1, round(0.95 * len(took)))], worst=took[-1], count=len(took))


def _project(folder: str, url: str = "") -> Any:
    from smithers_nb.engine.location import Location
    from tests.support.durable import Project

    Path(folder).mkdir(parents=True, exist_ok=True)
    return Project(Location.of(folder, database=url or None))


@contextmanager
def _executing(project: Any, notebook: Path, times: int) -> Iterator[Callable[..., None]]:
    """Write runs down, and give what executes the next one as a worker does."""
    from smithers_nb.engine import control
    from smithers_nb.engine.execution.run_execution import execute_run
    from smithers_nb.engine.journal import Journal, executions, leases

    left = [control.submit(project.location, notebook, {}, cwd=project.root) for _ in range(times)]
    with Journal.open(project.location) as journal:
        leases.register(journal, owner := leases.new_owner())

        def execute_next(**options: Any) -> None:
            run_id = left.pop()
            with journal.writing(run_id) as connection:
                execution = executions.want(connection, run_id, queued=True)
            outcome = execute_run(journal, execution, owner, **options)
            if outcome.status != "finished":
                raise SystemExit(f"{outcome.status}: {outcome.reason}")

        yield execute_next
        leases.deregister(journal, owner)


def _in_turn(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Return the middle time of each, all in turn so that they meet the same weather; the first round does not count."""
    took: dict[str, list[float]] = {name: [] for name in jobs}
    for _ in range(repeats + 1):
        for name, job in jobs.items():
            begun = time.perf_counter()
            job()
            took[name].append(time.perf_counter() - begun)
    return {name: statistics.median(times[1:]) for name, times in took.items()}


def _worker(project: Any, *, keep: bool = False) -> subprocess.Popen[bytes]:
    url = [] if project.location.file else ["--database", project.location.url]
    command = [sys.executable, "-c", _WORKER, "worker", *url, *([] if keep else ["--until-idle"])]
    with Path(os.devnull).open("wb") as nowhere:
        return subprocess.Popen(command, cwd=project.root, stdout=nowhere, stderr=nowhere, env=environment())


def _statuses(project: Any) -> dict[str, int]:
    import sqlalchemy as sa

    from smithers_nb.engine.journal import Journal
    from smithers_nb.engine.journal.schema import runs

    with Journal.open(project.location) as journal, journal.reading() as connection:
        return dict(Counter(connection.execute(sa.select(runs.c.status)).scalars()))


def _told(project: Any) -> dict[str, float]:
    pairs = (line.partition("=") for line in project.lines())
    return {name: float(at) for name, _, at in pairs}


def _until(condition: Callable[[], Any]) -> Any:
    end = time.monotonic() + 120
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise SystemExit("nothing happened for two minutes")
