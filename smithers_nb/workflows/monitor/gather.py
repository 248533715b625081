"""What the store says about a run, before anybody judges it: one row that a later stage, or another process, can start from.

Nothing here raises for what a store holds or lacks: a run that is not there, a store that is damaged or gone gives a thin snapshot
that says so. Whoever takes a snapshot further opens the store again with `opened`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from smithers_nb.diagnosis.failure.error_chain import clean_message
from smithers_nb.diagnosis.state.blockers import blockers
from smithers_nb.diagnosis.state.conditions import Case
from smithers_nb.errors import RunNotFound, SmithersNbError
from smithers_nb.model.rows import RunRow
from smithers_nb.model.vocabulary import is_terminal
from smithers_nb.redact import redact, redact_value, short_line
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.sources.stores.json_text import as_object
from smithers_nb.workflows.monitor.results import EventGroups, MonitorSnapshot, NodeLine

if TYPE_CHECKING:
    from smithers_nb.model.rows import EventRow, NodeRow
    from smithers_nb.sources.base import Source

_OWN: Final = frozenset({"monitor", "monitor-smithers"})
_WATCHES: Final = "smithersMonitorFor"
_MINUTE_MS: Final = 60_000
_NODES, _RECENT, _LINE = 60, 60, 400
_WHY, _SCORES, _INBOX, _RAW = 8_000, 6_000, 8_000, 60_000
_BROKEN_FIRST: Final = ("failed", "stalled", "in-progress", "waiting", "bound", "pending")
_HUMAN: Final = ("Human", "Ask", "Signal")


def gather(target_run_id: str | None, source: str | Path | None = None, *, now: int) -> MonitorSnapshot:
    """Read what the store says about a run.

    Args:
        target_run_id: The run; a unique beginning is enough. None takes the most recent active run that is no monitor.
        source: Store, project folder or URL; the current folder by default.
        now: Epoch milliseconds.

    Returns:
        The snapshot; with `ok` false and a reason in `summary` when there is no such run or it cannot be read.
    """
    opened: Source | None = None
    try:
        opened = open_source(source)
        run_id = target_run_id or _pick(opened, now)
        if run_id is None:
            raise RunNotFound(f"no run to monitor in {opened.location}", hint="name one: smithers-nb monitor RUN")
        return _of_run(Snapshot(opened, run_id), now)
    except (SmithersNbError, OSError) as error:
        hint = f" ({error.hint})" if isinstance(error, SmithersNbError) and error.hint else ""
        problems = tuple(redact(f"{problem.where}: {problem.what}") for problem in opened.problems) if opened else ()
        return MonitorSnapshot(
            target_run_id=target_run_id,
            ok=False,
            summary=redact(f"{error}{hint}"),
            source=opened.location if opened else redact(str(source or Path.cwd())),
            now=now,
            problems=problems,
        )
    finally:
        if opened is not None:
            opened.close()


@contextmanager
def opened(snapshot: MonitorSnapshot, source: str | Path | None) -> Iterator[Snapshot]:
    """Open the run of a snapshot once more.

    Args:
        snapshot: What `gather` gave.
        source: What `gather` was given; the location in a snapshot has no password.

    Raises:
        SourceError: The store cannot be read any more.
        RunNotFound: The run is gone.
    """
    store = open_source(source)
    try:
        yield Snapshot(store, snapshot.target_run_id or "")
    finally:
        store.close()


def active_first(runs: Iterable[RunRow]) -> list[RunRow]:
    """Order runs that could be monitored: active ones first, then the newest first; monitors and their like are left out."""
    known = [run for run in runs if not is_monitor(run)]
    known.sort(key=lambda run: (run.started_at or run.created_at or 0, run.run_id), reverse=True)
    return sorted(known, key=lambda run: is_terminal(run.status))


def _pick(source: Source, now: int) -> str | None:
    runs = [run for run in source.rows(RunRow) if (run.started_at or run.created_at or 0) <= now]
    return next((run.run_id for run in active_first(runs)), None)


def is_monitor(run: RunRow) -> bool:
    """Return whether a run only looks at others: a monitor, a sibling that watches a run, or one of the system's own."""
    config = as_object(run.config)
    annotations = config.get("annotations")
    marked = config if not isinstance(annotations, dict) else config | annotations
    return run.workflow in _OWN or _WATCHES in marked or config.get("hidden") is True


