"""The failure that mattered.

A run that failed has many errors: a wrapper on the run, the same error once per attempt, siblings that died of it, probes
that failed after the abort. `find_failure` gets everything one run left behind and gives back the one failure that no other
explains, with its cause chain and the rows that prove it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import orjson

from smithers_nb.diagnosis.failure.agent_errors import hidden_error, last_words, printed_error
from smithers_nb.diagnosis.failure.error_chain import ParsedError, parse_error, says_nothing
from smithers_nb.diagnosis.failure.order import by_start
from smithers_nb.diagnosis.failure.siblings import attempt_evidence, beside, earlier, what_did_not_start
from smithers_nb.diagnosis.failure.signature import signature
from smithers_nb.diagnosis.failure.stopped import stopped, stopped_cell
from smithers_nb.diagnosis.text.quotes import excerpt
from smithers_nb.model.verdict import Evidence, Failure, Link
from smithers_nb.model.vocabulary import SESSION_TURN
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import ApprovalRow, AttemptRow, RunRow
    from smithers_nb.sources.snapshot import Snapshot

_DEFERS_TO_ATTEMPTS = frozenset({None, "SESSION_ERROR", "WORKFLOW_EXECUTION_FAILED", "SCHEDULER_ERROR"})
"""Run-level codes that a failed attempt explains better; every other code is a structural error of the run itself."""

_FOLLOW_DEPTH = 8
_STOPS_MS = 60_000
"""Within this time after a person's request a process that ends was ended by it."""

K = TypeVar("K")


class NodeKey(NamedTuple):
    """A node in one loop iteration."""

    node_id: str
    iteration: int


def find_failure(snapshot: Snapshot) -> Failure:
    """Find the failure that mattered in a run, following it into child runs.

    Args:
        snapshot: Everything the run left behind.

    Returns:
        The failure; its `kind` is `none` when nothing in the store says what went wrong.
    """
    return _find(snapshot, parents=())


def attempt_signature(attempt: AttemptRow) -> str:
    """Fingerprint the error of one attempt, the same for every reader of the store."""
    parsed = parse_error(attempt.error)
    head = parsed.chain[0] if parsed.chain else Link(name=attempt.error_name, code=attempt.error_code, message=attempt.error_message or "")
    return signature(head.message, head.code or head.name)


def error_bearing(attempts: Iterable[AttemptRow]) -> list[AttemptRow]:
    """Keep attempts that failed, those included which a retry-task set aside or the engine filed as cancelled."""
    return [a for a in attempts if a.state == "failed" or (a.state == "cancelled" and a.error is not None)]


def without_echoes(snapshot: Snapshot, nodes: Mapping[K, list[AttemptRow]]) -> dict[K, list[AttemptRow]]:
    """Leave out the cells of a notebook that failed only because a stage in them did, with its very error, or a gate that was denied."""
    stages = {attempts[-1].error_message for attempts in nodes.values() if attempts[-1].kind == "stage"}
    denied = [f"denied {gate.node_id!r}" for gate in snapshot.approvals if gate.status == "denied"]

    def echoes(last: AttemptRow) -> bool:
        said = last.error_message or ""
        return last.kind == "cell" and (said in stages or any(words in said for words in denied))

    return {key: attempts for key, attempts in nodes.items() if not echoes(attempts[-1])}


def was_masked(attempt: AttemptRow, cancel_requested_at: int | None = None) -> bool:
    """Distinguish a failure that the engine recorded as a cancellation from a person's Ctrl-C.

    Source: Smithers 0.32 takes every message that matches `abort` for an abort. A cancel on request leaves no error on the
    attempt, and Ctrl-C leaves the CLI's signal handler in its stack. What ended after a cancel was asked for was ended by it.
    """
    if cancel_requested_at is not None and (attempt.finished_at or cancel_requested_at) >= cancel_requested_at:
        return False
    return attempt.state == "cancelled" and not attempt.reset and attempt.error is not None and "handleSignal" not in (attempt.error or "")


def is_of_the_run_itself(run: RunRow, failing: Iterable[str]) -> bool:
    """Return whether a run's own error is the failure, as with a deadlock, rather than the one of a failing node."""
    if run.status == "cancelled" or not run.error or str(as_object(run.error).get("source")).startswith("node:"):
        return False
    if run.error_code == "DEPENDENCY_DEADLOCK":
        return not any(f"'{node_id}'" in (run.error_message or "") for node_id in failing)
    return run.error_code not in _DEFERS_TO_ATTEMPTS


