"""The course of a DBOS workflow as events, derived from the times in its tables, because DBOS keeps no log."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.model.rows import EventRow
from smithers_nb.model.vocabulary import event_category
from smithers_nb.sources.stores.json_text import dump, text_or_none, whole

if TYPE_CHECKING:
    from smithers_nb.model.rows import RunRow
    from smithers_nb.sources.dbos.rows import Step

_ENDS: Final = {"finished": "RunFinished", "failed": "RunFailed", "cancelled": "RunCancelled"}


def event_rows(run: RunRow, steps: Iterable[Step], messages: Iterable[tuple[str, int | None, Mapping[str, Any]]]) -> list[EventRow]:
    """Return the events of a workflow in order of time.

    Args:
        run: The workflow.
        steps: Its steps.
        messages: Type, time and payload of everything else: events set, messages received, streams written.
    """
    events: list[tuple[int, str, dict[str, Any]]] = []
    for step in steps:
        key = {"nodeId": step.node_id, "iteration": step.iteration, "attempt": max(1, len(step.errors)), "functionId": step.function_id}
        key |= {"childRunId": step.child} if step.child else {}
        events.append((step.started or 0, "NodeStarted", key))
        if step.sleep and not step.sleep.waits:
            events.append((step.started or 0, "NodeWaitingTimer", key | {"firesAtMs": step.sleep.until}))
        elif step.completed is not None and not step.sleep:
            events.append((step.completed, *(("NodeFailed", key | {"error": step.errors[-1]}) if step.errors else ("NodeFinished", key))))
    events += [(at or 0, kind, dict(payload)) for kind, at, payload in messages]
    events.sort(key=lambda event: event[0])
    first = [] if run.started_at is None else [(run.started_at, "RunStarted", {"workflow": run.workflow})]
    last = [(run.finished_at or 0, _ENDS[run.status], {"status": run.status})] if run.status in _ENDS else []
    return [_event_row(run.run_id, seq, *event) for seq, event in enumerate((*first, *events, *last))]


def _event_row(run_id: str, seq: int, at: int, kind: str, payload: Mapping[str, Any]) -> EventRow:
    return EventRow(
        run_id=run_id,
        seq=seq,
        at=at or None,
        type=kind,
        category=event_category(kind),
        node_id=text_or_none(payload.get("nodeId")),
        iteration=whole(payload.get("iteration")),
        attempt=whole(payload.get("attempt")),
        payload=dump({"type": kind, "runId": run_id, **payload}),
    )
