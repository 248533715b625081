"""What the engine let happen: work before its approval, success that is none, an engine that lives and does nothing.

Each detector gets a run and `now` and yields defects whose quotes occur in the rows they name; `defects` puts them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.error_chain import clean_message
from smithers_nb.diagnosis.state.health import run_state
from smithers_nb.diagnosis.state.progress import is_idle, is_over, last_activity, rewound, unfinished_tries
from smithers_nb.diagnosis.text.durations import cut, span
from smithers_nb.diagnosis.text.quotes import quoted
from smithers_nb.model.verdict import Defect, Evidence
from smithers_nb.sources.stores.json_text import as_object, as_texts

if TYPE_CHECKING:
    from smithers_nb.model.rows import EventRow, TaskRow
    from smithers_nb.sources.snapshot import Snapshot

    _Firsts = dict[tuple[str, str, int], EventRow]

_DECISIONS: Final = frozenset({"ApprovalGranted", "ApprovalAutoApproved"})
_UNFINISHED: Final = frozenset({"pending", "in-progress"})
_SHOWN: Final = 5


def work_before_approval(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Tasks that ran before the gate in front of them was asked for or decided.

    A gate holds back what the graph says depends on it. An asynchronous gate holds back nothing by itself: a task that names it in
    `needs` alone runs at once, and the graph does not show that it was meant to wait.
    """
    del now
    gates = [task for task in snapshot.tasks if task.kind == "approval"]
    first = _first_events(snapshot) if gates else {}
    for task in snapshot.tasks if gates else ():
        started = first.get(("NodeStarted", task.node_id, task.iteration))
        if started is None or task.kind == "approval":
            continue
        for gate in gates:
            if why := _bypassed(first, task, gate, started):
                asked = first["ApprovalRequested", gate.node_id, gate.iteration]
                yield Defect(
                    kind="ran-before-approval",
                    summary=f"{task.node_id} started before the approval {gate.node_id} was {why}",
                    evidence=(
                        Evidence(ref=f"event:{started.seq}", quote="NodeStarted", note=f"{task.node_id} starts"),
                        Evidence(ref=f"event:{asked.seq}", quote="ApprovalRequested", note=f"{gate.node_id} is asked for"),
                    ),
                )