def _of_run(snapshot: Snapshot, now: int) -> MonitorSnapshot:
    case, run = Case(snapshot, now), snapshot.run
    started = run.started_at or run.created_at
    quiet = case.last_activity
    snapshot_row = MonitorSnapshot(
        target_run_id=run.run_id,
        ok=True,
        state=case.state,
        summary=f"{run.workflow or 'workflow'} {run.run_id}: {case.state}",
        age_minutes=None if started is None else round((now - started) / _MINUTE_MS, 2),
        quiet_minutes=None if not quiet else round((now - quiet) / _MINUTE_MS, 2),
        nodes=_nodes(snapshot),
        why=_lines(blockers(snapshot, now), _WHY),
        events=_events(snapshot.events),
        scores_raw=_lines(snapshot.scores, _SCORES),
        human_inbox_raw=_lines((*case.open_questions, *(gate for gate in case.open_gates if not gate.for_question)), _INBOX),
        signals_raw=_lines(snapshot.signals, _SCORES),
        raw=_lines((run,), _RAW),
        source=snapshot.source.location,
        workflow=run.workflow,
        status=run.status,
        now=now,
    )
    return replace(snapshot_row, problems=tuple(redact(f"{problem.where}: {problem.what}") for problem in snapshot.problems))


def _nodes(snapshot: Snapshot) -> tuple[NodeLine, ...]:
    kinds = {(task.node_id, task.iteration): task.kind for task in snapshot.tasks}
    newest = {(attempt.node_id, attempt.iteration): attempt for attempt in snapshot.attempts}

    def line(node: NodeRow) -> NodeLine:
        key = (node.node_id, node.iteration)
        attempt = newest.get(key)
        said = clean_message(attempt.error_message) if attempt and attempt.error_message else node.label or ""
        kind = kinds.get(key) or (attempt.kind if attempt else None) or ""
        return NodeLine(id=node.node_id, type=kind, status=node.state, summary=short_line(said, _LINE))

    def urgency(node: NodeRow) -> int:
        return next((place for place, state in enumerate(_BROKEN_FIRST) if node.state.startswith(state)), len(_BROKEN_FIRST))

    return tuple(line(node) for node in sorted(snapshot.nodes, key=urgency)[:_NODES])


def _events(events: Sequence[EventRow]) -> EventGroups:
    def those(wanted: Callable[[str], bool]) -> tuple[str, ...]:
        return tuple(_event(event) for event in [event for event in events if wanted(event.type)][-_RECENT:])

    return EventGroups(
        count=len(events),
        approval=those(lambda kind: kind.startswith("Approval")),
        human=those(lambda kind: kind.startswith(_HUMAN)),
        failed=those(lambda kind: kind.endswith(("Failed", "Error", "Timeout"))),
        recent=tuple(_event(event) for event in events[-_RECENT:]),
    )


def _event(event: EventRow) -> str:
    node = f" {event.node_id}" if event.node_id else ""
    return f"{event.seq} {event.type}{node}"


def _lines(rows: Iterable[Any], limit: int) -> str:
    """Write rows as JSON lines, as many as fit."""
    kept, room = [], limit
    for row in rows:
        plain = row.as_json() if hasattr(row, "as_json") else row._asdict()
        line = orjson.dumps(redact_value(plain)).decode()
        room -= len(line) + 1
        if room < 0:
            break
        kept.append(line)
    return "\n".join(kept)
