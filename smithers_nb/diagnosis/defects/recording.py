"""What the engine recorded wrongly: errors under another name, with another culprit, or not at all.

Each detector gets a run and `now` and yields defects whose quotes occur in the rows they name; `defects` puts them together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import orjson

from smithers_nb.diagnosis.failure.agent_errors import hidden_error
from smithers_nb.diagnosis.failure.error_chain import clean_message
from smithers_nb.diagnosis.failure.order import by_start
from smithers_nb.diagnosis.failure.root_failure import was_masked
from smithers_nb.diagnosis.text.durations import clock, cut
from smithers_nb.diagnosis.text.quotes import QUOTE, quoted
from smithers_nb.model.rows import EventRow
from smithers_nb.model.verdict import Defect, Evidence
from smithers_nb.model.vocabulary import logical_id
from smithers_nb.redact import redact
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.rows import AttemptRow
    from smithers_nb.sources.snapshot import Snapshot

_BARE_ABORTS: Final = frozenset({"Task aborted", "The operation was aborted.", "This operation was aborted", "The operation was aborted"})
_NOT_JSON: Final = "did not return valid JSON"
_UNSERIALISABLE: Final = re.compile(r"cyclic|circular|serializ|BigInt", re.IGNORECASE)
_WAITS_FOR: Final = re.compile(r"'([^'\n]+)' (?:is blocked on|never ran \(waiting on) '([^'\n]+)'")
_WRAPPER: Final = re.compile(r"Task failed: (.+?)(?: See https://smithers\.sh/\S+)?\s*$")
_SAGA: Final = re.compile(r"Saga .+ failed")


def failures_as_cancellations(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Failures whose message has the word abort in it: filed as cancelled, with no retry, no run error and no autopsy.

    A person's `smithers cancel` leaves no error on the attempt, and Ctrl-C leaves the CLI's signal handler in its stack.
    """
    del now
    if snapshot.run.status != "cancelled":
        return
    masked = sorted((a for a in snapshot.attempts if was_masked(a)), key=lambda a: a.finished_at or a.started_at or 0)
    reasons = {(e.node_id, e.iteration, e.attempt): e for e in snapshot.events if e.type == "NodeCancelled"}
    for attempt in masked:
        event = reasons.get((attempt.node_id, attempt.iteration, attempt.attempt))
        message = clean_message(attempt.error_message or "")
        if (event is not None and '"aborted"' not in (event.payload or "")) or (_is_child(snapshot) and message in _BARE_ABORTS):
            continue
        lost = "; its own message is lost" if message in _BARE_ABORTS else ""
        yield Defect(
            kind="failure-recorded-as-cancellation",
            summary=f"{attempt.node_id} failed, but the run is recorded as cancelled: nobody asked for that, nothing was tried again{lost}",
            evidence=(_of(attempt, "an error on a cancelled attempt"), *((_in(event, '"reason":"aborted"'),) if event else ())),
        )
        return  # whatever else was aborted then is a consequence


