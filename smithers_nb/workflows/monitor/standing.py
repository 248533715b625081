"""What an operator always asks of a run: questions and answers, gates and decisions, outputs, scores.

Gets the snapshot of one run; gives findings. Each question is listed once: the gate that an engine keeps beside a question is not a
second one, and a gate that only its output row knows is a gate all the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final

import orjson

from smithers_nb.model.timestamps import epoch_ms
from smithers_nb.model.vocabulary import logical_id
from smithers_nb.redact import redact, redact_value, short_line
from smithers_nb.sources.stores.json_text import as_object, parse
from smithers_nb.workflows.monitor.results import Answered, Gate, KeyOutput, Score

if TYPE_CHECKING:
    from smithers_nb.model.rows import ApprovalRow, NodeRow, OutputRow, QuestionRow, SignalRow
    from smithers_nb.sources.snapshot import Snapshot

_Key = tuple[str, int]

_AUTO: Final = "auto"
_GATE_COLUMNS: Final = frozenset({"approved", "note", "decided_by", "decided_at"})
"""Columns of the row in which every engine of Smithers' kind keeps a decision; a skipped gate has that row and nothing else."""

_DECIDED: Final = {"approved": True, "denied": False}
_WAITS: Final = frozenset({"wait", "wait-for-event", "signal"})
_VALUE: Final = 4_000
_TEXT: Final = 4_000


def questions(snapshot: Snapshot) -> tuple[Answered, ...]:
    """List every question to a person and every signal, oldest first, with its answer and who gave it."""
    outputs = _outputs(snapshot)
    asked = [_question(row, outputs) for row in snapshot.questions]
    known = {(row.node_id, row.iteration) for row in snapshot.questions}
    lost = [_unrecorded(gate, outputs) for gate in snapshot.approvals if gate.for_question and _key(gate) not in known]
    found = [*asked, *lost, *_signals(snapshot, known, outputs)]
    return tuple(sorted(found, key=lambda item: (item.asked_at or item.answered_at or 0, item.node_id, item.iteration)))


def gates(snapshot: Snapshot) -> tuple[Gate, ...]:
    """List every gate with its decision, oldest first; one that no person decided is decided by `auto`."""
    outputs = _outputs(snapshot)
    found = [_gate(row, outputs) for row in snapshot.approvals if not row.for_question]
    known = {_key(row) for row in snapshot.approvals} | {(row.node_id, row.iteration) for row in snapshot.questions}
    titles = {(node.node_id, node.iteration): node.label for node in snapshot.nodes}
    found += [_automatic(row, titles.get((row.node_id, row.iteration))) for row in snapshot.outputs if _is_gate(row, known)]
    return tuple(sorted(found, key=lambda gate: (gate.asked_at or gate.decided_at or 0, gate.node_id, gate.iteration)))


def key_outputs(snapshot: Snapshot) -> tuple[KeyOutput, ...]:
    """List what each task produced; of a task in a loop its newest iteration."""
    known = {_key(row) for row in snapshot.approvals} | {(row.node_id, row.iteration) for row in snapshot.questions}
    kinds = {(attempt.node_id, attempt.iteration): attempt.kind for attempt in snapshot.attempts}
    staged = "stage" in kinds.values()  # then what the cells of the notebook show is the same once more
    newest: dict[str, OutputRow] = {}
    rounds: dict[str, int] = {}
    for row in sorted(snapshot.outputs, key=lambda row: row.iteration):
        key = (row.node_id, row.iteration)
        if row.node_id == "input" or key in known or _is_gate(row, known) or (staged and kinds.get(key) == "cell"):
            continue
        newest[logical_id(row.node_id)] = row
        rounds[logical_id(row.node_id)] = rounds.get(logical_id(row.node_id), 0) + 1
    return tuple(_output(row, rounds[name]) for name, row in newest.items())


def scores(snapshot: Snapshot) -> tuple[Score, ...]:
    """List what scorers said."""
    return tuple(
        Score(node_id=row.node_id, name=row.scorer_name or row.scorer_id, score=row.score, reason=redact(row.reason or "")[:_TEXT])
        for row in snapshot.scores
    )


def _question(row: QuestionRow, outputs: dict[_Key, dict[str, Any]]) -> Answered:
    answer = _value(row.answer)
    if answer is None and row.status == "answered":
        answer = outputs.get((row.node_id, row.iteration))
    return Answered(
        node_id=row.node_id,
        iteration=row.iteration,
        kind=row.kind,
        prompt=redact(row.prompt or "")[:_TEXT],
        answer=answer,
        answered_by=row.answered_by,
        pending=row.status == "pending",
        status=row.status,
        asked_at=row.requested_at,
        answered_at=row.answered_at,
    )


def _unrecorded(gate: ApprovalRow, outputs: dict[_Key, dict[str, Any]]) -> Answered:
    """Take the gate of a human task whose question was lost for the question."""
    return Answered(
        node_id=gate.node_id,
        iteration=max(gate.iteration, 0),
        prompt=redact(gate.title or "the question is not recorded")[:_TEXT],
        answer=outputs.get(_key(gate), _value(gate.note)),
        answered_by=gate.decided_by,
        pending=gate.status == "requested",
        status="pending" if gate.status == "requested" else "answered",
        asked_at=gate.requested_at,
        answered_at=gate.decided_at,
    )


