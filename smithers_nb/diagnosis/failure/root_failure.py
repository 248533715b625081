"""The failure that mattered.

A failed run has many errors: a wrapper on the run, the same error once per attempt, siblings that failed because of it, probes that
failed after the abort. `find_failure` returns the one failure that no other explains, with its cause chain and the rows that prove it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import orjson

from smithers_nb.diagnosis.failure.agent_errors import hidden_error, last_words, printed_error
from smithers_nb.diagnosis.failure.error_chain import ParsedError, parse_error, says_nothing
from smithers_nb.diagnosis.failure.order import by_start
from smithers_nb.diagnosis.failure.siblings import attempt_evidence, earlier_failures, failed_start, other_failures
from smithers_nb.diagnosis.failure.signature import signature
from smithers_nb.diagnosis.failure.stopped import stopped, stopped_cell
from smithers_nb.diagnosis.text.quotes import in_run, of_run, quoted
from smithers_nb.model.verdict import Failure, Link
from smithers_nb.model.vocabulary import SESSION_TURN
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import ApprovalRow, AttemptRow, RunRow
    from smithers_nb.model.verdict import Evidence
    from smithers_nb.sources.snapshot import Snapshot

_DEFERS_TO_ATTEMPTS = frozenset({None, "SESSION_ERROR", "WORKFLOW_EXECUTION_FAILED", "SCHEDULER_ERROR"})
"""Codes of a run's error that a failed attempt explains better; every other code is a structural error of the run itself."""

_MAX_DEPTH = 8
_MAX_STOPPING_MS = 60_000
"""A process that ends within this time after a person asked it to stop was ended by that request."""

K = TypeVar("K")


class NodeKey(NamedTuple):
    """A node in one iteration of its loop."""

    node_id: str
    iteration: int


def find_failure(snapshot: Snapshot) -> Failure:
    """Return the failure that mattered in a run, following it into child runs.

    Args:
        snapshot: Everything the run left behind.

    Returns:
        The failure; its `kind` is `none` when nothing in the store says what went wrong.
    """
    return _find(snapshot, parents=())


def attempt_signature(attempt: AttemptRow) -> str:
    """Return the fingerprint of one attempt's error, which is the same wherever the store is read."""
    parsed = parse_error(attempt.error)
    head = parsed.chain[0] if parsed.chain else Link(name=attempt.error_name, code=attempt.error_code, message=attempt.error_message or "")
    return signature(head.message, head.code or head.name)


def error_bearing(attempts: Iterable[AttemptRow]) -> list[AttemptRow]:
    """Return the attempts that failed, including those that a retry-task set aside or the engine recorded as cancelled."""
    return [a for a in attempts if a.state == "failed" or (a.state == "cancelled" and a.error is not None)]


def without_echoes(snapshot: Snapshot, nodes: Mapping[K, list[AttemptRow]]) -> dict[K, list[AttemptRow]]:
    """Return the nodes without notebook cells that only repeat the error of a stage or a denied gate inside them."""
    stages = {attempts[-1].error_message for attempts in nodes.values() if attempts[-1].kind == "stage"}
    denied = [f"denied {gate.node_id!r}" for gate in snapshot.approvals if gate.status == "denied"]

    def echoes(last: AttemptRow) -> bool:
        message = last.error_message or ""
        return last.kind == "cell" and (message in stages or any(words in message for words in denied))

    return {key: attempts for key, attempts in nodes.items() if not echoes(attempts[-1])}


def was_masked(attempt: AttemptRow, cancel_requested_at: int | None = None) -> bool:
    """Return whether a cancelled attempt is in fact a failure, which the engine recorded as a cancellation.

    Source: Smithers 0.32 takes every message that matches `abort` for an abort. A cancel on request leaves no error on the attempt, and
    Ctrl-C leaves the CLI's signal handler in its stack. An attempt that ended after a cancel was requested was ended by it.
    """
    if cancel_requested_at is not None and (attempt.finished_at or cancel_requested_at) >= cancel_requested_at:
        return False
    return attempt.state == "cancelled" and not attempt.reset and attempt.error is not None and "handleSignal" not in (attempt.error or "")


