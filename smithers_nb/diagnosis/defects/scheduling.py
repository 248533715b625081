"""What the engine failed to prevent: work before its approval, false success, an engine that is alive and does nothing.

Each detector gets a case and yields defects whose quotes occur in the rows they name; `defects` puts them together.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.error_chain import clean_message
from smithers_nb.diagnosis.state.stagnation import in_words, said_in_the_loop
from smithers_nb.diagnosis.text.quotes import of_attempt, of_event, of_gate, of_node, of_run
from smithers_nb.model.timestamps import span
from smithers_nb.model.verdict import Defect
from smithers_nb.redact import short_line
from smithers_nb.sources.stores.json_text import as_object, as_texts

if TYPE_CHECKING:
    from smithers_nb.diagnosis.state.conditions import Case
    from smithers_nb.model.rows import EventRow, TaskRow

    _Firsts = dict[tuple[str, str, int], EventRow]

_DECISIONS: Final = frozenset({"ApprovalGranted", "ApprovalAutoApproved"})
_UNFINISHED: Final = frozenset({"pending", "in-progress"})
_SHOWN: Final = 5


def work_before_approval(case: Case) -> Iterator[Defect]:
    """Tasks that ran before the gate in front of them was asked for or decided.

    A gate holds back what the graph says depends on it. An asynchronous gate holds back nothing by itself: a task that names it in
    `needs` alone runs at once, and the graph does not show that it was meant to wait.
    """
    gates = [task for task in case.snapshot.tasks if task.kind == "approval"]
    first = _first_events(case) if gates else {}
    for task in case.snapshot.tasks if gates else ():
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
                        of_event(started, note=f"{task.node_id} starts"),
                        of_event(asked, note=f"{gate.node_id} is asked for"),
                    ),
                )


def finished_with_failed_children(case: Case) -> Iterator[Defect]:
    """Runs that count as finished although tasks in them failed."""
    ended = [event for event in case.snapshot.events if event.type == "RunFinished"]
    if case.run.status != "finished" or not ended:
        return
    payload = as_object(ended[-1].payload)
    count = payload.get("failedChildren")
    if isinstance(count, int) and count:
        keys = payload.get("failedChildKeys")
        named = ", ".join(str(key) for key in keys[:_SHOWN]) if isinstance(keys, list) else "tasks that are not named"
        yield Defect(
            kind="finished-with-failed-children",
            summary=f"the run counts as finished although {count} task(s) failed: {named}",
            evidence=(of_event(ended[-1], f'"failedChildren":{count}'),),
        )


def finished_with_unfinished_tasks(case: Case) -> Iterator[Defect]:
    """Runs that count as finished although tasks of their last graph never ran."""
    mounted = {(task.node_id, task.iteration) for task in case.snapshot.tasks}
    left = [node for node in case.snapshot.nodes if node.state in _UNFINISHED and (node.node_id, node.iteration) in mounted]
    if case.run.status == "finished" and left:
        yield Defect(
            kind="finished-with-pending-nodes",
            summary=f"the run counts as finished although {len(left)} task(s) are not: {', '.join(node.node_id for node in left[:_SHOWN])}",
            evidence=tuple(of_node(node) for node in left[:_SHOWN]),
        )


def zombies(case: Case) -> Iterator[Defect]:
    """Engines that write their heartbeat and do nothing else."""
    if case.is_zombie:
        yield Defect(
            kind="zombie",
            summary=f"the heartbeat is fresh, but nothing has happened for {span(case.quiet_ms)} and nothing is in progress or awaited",
            evidence=(of_run(case.run, note="the engine swallows errors of its own store"),),
        )


def retry_storms(case: Case) -> Iterator[Defect]:
    """Tasks that fail the same way again and again under retries without limit."""
    for tries in case.retry_storms:
        error = short_line(clean_message(tries.last.error_message or "no message"))
        yield Defect(
            kind="retry-storm",
            summary=f"{tries.node_id} failed the same way {tries.streak} times in a row and has no limit of attempts: {error}",
            evidence=(of_attempt(tries.last),),
        )


def repeating_loops(case: Case) -> Iterator[Defect]:
    """Loops whose reviewer says the same no round after round."""
    if same := case.stagnant:
        yield Defect(kind="loop-repeats", summary=in_words(same), evidence=(said_in_the_loop(same),))


def supervisor_loops(case: Case) -> Iterator[Defect]:
    """Automatic resumes one after the other, none of which started anything."""
    kinds = {"RunAutoResumed", "NodeStarted", "RunStarted"}
    moves = [event for event in case.snapshot.events if event.type in kinds]
    idle = [b for a, b in pairwise(moves) if a.type == b.type == "RunAutoResumed"]
    if idle:
        yield Defect(
            kind="supervisor-loop",
            summary=f"{len(idle) + 1} automatic resumes in a row started nothing",
            evidence=tuple(of_event(event) for event in idle[:_SHOWN]),
        )


def rewound_runs(case: Case) -> Iterator[Defect]:
    """Runs rewound to an earlier frame that say `running` while no process is running them."""
    if jump := case.rewound:
        yield Defect(
            kind="rewound-run-looks-running",
            summary="after a rewind the run is marked running without an owner; Smithers' inspect, status and why disagree on it",
            evidence=(of_event(jump),),
        )


def gates_of_ended_runs(case: Case) -> Iterator[Defect]:
    """Gates still open in a run that has ended: an inbox shows them, a decision changes nothing."""
    for gate in case.open_gates if case.is_over else ():
        yield Defect(
            kind="gate-of-ended-run",
            summary=f"the gate {gate.node_id} is still open, but the run is {case.run.status}; deciding it changes nothing",
            evidence=(of_gate(gate),),
        )


def lost_request_times(case: Case) -> Iterator[Defect]:
    """Decided gates whose request time is no longer in any row."""
    for gate in case.snapshot.approvals:
        if gate.status != "requested" and gate.requested_at is None and not gate.auto_approved:
            yield Defect(
                kind="request-time-lost",
                summary=f"the time at which {gate.node_id} was requested is lost: deciding it erased the time, and the event is missing",
                evidence=(of_gate(gate),),
            )


def _bypassed(first: _Firsts, task: TaskRow, gate: TaskRow, started: EventRow) -> str:
    """Return how a task got past a gate; nothing when it did not, or when the gate was never requested."""
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


def _first_events(case: Case) -> _Firsts:
    """Index the first event of each type of each node and iteration."""
    first: _Firsts = {}
    for event in case.snapshot.events:
        if event.node_id is not None:
            first.setdefault((event.type, event.node_id, event.iteration or 0), event)
    return first
