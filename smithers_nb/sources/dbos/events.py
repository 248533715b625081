"""The course of a DBOS workflow as events, told from the times in its tables: DBOS keeps no log."""

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


def event_rows(run: RunRow, steps: Iterable[Step], said: Iterable[tuple[str, int | None, Mapping[str, Any]]]) -> list[EventRow]:
    """Distinguish a workflow's story in order of time from what its tables say.

    Args:
        run: The workflow.
        steps: Its steps.
        said: Type, time and payload of what else happened: events set, messages received, streams written.
    """
    story: list[tuple[int, str, dict[str, Any]]] = []
    for step in steps:
        key = {"nodeId": step.node_id, "iteration": step.iteration, "attempt": max(1, len(step.errors)), "functionId": step.function_id}
        key |= {"childRunId": step.child} if step.child else {}
        story.append((step.started or 0, "NodeStarted", key))
        if step.sleep and not step.sleep.waits:
            story.append((step.started or 0, "NodeWaitingTimer", key | {"firesAtMs": step.sleep.until}))
        elif step.completed is not None and not step.sleep:
            story.append((step.completed, *(("NodeFailed", key | {"error": step.errors[-1]}) if step.errors else ("NodeFinished", key))))
    story += [(at or 0, kind, dict(payload)) for kind, at, payload in said]
    story.sort(key=lambda line: line[0])
    first = [] if run.started_at is None else [(run.started_at, "RunStarted", {"workflow": run.workflow})]
    last = [(run.finished_at or 0, _ENDS[run.status], {"status": run.status})] if run.status in _ENDS else []
    return [_event(run.run_id, seq, *line) for seq, line in enumerate((*first, *story, *last))]


def _event(run_id: str, seq: int, at: int, kind: str, payload: Mapping[str, Any]) -> EventRow:
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
