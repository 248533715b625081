"""What is measured in a process of its own: `python -m tests.benchmarks.jobs JOB ARGUMENT…` prints one line of JSON."""

from __future__ import annotations

import statistics
import sys
import time

from tests.benchmarks import beads, durable, landing, sessions
from tests.benchmarks.measure import ROOT, tell


def events_frame(path: str) -> None:
    """Our frame of every event."""
    from smithers_nb.model.rows import EventRow
    from smithers_nb.sources.smithers.source import SmithersSource

    frame = SmithersSource(path).frame(EventRow)
    tell(rows=len(frame), columns=sorted(frame.columns))


def bundle_of_run(run: str, artifacts: str) -> None:
    """The verified copy of a run's directory, and its bundle."""
    from smithers_nb.workflows.incident.bundle import write_bundle
    from smithers_nb.workflows.incident.casefile import open_case

    case = open_case(run, artifacts=artifacts)
    case.snapshot()
    filed = write_bundle(case, case.classify())
    tell(taken=filed.taken, files=len(filed.files))


def events_by_hand(path: str) -> None:
    """The same columns the way a notebook would read them."""
    import json
    import sqlite3

    import pandas as pd

    from smithers_nb.model.vocabulary import event_category

    with sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) as connection:
        frame = pd.read_sql("SELECT run_id, seq, timestamp_ms, type, payload_json FROM _smithers_events ORDER BY run_id, seq", connection)
    fields = pd.json_normalize(frame["payload_json"].map(json.loads).tolist(), max_level=0)
    frame[["node_id", "iteration", "attempt"]] = fields.reindex(columns=["nodeId", "iteration", "attempt"])
    frame["at"] = pd.to_datetime(frame.pop("timestamp_ms"), unit="ms", utc=True)
    frame["category"] = frame["type"].map(event_category)
    frame = frame.rename(columns={"payload_json": "payload"})
    tell(rows=len(frame), columns=sorted(frame.columns))


def snapshots(big: str, small: str, run_id: str, repeats: str) -> None:
    """Read one run whole, from a big store and from a small one in turn, each time as if for the first time."""
    took: dict[str, list[float]] = {big: [], small: []}
    for path in (big, small) * (int(repeats) + 1):
        start = time.perf_counter()
        events = _whole_run(path, run_id)
        took[path].append(time.perf_counter() - start)
    tell(big=statistics.median(took[big][1:]), small=statistics.median(took[small][1:]), events=events)


def _whole_run(path: str, run_id: str) -> int:
    from smithers_nb.sources.smithers.source import SmithersSource
    from smithers_nb.sources.snapshot import Snapshot

    source = SmithersSource(path)
    snapshot = Snapshot(source, run_id)
    tables = ("nodes", "attempts", "approvals", "questions", "tasks", "tool_calls", "tokens", "signals", "time_travel", "branches", "loops")
    for table in ("run", *tables, "outputs", "scores", "diffs", "children", "agent_events"):
        getattr(snapshot, table)
    events = len(snapshot.events)
    source.close()
    return events


def all_failures(path: str) -> None:
    """Every failure of a store with class and signature."""
    from smithers_nb.project import connect

    frame = connect(path).failures
    tell(rows=len(frame), runs=int(frame["run_id"].nunique()), signatures=int(frame["signature"].nunique()))


def all_health(path: str) -> None:
    """Health of every run of a store, in one pass."""
    from smithers_nb.workflows.fleet.sweep import sweep

    start = time.perf_counter()
    found = sweep([path], _AFTER_ALL)
    tell(runs=len(found.runs), buckets={name: len(ids) for name, ids in found.buckets.items()}, pass_s=time.perf_counter() - start)


def batch_of_autopsies(path: str, count: str, artifacts: str, workers: str) -> None:
    """Our batch: notebooks and reports; 0 workers are the usual ones."""
    from pathlib import Path

    from smithers_nb.sources.smithers.source import SmithersSource
    from smithers_nb.workflows.batch.local import default_workers, failed_runs, run_autopsies

    run_ids = failed_runs(SmithersSource(path))[: int(count)]
    at_once = int(workers) or default_workers()
    rows = run_autopsies(run_ids, path, artifacts=Path(artifacts), now=_NOW, workers=at_once)
    if failed := [row.error for row in rows if row.error]:
        raise SystemExit(failed[0])
    if not all(Path(str(file)).stat().st_size for row in rows for file in (row.notebook, row.report)):
        raise SystemExit("a file is empty")
    tell(done=len(rows), workers=at_once)


def plain_papermill(path: str, count: str, folder: str) -> None:
    """The same notebook on the same runs with papermill alone, one after the other."""
    import logging
    from pathlib import Path

    import papermill

    from smithers_nb.sources.smithers.source import SmithersSource
    from smithers_nb.workflows.batch.local import failed_runs

    logging.getLogger("papermill").setLevel(logging.ERROR)
    run_ids = failed_runs(SmithersSource(path))[: int(count)]
    Path(folder).mkdir(parents=True, exist_ok=True)
    for run_id in run_ids:
        papermill.execute_notebook(
            ROOT / "notebooks" / "autopsy.ipynb",
            Path(folder) / f"{run_id}.ipynb",
            {"target_run_id": run_id, "source": path, "now": _NOW},
            kernel_name="python3",
            progress_bar=False,
        )
    tell(done=len(run_ids))


def notebook_states(folder: str, few: str) -> None:
    """State and deciding cell of every notebook of a folder, and of a few, beside nbformat and a loop; start-up apart."""
    import warnings
    from pathlib import Path

    import nbformat

    from smithers_nb.project import connect

    def by_hand(path: str) -> list[int | None]:
        cells = (
            [c for c in nbformat.read(file, as_version=4).cells if c.cell_type == "code"] for file in sorted(Path(path).glob("*.ipynb"))
        )
        return [next((i for i, c in enumerate(one) if any(o.output_type == "error" for o in c.outputs)), None) for one in cells]

    def ours(path: str) -> list[int | None]:
        with connect(path) as project:
            return list(project.runs().error_message)

    warnings.simplefilter("ignore")
    took = {}
    for name, read, path in (
        ("warm", ours, few),
        ("few", ours, few),
        ("ours", ours, folder),
        ("warm", by_hand, few),
        ("by_hand", by_hand, folder),
    ):
        start = time.process_time()
        files = len(read(path))
        took[name] = time.process_time() - start
    tell(files=files, **took)


_NOW = 1_790_000_000_000
_AFTER_ALL = 1_800_000_000_000  # later than any run of a generated store
_STORES = (events_frame, events_by_hand, snapshots, all_failures, all_health, notebook_states, batch_of_autopsies, plain_papermill)
_DURABLE = (durable.stages_beside_papermill, durable.queue_of_runs, durable.decisions)
_JOBS = {job.__name__: job for job in (bundle_of_run, *_STORES, *_DURABLE, *beads.JOBS, *landing.JOBS, *sessions.JOBS)}

if __name__ == "__main__":
    _JOBS[sys.argv[1]](*sys.argv[2:])