def denial(approval: ApprovalRow) -> Failure:
    """Describe a person's no: a decision, not a fault."""
    who = approval.decided_by or "somebody"
    message = f"approval {approval.node_id} was denied by {who}" + (f": {approval.note}" if approval.note else "")
    return Failure(
        run_id=approval.run_id,
        node_id=approval.node_id,
        iteration=approval.iteration,
        at=approval.decided_at,
        kind="denied",
        chain=(Link(code="APPROVAL_DENIED", message=message),),
        details={"decidedBy": approval.decided_by, "note": approval.note, "title": approval.title},
        signatures=(signature(f"approval {approval.node_id} was denied", "APPROVAL_DENIED"),),
        task_kind="approval",
    )


def _find(snapshot: Snapshot, parents: tuple[str, ...]) -> Failure:
    if (cell := stopped_cell(snapshot)) is not None:
        return stopped(snapshot, cell)
    run_error = parse_error(snapshot.run.error if snapshot.run.status in {"failed", "cancelled", "running"} else None)
    failed = _failed_nodes(snapshot)
    if blamed := _blamed_node(snapshot, failed):
        failed = {blamed: failed[blamed]}
    if is_of_the_run_itself(snapshot.run, {key.node_id for key in failed}):
        return _from_run(snapshot, run_error, parents, collateral=[key.node_id for key in failed])
    if failed:
        return _from_node(snapshot, failed, parents)
    if denied := _fatal_denials(snapshot):
        return _from_denial(snapshot, denied[-1], parents)
    if run_error.chain or run_error.details:
        return _from_run(snapshot, run_error, parents, collateral=[])
    return _from_events(snapshot, parents)


def _fatal_denials(snapshot: Snapshot) -> list[ApprovalRow]:
    """List the denied gates that failed their task; with `onDeny="continue"` a no is an answer like any other."""
    went_on = {(n.node_id, n.iteration) for n in snapshot.nodes if n.state in {"finished", "skipped"}}
    return [a for a in snapshot.approvals if a.status == "denied" and (a.node_id, a.iteration) not in went_on]


def _blamed_node(snapshot: Snapshot, failed: Mapping[NodeKey, list[AttemptRow]]) -> NodeKey | None:
    """Return the last turn of a session, which alone decides: after those that failed before it the person asked again."""
    named = str(as_object(snapshot.run.error).get("source") or "").removeprefix("node:")
    return next((key for key in failed if key.node_id == named and failed[key][-1].kind == SESSION_TURN), None)


def _failed_nodes(snapshot: Snapshot) -> dict[NodeKey, list[AttemptRow]]:
    """Group error-bearing attempts by node, keeping nodes whose failure still stands, in order of first failure."""
    states = {NodeKey(n.node_id, n.iteration): n.state for n in snapshot.nodes}
    grouped: dict[NodeKey, list[AttemptRow]] = {}
    for attempt in sorted(error_bearing(snapshot.attempts), key=lambda a: a.finished_at or a.started_at or 0):
        grouped.setdefault(NodeKey(attempt.node_id, attempt.iteration), []).append(attempt)
    standing = {
        key: attempts
        for key, attempts in grouped.items()
        if states.get(key, "failed") == "failed"
        or any(was_masked(a, snapshot.run.cancel_requested_at) for a in attempts)
        or _is_retrying(states.get(key))
    }
    unmasked = {key: attempts for key, attempts in standing.items() if any(a.state == "failed" for a in attempts)}
    return without_echoes(snapshot, unmasked or standing)


def _is_retrying(state: str | None) -> bool:
    return state in {"pending", "in-progress", "stalled"}