def _signals(snapshot: Snapshot, asked: set[_Key], outputs: dict[_Key, dict[str, Any]]) -> Iterator[Answered]:
    """List what the run waits or waited for from outside, and what came."""
    left = list(snapshot.signals)
    states: dict[_Key, NodeRow] = {(node.node_id, node.iteration): node for node in snapshot.nodes}
    for task in snapshot.tasks:
        props, key = as_object(task.props), (task.node_id, task.iteration)
        node = states.get(key)
        if task.kind not in _WAITS or key in asked or node is None or not (props.get("event") or node.state == "waiting-event"):
            continue
        name, correlation = str(props.get("event") or task.node_id), props.get("correlationId")
        came = next((row for row in left if row.signal_name == name and (not correlation or row.correlation_id == correlation)), None)
        if came is not None:
            left.remove(came)
        yield _signal(node, name, str(correlation) if correlation else None, came, outputs)
    for row in left:
        yield _signal(None, row.signal_name, row.correlation_id, row, outputs)


def _signal(
    node: NodeRow | None, name: str, correlation: str | None, came: SignalRow | None, outputs: dict[_Key, dict[str, Any]]
) -> Answered:
    about = f" about {correlation}" if correlation else ""
    waits = node is not None and node.state.startswith("waiting-")
    key = (node.node_id, node.iteration) if node else ("", 0)
    return Answered(
        node_id=key[0],
        iteration=key[1],
        kind="signal",
        prompt=redact(f"the signal {name}{about}"),
        answer=_value(came.payload) if came else None if waits else outputs.get(key),
        answered_by=came.received_by if came else None,
        pending=waits and came is None,
        status="delivered" if came else node.state if node else "",
        asked_at=node.updated_at if waits and node else None,
        answered_at=came.received_at if came else None,
        signal=name,
        correlation=correlation,
    )


def _gate(row: ApprovalRow, outputs: dict[_Key, dict[str, Any]]) -> Gate:
    said = outputs.get(_key(row), {})
    decided = row.status != "requested"
    by = _AUTO if row.auto_approved else row.decided_by or said.get("decided_by") or said.get("decidedBy")
    return Gate(
        node_id=row.node_id,
        iteration=max(row.iteration, 0),
        title=short_line(row.title),
        approved=_DECIDED.get(row.status),
        note=None if not decided else redact(row.note or str(said.get("note") or ""))[:_TEXT] or None,
        decided_by=str(by) if decided and by else None,
        asked_at=row.requested_at,
        decided_at=row.decided_at,
        pending=not decided,
    )


def _is_gate(row: OutputRow, known: set[_Key]) -> bool:
    """Return whether a task's output is a decision although no gate was asked for: one that was skipped by its own condition."""
    if (row.node_id, row.iteration) in known:
        return False
    said = as_object(row.row)
    columns = {"decided_by": "decidedBy", "decided_at": "decidedAt"}
    present = {name for name in _GATE_COLUMNS if name in said or columns.get(name) in said}
    return present == _GATE_COLUMNS and said.get("approved") in (True, False)


def _automatic(row: OutputRow, title: str | None) -> Gate:
    said = as_object(row.row)
    by, at = said.get("decided_by") or said.get("decidedBy"), said.get("decided_at") or said.get("decidedAt")
    return Gate(
        node_id=row.node_id,
        iteration=row.iteration,
        title=short_line(title),
        approved=bool(said.get("approved")),
        note=redact(str(said.get("note") or ""))[:_TEXT] or None,
        decided_by=str(by or _AUTO),
        decided_at=epoch_ms(at) if isinstance(at, str) else at if isinstance(at, int) else None,
        pending=False,
    )


def _output(row: OutputRow, rounds: int) -> KeyOutput:
    said = as_object(row.row)
    plain = said.get("value", said) if set(said) == {"value"} else said
    value = _value(orjson.dumps(plain).decode())
    again = f" (iteration {row.iteration}, the newest of {rounds})" if rounds > 1 else ""
    return KeyOutput(node_id=row.node_id, iteration=row.iteration, summary=f"{_in_short(value)}{again}", value=value)


def _in_short(value: Any) -> str:
    if isinstance(value, dict):
        return short_line(", ".join(f"{name}: {_word(part)}" for name, part in value.items()))
    return short_line(_word(value))


def _word(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _value(text: str | None) -> Any:
    """Read a JSON column for showing: redacted, and as the beginning of its text when it is very long."""
    if text is None:
        return None
    parsed = parse(text)
    value = redact_value(text if parsed is None and text.strip() != "null" else parsed)
    written = _word(value)
    return value if len(written) <= _VALUE else f"{written[:_VALUE]}…"


def _outputs(snapshot: Snapshot) -> dict[_Key, dict[str, Any]]:
    return {(row.node_id, row.iteration): redact_value(as_object(row.row)) for row in snapshot.outputs}


def _key(gate: ApprovalRow) -> _Key:
    return gate.node_id, max(gate.iteration, 0)