def errors_only_in_agent_events(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Errors that an agent told in its event stream while the attempt keeps only a generic sentence."""
    del now
    for attempt in snapshot.attempts:
        if attempt.state != "failed" or attempt.kind not in {None, "agent"}:
            continue
        stored = clean_message(attempt.error_message or "")
        said = hidden_error(snapshot.agent_events, attempt, stored)
        if said is not None:
            yield Defect(
                kind="error-only-in-agent-events",
                summary=f"{attempt.node_id} is recorded with “{cut(stored, 60)}”; what the agent said is: {cut(said.quote)}",
                evidence=(_verbatim(snapshot, said), _of(attempt, "what was kept of it")),
            )
            return


def broken_streams(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Answers that broke off in the middle of the stream and were taken for invalid output."""
    del now
    suspects = [
        attempt
        for attempt in snapshot.attempts
        if attempt.error_code == "INVALID_OUTPUT" and _NOT_JSON in (attempt.error_message or "") and not attempt.response
    ]
    counted = {(token.node_id, token.iteration, token.attempt) for token in snapshot.tokens} if suspects else set()
    for attempt in suspects:
        key = (attempt.node_id, attempt.iteration, attempt.attempt)
        chunks = [] if key in counted else _output(snapshot, attempt)
        if chunks and _breaks_off("".join(text for _, text in chunks)):
            event, text = chunks[-1]
            yield Defect(
                kind="broken-stream-as-invalid-output",
                summary=(
                    f"the answer of {attempt.node_id} broke off after {sum(len(text) for _, text in chunks)} characters and no token count "
                    "came; the connection was lost, yet it is recorded as output that is no JSON"
                ),
                evidence=(
                    Evidence(ref=f"event:{event.seq}", quote=_escaped(redact(text)[-QUOTE:]), note="the last text that came"),
                    _of(attempt, ""),
                ),
            )
            return


def misleading_stacks(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Errors with a name and a stack of the engine that are the workflow's fault."""
    del now
    for attempt in snapshot.attempts:
        message = attempt.error_message or ""
        if attempt.error_code == "DB_WRITE_FAILED" and "upsert output" in message and _UNSERIALISABLE.search(message):
            yield Defect(
                kind="workflow-fault-with-engine-stack",
                summary=f"{attempt.node_id} returned something that cannot be stored; DB_WRITE_FAILED blames the store, which is well",
                evidence=(_of(attempt, "the stack lies in the engine"),),
            )
            return
    yield from _false_deadlock(snapshot)
    run = snapshot.run
    failed = [attempt for attempt in snapshot.attempts if attempt.state == "failed"]
    if run.error_code == "SCHEDULER_ERROR" and _SAGA.search(run.error_message or "") and failed and '"cause"' not in (run.error or ""):
        yield Defect(
            kind="cause-not-recorded",
            summary=f"the run's error does not name its cause; {failed[-1].node_id} failed",
            evidence=(_of_run(snapshot), _of(failed[-1], "the cause")),
        )


def replayed_errors(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Errors that a resume gave back as if they were new, without trying anything."""
    del now
    started = [event for event in snapshot.events if event.type == "RunStarted"]
    blamed = _WRAPPER.search(snapshot.run.error_message or "")
    if len(started) < 2 or blamed is None or snapshot.run.status != "failed":  # noqa: PLR2004 - resumed at least once
        return
    resumed = started[-1]
    tried = [a for a in snapshot.attempts if a.node_id == blamed[1] and a.state in {"failed", "cancelled"}]
    if not tried or any((a.started_at or 0) >= (resumed.at or 0) for a in tried):
        return
    last = max(tried, key=by_start)
    when = f" of {clock(last.finished_at)}" if last.finished_at is not None else ""
    yield Defect(
        kind="stale-error-replayed",
        summary=f"the last resume tried nothing: it gave back the recorded error of attempt {last.attempt} of {last.node_id}{when}",
        evidence=(_in(resumed, '"type":"RunStarted"'), _of(last, "no attempt since")),
    )


def timeouts_after_the_answer(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Tasks given up as silent although their answer had arrived."""
    del now
    for attempt in snapshot.attempts:
        if attempt.error_code != "TASK_HEARTBEAT_TIMEOUT":
            continue
        done = next((e for e in snapshot.agent_events if _same(e, attempt) and _completed(e)), None)
        if done is None and not attempt.response:
            continue
        proof = _in(done, '"ok":true') if done else quoted(_ref(attempt), attempt.response, "the answer")
        yield Defect(
            kind="heartbeat-timeout-after-answer",
            summary=f"{attempt.node_id} was given up as silent although its answer had arrived",
            evidence=(proof, _of(attempt, "")),
        )


def garbled_prompts(snapshot: Snapshot, now: int) -> Iterator[Defect]:
    """Prompts in which a value became `[object Object]`, so that an agent worked on something it could not read."""
    del now
    for attempt in snapshot.attempts:
        if attempt.garbled_prompt:
            yield Defect(
                kind="garbled-prompt",
                summary=f"the prompt of {attempt.node_id} holds `[object Object]` where a value should be",
                evidence=(Evidence(ref=_ref(attempt), quote=attempt.garbled_prompt, note="from its prompt"),),
            )
            return


def _false_deadlock(snapshot: Snapshot) -> Iterator[Defect]:
    """A deadlock that waits for a task which has finished."""
    run = snapshot.run
    message = run.error_message or ""
    if run.error_code != "DEPENDENCY_DEADLOCK" and "Workflow deadlocked" not in message:
        return
    finished = {node.logical_id for node in snapshot.nodes if node.state == "finished"}
    for found in _WAITS_FOR.finditer(message):
        if logical_id(found[2]) in finished:
            yield Defect(
                kind="deadlock-on-finished-task",
                summary=f"{found[1]} is said to wait for {found[2]}, which has finished; look at what {found[1]} takes from it",
                evidence=(Evidence(ref=f"run:{run.run_id}", quote=found[0]),),
            )
            return


def _output(snapshot: Snapshot, attempt: AttemptRow) -> list[tuple[EventRow, str]]:
    found = snapshot.source.rows(EventRow, snapshot.run_id, only={"type": ["NodeOutput"]})
    own = [(event, as_object(event.payload)) for event in found if _same(event, attempt)]
    return [(event, str(payload.get("text") or "")) for event, payload in own if payload.get("stream") != "stderr"]


def _breaks_off(text: str) -> bool:
    """Tell whether a text is the beginning of a JSON value and nothing more."""
    text = text.strip()
    if text[:1] not in {"{", "["}:
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return text[-1] not in {"}", "]"}
    return False


def _escaped(text: str) -> str:
    """Write a text as it stands inside the JSON of its event."""
    return orjson.dumps(text).decode()[1:-1]


def _verbatim(snapshot: Snapshot, said: Evidence) -> Evidence:
    """Quote what an agent said as it stands in its event, escapes and all."""
    payload = next((e.payload or "" for e in snapshot.agent_events if f"event:{e.seq}" == said.ref), "")
    quote = said.quote[:QUOTE] if said.quote[:QUOTE] in payload else _escaped(said.quote[:QUOTE])
    return replace(said, quote=quote)


def _completed(event: EventRow) -> bool:
    inner = as_object(event.payload).get("event")
    return isinstance(inner, dict) and inner.get("type") == "completed" and inner.get("ok") is True


def _same(event: EventRow, attempt: AttemptRow) -> bool:
    return (event.node_id, event.iteration or 0, event.attempt) == (attempt.node_id, attempt.iteration, attempt.attempt)


def _is_child(snapshot: Snapshot) -> bool:
    parent = snapshot.run.parent_run_id
    return parent is not None and snapshot.run.run_id.startswith(f"{parent}:child:")


def _ref(attempt: AttemptRow) -> str:
    return f"attempt:{attempt.node_id}/{attempt.iteration}/{attempt.attempt}"


def _of(attempt: AttemptRow, note: str) -> Evidence:
    return quoted(_ref(attempt), attempt.error_message or attempt.state, note)


def _of_run(snapshot: Snapshot) -> Evidence:
    run = snapshot.run
    return quoted(f"run:{run.run_id}", run.error_message or run.status)


def _in(event: EventRow, quote: str) -> Evidence:
    """Quote a part of an event, or its type when the store writes it otherwise."""
    return Evidence(ref=f"event:{event.seq}", quote=quote if quote in (event.payload or "") else event.type)
