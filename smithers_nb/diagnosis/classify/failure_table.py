"""Every failure of a whole store, with class and signature, in one pass.

Reads each table once, however many runs there are. Returns one row per failed attempt (including those that a retry-task set aside),
per run that failed without one, and per gate whose denial failed a run. Each kind of failure is classified only once, so that even
thousands of runs take a moment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import orjson

from smithers_nb.diagnosis.classify.classify import classify
from smithers_nb.diagnosis.failure.agent_errors import hidden_error, is_generic
from smithers_nb.diagnosis.failure.error_chain import ParsedError, parse_error
from smithers_nb.diagnosis.failure.order import by_start
from smithers_nb.diagnosis.failure.root_failure import attempt_signature, denial, error_bearing, is_of_the_run_itself, was_masked
from smithers_nb.diagnosis.failure.signature import signature
from smithers_nb.diagnosis.failure.stack import stack_frames
from smithers_nb.model.rows import ApprovalRow, AttemptRow, EventRow, FailureRow, NodeRow, RunRow
from smithers_nb.model.verdict import Classification, Failure, Link
from smithers_nb.sources.stores.json_text import dump

if TYPE_CHECKING:
    from smithers_nb.sources.base import Source

_NodeKey = tuple[str, str, int]
_KindOfFailure = tuple[object, ...]
_BLAMES = "Task failed: "


def failure_rows(source: Source, run_id: str | None = None, *, now: int | None = None) -> list[FailureRow]:
    """Return every failure, ordered by run, time, node and attempt.

    Args:
        source: Where the runs live.
        run_id: Exact id of one run, or None for the whole store.
        now: Leave out what happened after this epoch millisecond.

    Raises:
        SourceVanished: The store is gone.
    """
    failures = [*_of_attempts(source, run_id)]
    failures += _of_runs(source, run_id, failures)
    classified: dict[_KindOfFailure, Classification] = {}
    rows = _explained_by_children([_row(failure, _classify(failure, classified)) for failure in failures])
    past = (row for row in rows if now is None or (row.at or 0) <= now)
    return sorted(past, key=lambda row: (row.run_id, row.at or 0, row.node_id or "", row.attempt or 0))


class _Unclassified(NamedTuple):
    """A failure before it has a class: what the rules look at, and what only goes into its row.

    Attributes:
        failure: What the rules look at.
        source: Reference of the row it was read from.
        persistent: Every attempt of the node failed the same way; None when there was only one.
        stands: The node did not finish in the end.
    """

    failure: Failure
    source: str
    persistent: bool | None
    stands: bool = True


def _of_attempts(source: Source, run_id: str | None) -> Iterator[_Unclassified]:
    attempts = error_bearing(source.rows(AttemptRow, run_id, only={"state": ["failed", "cancelled"]}))
    finished = {(n.run_id, n.node_id, n.iteration) for n in source.rows(NodeRow, run_id, only={"state": ["finished"]})}
    parsed = {_key(a): parse_error(a.error) for a in attempts}
    hidden = _hidden_errors(source, run_id, attempts, parsed)
    by_node: dict[_NodeKey, list[AttemptRow]] = {}
    for attempt in attempts:
        by_node.setdefault(_key(attempt)[:3], []).append(attempt)
    for key, tries in by_node.items():
        signatures = tuple(attempt_signature(a) for a in sorted(tries, key=by_start))
        same = len(set(signatures)) == 1 and key not in finished
        for attempt, own in zip(sorted(tries, key=by_start), signatures, strict=True):
            failure = _failure(attempt, hidden.get(_key(attempt), parsed[_key(attempt)]), tries, own, signatures if same else (own,))
            persistent = same if len(tries) > 1 or key in finished else None
            where = f"attempt:{attempt.node_id}/{attempt.iteration}/{attempt.attempt}"
            yield _Unclassified(failure, where, persistent, stands=key not in finished)


def _failure(attempt: AttemptRow, parsed: ParsedError, tries: list[AttemptRow], own: str, signatures: tuple[str, ...]) -> Failure:
    stored = Link(name=attempt.error_name, code=attempt.error_code, message=attempt.error_message or "")
    return Failure(
        run_id=attempt.run_id,
        node_id=attempt.node_id,
        iteration=attempt.iteration,
        attempt=attempt.attempt,
        at=attempt.finished_at or attempt.started_at,
        kind="masked-cancel" if was_masked(attempt) else "attempt",
        chain=parsed.chain or (stored,),
        details=parsed.details,
        attempts=len(tries),
        max_attempts=None if attempt.retries is None else attempt.retries + 1,
        signatures=signatures if len(signatures) > 1 else (own,),
        task_kind=attempt.kind,
        agent=attempt.engine or attempt.agent,
        model=attempt.model,
    )


def _hidden_errors(
    source: Source, run_id: str | None, attempts: Iterable[AttemptRow], parsed: dict[tuple[str, str, int, int], ParsedError]
) -> dict[tuple[str, str, int, int], ParsedError]:
    """Return the errors that only the agent's event stream has, for attempts whose own error says nothing; one query for all of them."""
    generic = [a for a in attempts if a.kind in {None, "agent"} and is_generic(_head(parsed[_key(a)]))]
    if not generic:
        return {}
    events: dict[str, list[EventRow]] = {}
    for event in source.rows(EventRow, run_id, only={"type": ["AgentEvent"], "run_id": sorted({a.run_id for a in generic})}):
        events.setdefault(event.run_id, []).append(event)
    errors = {}
    for attempt in generic:
        record = parsed[_key(attempt)]
        if hidden := hidden_error(events.get(attempt.run_id, ()), attempt, _head(record)):
            code = record.chain[0].code if record.chain else None
            errors[_key(attempt)] = ParsedError((Link(code=code, message=hidden.quote), *record.chain), record.details)
    return errors