def finished_with_failed_children(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Runs that count as finished although tasks in them failed."""
    del now
    ended = [event for event in snapshot.events if event.type == "RunFinished"]
    if snapshot.run.status != "finished" or not ended:
        return
    payload = as_object(ended[-1].payload)
    count = payload.get("failedChildren")
    if isinstance(count, int) and count:
        keys = payload.get("failedChildKeys")
        named = ", ".join(str(key) for key in keys[:_SHOWN]) if isinstance(keys, list) else "tasks that are not named"
        yield Defect(
            kind="finished-with-failed-children",
            summary=f"the run counts as finished although {count} task(s) failed: {named}",
            evidence=(Evidence(ref=f"event:{ended[-1].seq}", quote=_literal(ended[-1], f'"failedChildren":{count}')),),
        )


def finished_with_unfinished_tasks(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Runs that count as finished although tasks of their last graph never ran."""
    del now
    mounted = {(task.node_id, task.iteration) for task in snapshot.tasks}
    left = [node for node in snapshot.nodes if node.state in _UNFINISHED and (node.node_id, node.iteration) in mounted]
    if snapshot.run.status == "finished" and left:
        yield Defect(
            kind="finished-with-pending-nodes",
            summary=f"the run counts as finished although {len(left)} task(s) are not: {', '.join(node.node_id for node in left[:_SHOWN])}",
            evidence=tuple(Evidence(ref=f"node:{node.node_id}/{node.iteration}", quote=node.state) for node in left[:_SHOWN]),
        )


def zombies(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Engines that write their heartbeat and do nothing else, for ever."""
    run = snapshot.run
    if run.cancel_requested_at is None and run_state(run, now) == "running" and not rewound(snapshot) and is_idle(snapshot, now):
        quiet = span(now - last_activity(snapshot))
        yield Defect(
            kind="zombie",
            summary=f"the heartbeat is fresh, but nothing has happened for {quiet} and nothing is in progress or awaited",
            evidence=(Evidence(ref=f"run:{run.run_id}", quote=run.status, note="the engine swallows errors of its own store"),),
        )


def retry_storms(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Tasks that fail the same way again and again under retries without end."""
    del now
    for tries in unfinished_tries(snapshot):
        if tries.hopeless:
            ref = f"attempt:{tries.node_id}/{tries.iteration}/{tries.last.attempt}"
            said = cut(clean_message(tries.last.error_message or "no message"))
            yield Defect(
                kind="retry-storm",
                summary=f"{tries.node_id} failed the same way {tries.streak} times in a row and has no limit of attempts: {said}",
                evidence=(quoted(ref, tries.last.error_message or tries.last.state),),
            )


def supervisor_loops(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Automatic resumes one after the other, none of which started anything."""
    del now
    kinds = {"RunAutoResumed", "NodeStarted", "RunStarted"}
    moves = [event for event in snapshot.events if event.type in kinds]
    idle = [b for a, b in pairwise(moves) if a.type == b.type == "RunAutoResumed"]
    if idle:
        yield Defect(
            kind="supervisor-loop",
            summary=f"{len(idle) + 1} automatic resumes in a row started nothing",
            evidence=tuple(Evidence(ref=f"event:{event.seq}", quote="RunAutoResumed") for event in idle[:_SHOWN]),
        )


def rewound_runs(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Runs set back to an earlier frame that say `running` while nobody drives them."""
    del now
    if jump := rewound(snapshot):
        yield Defect(
            kind="rewound-run-looks-running",
            summary="after a rewind the run is marked running without an owner; Smithers' inspect, status and why disagree on it",
            evidence=(Evidence(ref=f"event:{jump.seq}", quote="TimeTravelJumped"),),
        )


def gates_of_ended_runs(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Gates still asked for in a run that is over: an inbox shows them, a decision changes nothing."""
    del now
    for gate in snapshot.approvals if is_over(snapshot.run) else ():
        if gate.status == "requested":
            yield Defect(
                kind="gate-of-ended-run",
                summary=f"the gate {gate.node_id} is still asked for, but the run is {snapshot.run.status}; deciding it changes nothing",
                evidence=(Evidence(ref=f"approval:{gate.node_id}/{gate.iteration}", quote=gate.status),),
            )


def lost_request_times(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Decided gates of which no row says any more when they were asked for."""
    del now
    for gate in snapshot.approvals:
        if gate.status != "requested" and gate.requested_at is None and not gate.auto_approved:
            yield Defect(
                kind="request-time-lost",
                summary=f"nothing says when {gate.node_id} was asked for: deciding it erased the time, and the event is not there",
                evidence=(Evidence(ref=f"approval:{gate.node_id}/{gate.iteration}", quote=gate.status),),
            )


def _bypassed(first: _Firsts, task: TaskRow, gate: TaskRow, started: EventRow) -> str:
    """Say how a task got past a gate; nothing when it did not, or when the gate was never asked for."""
    asked = first.get(("ApprovalRequested", gate.node_id, gate.iteration))
    if asked is None:
        return ""
    if gate.node_id in as_texts(task.depends_on):
        granted = [first[key] for kind in _DECISIONS if (key := (kind, gate.node_id, gate.iteration)) in first]
        if started.seq < asked.seq:
            return "asked for, although it depends on it"
        return "decided, although it depends on it" if any(started.seq < event.seq for event in granted) else ""
    is_async = as_object(gate.props).get("waitAsync") in {"true", True}
    follows = task.ordinal > gate.ordinal and task.within == gate.within and task.iteration == gate.iteration
    if not (is_async and follows and started.seq < asked.seq):
        return ""
    return (
        "asked for, and follows it in the workflow; an asynchronous gate holds back only what has `dependsOn` or `deps` on it, "
        "not `needs` alone"
    )


def _first_events(snapshot: Snapshot) -> _Firsts:
    """Index the first event of each type of each node and iteration."""
    first: _Firsts = {}
    for event in snapshot.events:
        if event.node_id is not None:
            first.setdefault((event.type, event.node_id, event.iteration or 0), event)
    return first


def _literal(event: EventRow, quote: str) -> str:
    return quote if quote in (event.payload or "") else event.type