def is_of_the_run_itself(run: RunRow, failing: Iterable[str]) -> bool:
    """Return whether a run's own error is the failure, as with a deadlock, rather than the error of a failing node."""
    if run.status == "cancelled" or not run.error or str(as_object(run.error).get("source")).startswith("node:"):
        return False
    if run.error_code == "DEPENDENCY_DEADLOCK":
        return not any(f"'{node_id}'" in (run.error_message or "") for node_id in failing)
    return run.error_code not in _DEFERS_TO_ATTEMPTS


def denial(approval: ApprovalRow) -> Failure:
    """Return the failure for a gate that a person denied, which is a decision and not a fault."""
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
    """Return the denied gates that failed their task; with `onDeny="continue"` a denial is an answer like any other."""
    continued = {(n.node_id, n.iteration) for n in snapshot.nodes if n.state in {"finished", "skipped"}}
    return [a for a in snapshot.approvals if a.status == "denied" and (a.node_id, a.iteration) not in continued]


def _blamed_node(snapshot: Snapshot, failed: Mapping[NodeKey, list[AttemptRow]]) -> NodeKey | None:
    """Return the turn that a session's error names; earlier turns that failed do not count, because the person asked again."""
    named = str(as_object(snapshot.run.error).get("source") or "").removeprefix("node:")
    return next((key for key in failed if key.node_id == named and failed[key][-1].kind == SESSION_TURN), None)


def _failed_nodes(snapshot: Snapshot) -> dict[NodeKey, list[AttemptRow]]:
    """Return the failed attempts of each node whose failure still stands, ordered by the node's first failure."""
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
    signatures = tuple(attempt_signature(a) for a in attempts)
    return Failure(
        run_id=snapshot.run.run_id,
        node_id=key.node_id,
        iteration=key.iteration,
        attempt=last.attempt,
        at=last.finished_at or last.started_at,
        kind=_kind(last, parsed, from_agent=bool(evidence) and parsed.details.keys().isdisjoint({"answer", "lastWords"})),
        chain=parsed.chain,
        details={**parsed.details, **_stop_request(snapshot.run, last)},
        attempts=len(attempts),
        max_attempts=None if last.retries is None else last.retries + 1,
        signatures=signatures,
        task_kind=last.kind,
        label=next((n.label for n in snapshot.nodes if last.kind in {"cell", "notebook-cell"} and (n.node_id, n.iteration) == key), None),
        agent=last.engine or last.agent,
        model=last.model,
        collateral=tuple(dict.fromkeys(other.node_id for other in failed if other != key)),
        parents=parents,
        evidence=(
            attempt_evidence(last),
            *evidence,
            *_run_evidence(snapshot),
            *earlier_failures(attempts, signatures),
            *other_failures(failed, key),
        ),
    )


def _stop_request(run: RunRow, last: AttemptRow) -> dict[str, str]:
    """Return a person's request to stop that came just before a task ended; its exit status alone would not show that."""
    requested = {"cancel": run.cancel_requested_at, "pause": run.pause_requested_at, "hijack": run.hijack_requested_at}
    ended = last.finished_at or 0
    return next(({"stopRequested": what} for what, at in requested.items() if at is not None and 0 <= ended - at <= _MAX_STOPPING_MS), {})


def _kind(attempt: AttemptRow, parsed: ParsedError, *, from_agent: bool) -> str:
    if was_masked(attempt):
        return "masked-cancel"
    if from_agent:
        return "agent-event"
    return "attempt" if parsed.chain else "none"


def _root_node(snapshot: Snapshot, failed: dict[NodeKey, list[AttemptRow]]) -> NodeKey:
    """Return the first node to fail that does not depend on another failed one; in a tie, the one that the run's error names.

    A task that may fail (`continueOnFail`) neither failed the run nor held up what came after it, unless nothing else failed.
    """
    killing = {key: attempts for key, attempts in failed.items() if not snapshot.may_fail(*key)} or failed
    upstream = upstream_of(snapshot)
    names = {key.node_id for key in killing}
    free = [key for key in killing if not (upstream(key.node_id) & (names - {key.node_id}))] or list(killing)
    blamed = snapshot.run.error_message or ""
    first = min(free, key=lambda key: (killing[key][0].finished_at or 0, f"Task failed: {key.node_id}" not in blamed))
    return failed_start(killing, first) or first