def _of_runs(source: Source, run_id: str | None, of_attempts: Iterable[_Unclassified]) -> Iterator[_Unclassified]:
    """Yield the failures of runs themselves: a structural error, a denied gate, or no recorded cause at all."""
    failing: dict[str, set[str]] = {}
    for failure, _, _, stands in of_attempts:
        if stands:
            failing.setdefault(failure.run_id, set()).add(failure.node_id or "")
    unexplained = []
    for run in source.rows(RunRow, run_id, only={"status": ["failed"]}):
        named = failing.get(run.run_id, set())
        if is_of_the_run_itself(run, named):
            yield _of_run(run)
        elif not _is_explained(run, named):
            unexplained.append(run)
    denied = {a.run_id: a for a in source.rows(ApprovalRow, run_id, only={"status": ["denied"]})} if unexplained else {}
    for run in unexplained:
        yield _of_denial(denied[run.run_id]) if run.run_id in denied else _of_run(run)


def _is_explained(run: RunRow, failing: set[str]) -> bool:
    """Return whether a failing node explains the run's error: the node that the run blames, or any when it blames none."""
    blamed = run.error_message or ""
    return any(f"{_BLAMES}{node_id}" in blamed for node_id in failing) if blamed.startswith(_BLAMES) else bool(failing)


def _of_run(run: RunRow) -> _Unclassified:
    parsed = parse_error(run.error)
    node = parsed.details.get("nodeId")
    chain = parsed.chain or (Link(code=run.error_code, message=run.error_message or ""),)
    failure = Failure(
        run_id=run.run_id,
        node_id=node if isinstance(node, str) else None,
        at=run.finished_at,
        kind="run" if run.error else "none",
        chain=chain,
        details=parsed.details,
        signatures=(signature(chain[0].message, chain[0].code or chain[0].name),),
    )
    return _Unclassified(failure, f"run:{run.run_id}", persistent=None)


def _of_denial(approval: ApprovalRow) -> _Unclassified:
    return _Unclassified(denial(approval), f"approval:{approval.node_id}/{approval.iteration}", persistent=None)


def _classify(unclassified: _Unclassified, classified: dict[_KindOfFailure, Classification]) -> Classification:
    failure = unclassified.failure
    kind = (
        failure.kind,
        failure.signatures,
        signature(failure.chain[0].message),
        tuple((link.code, link.name, _thrown_in(link.stack)) for link in failure.chain),
        failure.details.get("statusCode"),
        failure.task_kind,
        failure.agent,
    )
    if kind not in classified:
        classified[kind] = classify(failure)
    return classified[kind]


@lru_cache(maxsize=1024)
def _thrown_in(stack: str) -> tuple[tuple[bool, bool], ...]:
    return tuple((frame.is_own, frame.is_engine) for frame in stack_frames(stack))


def _row(unclassified: _Unclassified, classification: Classification) -> FailureRow:
    failure = unclassified.failure
    on_node = failure.attempt is not None or failure.kind == "denied"
    return FailureRow(
        run_id=failure.run_id,
        node_id=failure.node_id,
        iteration=failure.iteration if on_node else None,
        attempt=failure.attempt,
        at=failure.at,
        code=failure.code,
        failure_class=classification.failure_class,
        confidence=classification.confidence,
        message=failure.message or None,
        source=unclassified.source,
        signature=failure.signatures[0],
        persistent=unclassified.persistent,
        rule=classification.rule,
        details=dump(failure.details) if failure.details else None,
    )


def _explained_by_children(rows: list[FailureRow]) -> list[FailureRow]:
    """Replace the class of each failure that only says that a child run failed by the class of what failed in that run."""
    inner: dict[str, FailureRow] = {}
    for row in sorted(rows, key=lambda row: row.at or 0):
        inner.setdefault(row.run_id, row)
    return [_as_child(row, inner) for row in rows]


def _as_child(row: FailureRow, inner: dict[str, FailureRow]) -> FailureRow:
    child = orjson.loads(row.details).get("childRunId") if row.details and '"childRunId"' in row.details else None
    cause = inner.get(child) if isinstance(child, str) and child != row.run_id else None
    if cause is None:
        return row
    return row._replace(failure_class=cause.failure_class, confidence=cause.confidence, rule=cause.rule)


def _key(attempt: AttemptRow) -> tuple[str, str, int, int]:
    return attempt.run_id, attempt.node_id, attempt.iteration, attempt.attempt


def _head(parsed: ParsedError) -> str:
    return parsed.chain[0].message if parsed.chain else ""
