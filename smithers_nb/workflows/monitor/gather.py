"""What the store records about a run, before it is judged: one row that a later stage or another process can start from.

Missing data raises nothing: for a missing run, or a store that is damaged or gone, the result is a nearly empty snapshot with the reason.
Later stages open the store again with `opened`.
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

_MONITORS: Final = frozenset({"monitor", "monitor-smithers"})
_WATCHES: Final = "smithersMonitorFor"
_MINUTE_MS: Final = 60_000
_MAX_NODES, _MAX_EVENTS, _MAX_LINE = 60, 60, 400
_MAX_WHY, _MAX_SCORES, _MAX_INBOX, _MAX_RAW = 8_000, 6_000, 8_000, 60_000
_BROKEN_FIRST: Final = ("failed", "stalled", "in-progress", "waiting", "bound", "pending")
_HUMAN: Final = ("Human", "Ask", "Signal")


def gather(target_run_id: str | None, source: str | Path | None = None, *, now: int) -> MonitorSnapshot:
    """Read what the store records about a run.

    Args:
        target_run_id: The run; a unique prefix is enough. None takes the most recent active run that is not a monitor.
        source: Store, project folder or URL; defaults to the current folder.
        now: Epoch milliseconds.

    Returns:
        The snapshot. If the run does not exist or cannot be read, `ok` is false and `summary` gives the reason.
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
    """Open the run of a snapshot again.

    Args:
        snapshot: What `gather` returned.
        source: The source that `gather` read; the location in a snapshot has no password.

    Raises:
        SourceError: The store can no longer be read.
        RunNotFound: The run is gone.
    """
    store = open_source(source)
    try:
        yield Snapshot(store, snapshot.target_run_id or "")
    finally:
        store.close()


def active_first(runs: Iterable[RunRow]) -> list[RunRow]:
    """Sort the runs that could be monitored: active runs first, newest first within each group, without monitors."""
    listed = [run for run in runs if not is_monitor(run)]
    listed.sort(key=lambda run: (run.started_at or run.created_at or 0, run.run_id), reverse=True)
    return sorted(listed, key=lambda run: is_terminal(run.status))


def _pick(source: Source, now: int) -> str | None:
    runs = [run for run in source.rows(RunRow) if (run.started_at or run.created_at or 0) <= now]
    return next((run.run_id for run in active_first(runs)), None)


def is_monitor(run: RunRow) -> bool:
    """Return whether a run only observes others: a monitor, a sibling that watches a run, or a hidden system run."""
    config = as_object(run.config)
    annotations = config.get("annotations")
    marked = config if not isinstance(annotations, dict) else config | annotations
    return run.workflow in _MONITORS or _WATCHES in marked or config.get("hidden") is True


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
        why=_lines(blockers(snapshot, now), _MAX_WHY),
        events=_events(snapshot.events),
        scores_raw=_lines(snapshot.scores, _MAX_SCORES),
        human_inbox_raw=_lines((*case.open_questions, *(gate for gate in case.open_gates if not gate.for_question)), _MAX_INBOX),
        signals_raw=_lines(snapshot.signals, _MAX_SCORES),
        raw=_lines((run,), _MAX_RAW),
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
        summary = clean_message(attempt.error_message) if attempt and attempt.error_message else node.label or ""
        kind = kinds.get(key) or (attempt.kind if attempt else None) or ""
        return NodeLine(id=node.node_id, type=kind, status=node.state, summary=short_line(summary, _MAX_LINE))

    def urgency(node: NodeRow) -> int:
        return next((rank for rank, state in enumerate(_BROKEN_FIRST) if node.state.startswith(state)), len(_BROKEN_FIRST))

    return tuple(line(node) for node in sorted(snapshot.nodes, key=urgency)[:_MAX_NODES])


def _events(events: Sequence[EventRow]) -> EventGroups:
    def newest(wanted: Callable[[str], bool]) -> tuple[str, ...]:
        return tuple(map(_event, [event for event in events if wanted(event.type)][-_MAX_EVENTS:]))

    return EventGroups(
        count=len(events),
        approval=newest(lambda kind: kind.startswith("Approval")),
        human=newest(lambda kind: kind.startswith(_HUMAN)),
        failed=newest(lambda kind: kind.endswith(("Failed", "Error", "Timeout"))),
        recent=newest(lambda _: True),
    )


def _event(event: EventRow) -> str:
    node = f" {event.node_id}" if event.node_id else ""
    return f"{event.seq} {event.type}{node}"


def _lines(rows: Iterable[Any], limit: int) -> str:
    """Render rows as JSON lines, as many as fit into a number of characters."""
    lines, room = [], limit
    for row in rows:
        plain = row.as_json() if hasattr(row, "as_json") else row._asdict()
        line = orjson.dumps(redact_value(plain)).decode()
        room -= len(line) + 1
        if room < 0:
            break
        lines.append(line)
    return "\n".join(lines)