def upstream_of(snapshot: Snapshot) -> Callable[[str], set[str]]:
    """Return a function that returns everything a node waits for, directly or indirectly."""
    direct: dict[str, set[str]] = {}
    for task in snapshot.tasks:
        direct.setdefault(task.node_id, set()).update(names_in(task.depends_on))

    def all_upstream(node_id: str) -> set[str]:
        upstream: set[str] = set()
        todo = [node_id]
        while todo:
            new = direct.get(todo.pop(), set()) - upstream
            upstream |= new
            todo.extend(new)
        return upstream

    return all_upstream


def names_in(depends_on: str | None) -> list[str]:
    """Parse the list of node ids in `TaskRow.depends_on`."""
    return list(orjson.loads(depends_on)) if depends_on else []


def _follow_child(snapshot: Snapshot, parsed: ParsedError, parents: tuple[str, ...]) -> Failure | None:
    """Return the failure inside a child run, when an error only says that the child failed."""
    child_id = parsed.details.get("childRunId")
    if not child_id or len(parents) >= _MAX_DEPTH:
        return None
    child = next((c for c in snapshot.children if c.run.run_id == child_id and c.run.status != "finished"), None)
    if child is None:
        return None
    inner = _find(child, (*parents, snapshot.run.run_id))
    if inner.kind == "none":
        return None
    return replace(inner, evidence=(*in_run(inner.evidence, inner.run_id), *_run_evidence(snapshot)))


def _with_hidden_error(snapshot: Snapshot, attempt: AttemptRow, parsed: ParsedError) -> tuple[ParsedError, tuple[Evidence, ...]]:
    """Return the error with what the agent itself reported, where the recorded message says nothing, and the rows that show it."""
    head = parsed.chain[0].message if parsed.chain else ""
    code = parsed.chain[0].code if parsed.chain else None
    hidden = None
    if attempt.kind in {None, "agent"}:
        hidden = hidden_error(snapshot.agent_events, attempt, head) or printed_error(snapshot, attempt, head)
    if hidden is not None:
        return ParsedError((Link(name=None, code=code, message=hidden.quote), *parsed.chain), parsed.details), (hidden,)
    if words := last_words(snapshot, attempt, code):
        key, quote = words
        return ParsedError(parsed.chain, {**parsed.details, key: quote.quote}), (quote,)
    return parsed, ()


def _from_run(snapshot: Snapshot, parsed: ParsedError, parents: tuple[str, ...], collateral: list[str]) -> Failure:
    """Return the failure for an error of the run itself: a deadlock, a duplicate id, a render that threw, a damaged store."""
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
    note = f"denied by {denied.decided_by or 'somebody'}"
    decision = quoted(f"approval:{denied.node_id}/{denied.iteration}", denied.note or denied.status, note)
    return replace(denial(denied), parents=parents, evidence=(decision, *_run_evidence(snapshot)))


def _from_events(snapshot: Snapshot, parents: tuple[str, ...]) -> Failure:
    """Return the failure that the event log recorded and the rows lost; one of kind `none` when it has none either."""
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
                evidence=(quoted(f"event:{event.seq}", head.message),),
            )
    node = next((n for n in snapshot.nodes if n.state == "failed"), None)
    return Failure(
        run_id=snapshot.run.run_id,
        node_id=node.node_id if node else None,
        iteration=node.iteration if node else 0,
        at=snapshot.run.finished_at,
        kind="none",
        parents=parents,
        evidence=(of_run(snapshot.run, note="no error is recorded"),),
    )


def _run_evidence(snapshot: Snapshot) -> tuple[Evidence, ...]:
    run = snapshot.run
    return (of_run(run, run.error_message, f"status {run.status}"),) if run.error_message else ()