def _from_node(snapshot: Snapshot, failed: dict[NodeKey, list[AttemptRow]], parents: tuple[str, ...]) -> Failure:
    key = _root_node(snapshot, failed)
    attempts = sorted(failed[key], key=by_start)
    last = attempts[-1]
    parsed = parse_error(last.error)
    if followed := _follow_child(snapshot, parsed, parents):
        return followed
    parsed, evidence = _with_hidden_error(snapshot, last, parsed)
    if not parsed.chain and (logged := _from_events(snapshot, parents)).kind != "none":
        return logged
    others = [other.node_id for other in failed if other != key]
    signatures = tuple(attempt_signature(a) for a in attempts)
    details = {**parsed.details, **_asked_to_stop(snapshot.run, last)}
    return Failure(
        run_id=snapshot.run.run_id,
        node_id=key.node_id,
        iteration=key.iteration,
        attempt=last.attempt,
        at=last.finished_at or last.started_at,
        kind=_kind(last, parsed, told_by_agent=bool(evidence) and parsed.details.keys().isdisjoint({"answer", "lastWords"})),
        chain=parsed.chain,
        details=details,
        attempts=len(attempts),
        max_attempts=None if last.retries is None else last.retries + 1,
        signatures=signatures,
        task_kind=last.kind,
        label=next((n.label for n in snapshot.nodes if last.kind in {"cell", "notebook-cell"} and (n.node_id, n.iteration) == key), None),
        agent=last.engine or last.agent,
        model=last.model,
        collateral=tuple(dict.fromkeys(others)),
        parents=parents,
        evidence=(attempt_evidence(last), *evidence, *_run_evidence(snapshot), *earlier(attempts, signatures), *beside(failed, key)),
    )


def _asked_to_stop(run: RunRow, last: AttemptRow) -> dict[str, str]:
    """Name what a person had asked of the run when a task ended: a process that is ended for it reports an exit status like any other."""
    asked = {"cancel": run.cancel_requested_at, "pause": run.pause_requested_at, "hijack": run.hijack_requested_at}
    ended = last.finished_at or 0
    return next(({"stopRequested": what} for what, at in asked.items() if at is not None and 0 <= ended - at <= _STOPS_MS), {})


def _kind(attempt: AttemptRow, parsed: ParsedError, *, told_by_agent: bool) -> str:
    if was_masked(attempt):
        return "masked-cancel"
    if told_by_agent:
        return "agent-event"
    return "attempt" if parsed.chain else "none"


def _root_node(snapshot: Snapshot, failed: dict[NodeKey, list[AttemptRow]]) -> NodeKey:
    """Choose the first failing node in time that does not depend on another one; one the run names wins a tie.

    A task that may fail (`continueOnFail`) did not fail the run, nor did it hold up what came after it, unless nothing else failed.
    """
    killing = {key: attempts for key, attempts in failed.items() if not snapshot.may_fail(*key)} or failed
    upstream = upstream_of(snapshot)
    names = {key.node_id for key in killing}
    free = [key for key in killing if not (upstream(key.node_id) & (names - {key.node_id}))] or list(killing)
    blamed = snapshot.run.error_message or ""
    first = min(free, key=lambda key: (killing[key][0].finished_at or 0, f"Task failed: {key.node_id}" not in blamed))
    return what_did_not_start(killing, first) or first


def upstream_of(snapshot: Snapshot) -> Callable[[str], set[str]]:
    """Return a function that names everything a node waits for, directly or not."""
    direct: dict[str, set[str]] = {}
    for task in snapshot.tasks:
        direct.setdefault(task.node_id, set()).update(names_in(task.depends_on))

    def all_upstream(node_id: str) -> set[str]:
        seen: set[str] = set()
        todo = [node_id]
        while todo:
            new = direct.get(todo.pop(), set()) - seen
            seen |= new
            todo.extend(new)
        return seen

    return all_upstream


def names_in(depends_on: str | None) -> list[str]:
    """Read the list of node ids in `TaskRow.depends_on`."""
    return list(orjson.loads(depends_on)) if depends_on else []


def _follow_child(snapshot: Snapshot, parsed: ParsedError, parents: tuple[str, ...]) -> Failure | None:
    """Go down to the child run when a failure only says that one failed."""
    child_id = parsed.details.get("childRunId")
    if not child_id or len(parents) >= _FOLLOW_DEPTH:
        return None
    child = next((c for c in snapshot.children if c.run.run_id == child_id and c.run.status != "finished"), None)
    if child is None:
        return None
    found = _find(child, (*parents, snapshot.run.run_id))
    wrapper = _run_evidence(snapshot)
    return replace(found, evidence=(*_prefixed(found), *wrapper)) if found.kind != "none" else None


