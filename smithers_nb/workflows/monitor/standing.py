"""The standing questions about a run: its questions and answers, gates and decisions, outputs, and scores.

The functions read the snapshot of one run and return findings. A question is listed only once, without the gate that some engines store
next to it, and a gate is listed even if only its output row records it.
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
"""Columns of the output row that stores a decision in Smithers and our journal; a skipped gate has only that row."""

_DECIDED: Final = {"approved": True, "denied": False}
_WAITS: Final = frozenset({"wait", "wait-for-event", "signal"})
_MAX_VALUE: Final = 4_000
_MAX_TEXT: Final = 4_000


def questions(snapshot: Snapshot) -> tuple[Answered, ...]:
    """Return every question to a person and every signal, oldest first, with its answer and who gave it."""
    outputs = _outputs(snapshot)
    asked = [_question(row, outputs) for row in snapshot.questions]
    known = {(row.node_id, row.iteration) for row in snapshot.questions}
    lost = [_unrecorded(gate, outputs) for gate in snapshot.approvals if gate.for_question and _key(gate) not in known]
    return tuple(
        sorted(
            [*asked, *lost, *_signals(snapshot, known, outputs)],
            key=lambda item: (item.asked_at or item.answered_at or 0, item.node_id, item.iteration),
        )
    )


def gates(snapshot: Snapshot) -> tuple[Gate, ...]:
    """Return every gate with its decision, oldest first; a gate that no person decided is decided by `auto`."""
    outputs = _outputs(snapshot)
    found = [_gate(row, outputs) for row in snapshot.approvals if not row.for_question]
    known = _requests(snapshot)
    titles = {(node.node_id, node.iteration): node.label for node in snapshot.nodes}
    found += [_automatic(row, titles.get((row.node_id, row.iteration))) for row in snapshot.outputs if _is_gate(row, known)]
    return tuple(sorted(found, key=lambda gate: (gate.asked_at or gate.decided_at or 0, gate.node_id, gate.iteration)))


def key_outputs(snapshot: Snapshot) -> tuple[KeyOutput, ...]:
    """Return what each task produced; for a task in a loop, its newest iteration."""
    known = _requests(snapshot)
    kinds = {(attempt.node_id, attempt.iteration): attempt.kind for attempt in snapshot.attempts}
    staged = "stage" in kinds.values()  # then the outputs of cells only repeat those of their stages
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
    """Return the results of the scorers."""
    return tuple(
        Score(node_id=row.node_id, name=row.scorer_name or row.scorer_id, score=row.score, reason=redact(row.reason or "")[:_MAX_TEXT])
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
        prompt=redact(row.prompt or "")[:_MAX_TEXT],
        answer=answer,
        answered_by=row.answered_by,
        pending=row.status == "pending",
        status=row.status,
        asked_at=row.requested_at,
        answered_at=row.answered_at,
    )


def _unrecorded(gate: ApprovalRow, outputs: dict[_Key, dict[str, Any]]) -> Answered:
    """Return a question whose own row was lost, reconstructed from the gate of its human task."""
    return Answered(
        node_id=gate.node_id,
        iteration=max(gate.iteration, 0),
        prompt=redact(gate.title or "the question is not recorded")[:_MAX_TEXT],
        answer=outputs.get(_key(gate), _value(gate.note)),
        answered_by=gate.decided_by,
        pending=gate.status == "requested",
        status="pending" if gate.status == "requested" else "answered",
        asked_at=gate.requested_at,
        answered_at=gate.decided_at,
    )


def _signals(snapshot: Snapshot, asked: set[_Key], outputs: dict[_Key, dict[str, Any]]) -> Iterator[Answered]:
    """Yield the signals that the run waits or waited for, and the signals that arrived."""
    unmatched = list(snapshot.signals)
    states: dict[_Key, NodeRow] = {(node.node_id, node.iteration): node for node in snapshot.nodes}
    for task in snapshot.tasks:
        props, key = as_object(task.props), (task.node_id, task.iteration)
        node = states.get(key)
        if task.kind not in _WAITS or key in asked or node is None or not (props.get("event") or node.state == "waiting-event"):
            continue
        name, correlation = str(props.get("event") or task.node_id), props.get("correlationId")
        signal = next(
            (row for row in unmatched if row.signal_name == name and (not correlation or row.correlation_id == correlation)), None
        )
        if signal is not None:
            unmatched.remove(signal)
        yield _signal(node, name, str(correlation) if correlation else None, signal, outputs)
    for row in unmatched:
        yield _signal(None, row.signal_name, row.correlation_id, row, outputs)


def _signal(
    node: NodeRow | None, name: str, correlation: str | None, received: SignalRow | None, outputs: dict[_Key, dict[str, Any]]
) -> Answered:
    about = f" about {correlation}" if correlation else ""
    waits = node is not None and node.state.startswith("waiting-")
    key = (node.node_id, node.iteration) if node else ("", 0)
    return Answered(
        node_id=key[0],
        iteration=key[1],
        kind="signal",
        prompt=redact(f"the signal {name}{about}"),
        answer=_value(received.payload) if received else None if waits else outputs.get(key),
        answered_by=received.received_by if received else None,
        pending=waits and received is None,
        status="delivered" if received else node.state if node else "",
        asked_at=node.updated_at if waits and node else None,
        answered_at=received.received_at if received else None,
        signal=name,
        correlation=correlation,
    )


def _gate(row: ApprovalRow, outputs: dict[_Key, dict[str, Any]]) -> Gate:
    output = outputs.get(_key(row), {})
    decided = row.status != "requested"
    by = _AUTO if row.auto_approved else row.decided_by or output.get("decided_by") or output.get("decidedBy")
    return Gate(
        node_id=row.node_id,
        iteration=max(row.iteration, 0),
        title=short_line(row.title),
        approved=_DECIDED.get(row.status),
        note=None if not decided else redact(row.note or str(output.get("note") or ""))[:_MAX_TEXT] or None,
        decided_by=str(by) if decided and by else None,
        asked_at=row.requested_at,
        decided_at=row.decided_at,
        pending=not decided,
    )


def _is_gate(row: OutputRow, known: set[_Key]) -> bool:
    """Return whether an output row is the decision of a gate that was skipped by its own condition, so that no request exists."""
    if (row.node_id, row.iteration) in known:
        return False
    output = as_object(row.row)
    camel_names = {"decided_by": "decidedBy", "decided_at": "decidedAt"}
    present = {name for name in _GATE_COLUMNS if name in output or camel_names.get(name) in output}
    return present == _GATE_COLUMNS and output.get("approved") in (True, False)


def _automatic(row: OutputRow, title: str | None) -> Gate:
    output = as_object(row.row)
    by, at = output.get("decided_by") or output.get("decidedBy"), output.get("decided_at") or output.get("decidedAt")
    return Gate(
        node_id=row.node_id,
        iteration=row.iteration,
        title=short_line(title),
        approved=bool(output.get("approved")),
        note=redact(str(output.get("note") or ""))[:_MAX_TEXT] or None,
        decided_by=str(by or _AUTO),
        decided_at=epoch_ms(at) if isinstance(at, str) else at if isinstance(at, int) else None,
        pending=False,
    )


def _output(row: OutputRow, rounds: int) -> KeyOutput:
    output = as_object(row.row)
    value = _value(orjson.dumps(output["value"] if set(output) == {"value"} else output).decode())
    newest = f" (iteration {row.iteration}, the newest of {rounds})" if rounds > 1 else ""
    return KeyOutput(node_id=row.node_id, iteration=row.iteration, summary=f"{_summary(value)}{newest}", value=value)


def _summary(value: Any) -> str:
    if isinstance(value, dict):
        return short_line(", ".join(f"{name}: {_as_text(part)}" for name, part in value.items()))
    return short_line(_as_text(value))


def _as_text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _value(text: str | None) -> Any:
    """Parse a JSON column for display: redacted, and cut to the beginning of its text if it is very long."""
    if text is None:
        return None
    parsed = parse(text)
    value = redact_value(text if parsed is None and text.strip() != "null" else parsed)
    text = _as_text(value)
    return value if len(text) <= _MAX_VALUE else f"{text[:_MAX_VALUE]}…"


def _outputs(snapshot: Snapshot) -> dict[_Key, dict[str, Any]]:
    return {(row.node_id, row.iteration): redact_value(as_object(row.row)) for row in snapshot.outputs}


def _requests(snapshot: Snapshot) -> set[_Key]:
    """Return the nodes whose output is a decision or an answer that has a row of its own."""
    return {_key(row) for row in snapshot.approvals} | {(row.node_id, row.iteration) for row in snapshot.questions}


def _key(gate: ApprovalRow) -> _Key:
    return gate.node_id, max(gate.iteration, 0)