def _prefixed(failure: Failure) -> tuple[Evidence, ...]:
    """Name in each reference the run it belongs to, once the failure was followed out of the target."""

    def prefixed(e: Evidence) -> Evidence:
        follows = e.ref.startswith("run:") or "/" in e.ref.partition(":")[0]
        return e if follows else replace(e, ref=f"{failure.run_id}/{e.ref}")

    return tuple(prefixed(e) for e in failure.evidence)


def _with_hidden_error(snapshot: Snapshot, attempt: AttemptRow, parsed: ParsedError) -> tuple[ParsedError, tuple[Evidence, ...]]:
    """Put the text that only the agent's event stream kept in front of a message that says nothing."""
    head = parsed.chain[0].message if parsed.chain else ""
    found = None
    if attempt.kind in {None, "agent"}:
        found = hidden_error(snapshot.agent_events, attempt, head) or printed_error(snapshot, attempt, head)
    if found is None:
        said = last_words(snapshot, attempt, parsed.chain[0].code if parsed.chain else None)
        return (ParsedError(parsed.chain, {**parsed.details, said[0]: said[1].quote}), (said[1],)) if said else (parsed, ())
    link = Link(name=None, code=parsed.chain[0].code if parsed.chain else None, message=found.quote)
    return ParsedError((link, *parsed.chain), parsed.details), (found,)


def _from_run(snapshot: Snapshot, parsed: ParsedError, parents: tuple[str, ...], collateral: list[str]) -> Failure:
    """Describe an error of the run itself: a deadlock, a duplicate id, a render that threw, a damaged store."""
    head = parsed.chain[0] if parsed.chain else Link(message=snapshot.run.error_message or "")
    node = parsed.details.get("nodeId")
    return Failure(
        run_id=snapshot.run.run_id,
        node_id=node if isinstance(node, str) else None,
        at=snapshot.run.finished_at,
        kind="run",
        chain=parsed.chain,
        details=parsed.details,
        signatures=(signature(head.message, head.code or head.name),),
        collateral=tuple(dict.fromkeys(collateral)),
        parents=parents,
        evidence=_run_evidence(snapshot),
    )


def _from_denial(snapshot: Snapshot, denied: ApprovalRow, parents: tuple[str, ...]) -> Failure:
    ref = f"approval:{denied.node_id}/{denied.iteration}"
    refused = Evidence(ref=ref, quote=excerpt(denied.note or denied.status), note=f"denied by {denied.decided_by or 'somebody'}")
    return replace(denial(denied), parents=parents, evidence=(refused, *_run_evidence(snapshot)))


def _from_events(snapshot: Snapshot, parents: tuple[str, ...]) -> Failure:
    """Fall back to the event log, which may have kept what the rows lost."""
    for event in reversed(snapshot.events):
        if event.type not in {"NodeFailed", "RunFailed"}:
            continue
        payload = as_object(event.payload)
        parsed = parse_error(orjson.dumps(payload.get("error")).decode()) if payload.get("error") else ParsedError((), {})
        if parsed.chain and not says_nothing(parsed.chain[0].message):
            head = parsed.chain[0]
            return Failure(
                run_id=snapshot.run.run_id,
                node_id=event.node_id,
                iteration=event.iteration or 0,
                attempt=event.attempt,
                at=event.at,
                kind="task-event",
                chain=parsed.chain,
                details=parsed.details,
                signatures=(signature(head.message, head.code or head.name),),
                parents=parents,
                evidence=(Evidence(ref=f"event:{event.seq}", quote=excerpt(head.message)),),
            )
    node = next((n for n in snapshot.nodes if n.state == "failed"), None)
    return Failure(
        run_id=snapshot.run.run_id,
        node_id=node.node_id if node else None,
        iteration=node.iteration if node else 0,
        at=snapshot.run.finished_at,
        kind="none",
        parents=parents,
        evidence=(Evidence(ref=f"run:{snapshot.run.run_id}", quote=snapshot.run.status, note="no error is recorded"),),
    )


def _run_evidence(snapshot: Snapshot) -> tuple[Evidence, ...]:
    run = snapshot.run
    return (Evidence(ref=f"run:{run.run_id}", quote=excerpt(run.error_message), note=f"status {run.status}"),) if run.error_message else ()
