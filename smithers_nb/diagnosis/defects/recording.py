"""What the engine recorded wrongly: errors under another name, with another culprit, or not at all.

Each detector gets a case and yields defects whose quotes occur in the rows they name; `defects` puts them together.
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
from smithers_nb.diagnosis.text.quotes import QUOTE, of_attempt, of_event, of_run
from smithers_nb.model.rows import EventRow
from smithers_nb.model.timestamps import when
from smithers_nb.model.verdict import Defect, Evidence
from smithers_nb.model.vocabulary import logical_id
from smithers_nb.redact import redact, short_line
from smithers_nb.sources.base import is_child_of
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.diagnosis.state.conditions import Case
    from smithers_nb.model.rows import AttemptRow

_BARE_ABORTS: Final = frozenset({"Task aborted", "The operation was aborted.", "This operation was aborted", "The operation was aborted"})
_NOT_JSON: Final = "did not return valid JSON"
_UNSERIALISABLE: Final = re.compile(r"cyclic|circular|serializ|BigInt", re.IGNORECASE)
_WAITS_FOR: Final = re.compile(r"'([^'\n]+)' (?:is blocked on|never ran \(waiting on) '([^'\n]+)'")
_WRAPPER: Final = re.compile(r"Task failed: (.+?)(?: See https://smithers\.sh/\S+)?\s*$")
_SAGA: Final = re.compile(r"Saga .+ failed")


def failures_as_cancellations(case: Case) -> Iterator[Defect]:
    """Failures whose message has the word abort in it: filed as cancelled, with no retry, no run error and no autopsy.

    A person's `smithers cancel` leaves no error on the attempt, and Ctrl-C leaves the CLI's signal handler in its stack.
    """
    if case.run.status != "cancelled":
        return
    masked = sorted(
        (a for a in case.snapshot.attempts if was_masked(a, case.run.cancel_requested_at)), key=lambda a: a.finished_at or a.started_at or 0
    )
    reasons = {(e.node_id, e.iteration, e.attempt): e for e in case.snapshot.events if e.type == "NodeCancelled"}
    for attempt in masked:
        event = reasons.get((attempt.node_id, attempt.iteration, attempt.attempt))
        message = clean_message(attempt.error_message or "")
        if (event is not None and '"aborted"' not in (event.payload or "")) or (_is_child(case) and message in _BARE_ABORTS):
            continue
        lost = "; its own message is lost" if message in _BARE_ABORTS else ""
        yield Defect(
            kind="failure-recorded-as-cancellation",
            summary=f"{attempt.node_id} failed, but the run is recorded as cancelled: nobody requested that, and nothing was retried{lost}",
            evidence=(of_attempt(attempt, "an error on a cancelled attempt"), *((of_event(event, '"reason":"aborted"'),) if event else ())),
        )
        return  # anything else aborted then is a consequence


def errors_only_in_agent_events(case: Case) -> Iterator[Defect]:
    """Errors that an agent reported in its event stream while the attempt has only a generic sentence."""
    for attempt in case.snapshot.attempts:
        if attempt.state != "failed" or attempt.kind not in {None, "agent"}:
            continue
        stored = clean_message(attempt.error_message or "")
        reported = hidden_error(case.snapshot.agent_events, attempt, stored)
        if reported is not None:
            yield Defect(
                kind="error-only-in-agent-events",
                summary=(
                    f"{attempt.node_id} is recorded with “{short_line(stored, 60)}”; the agent's own error is: {short_line(reported.quote)}"
                ),
                evidence=(_verbatim(case, reported), of_attempt(attempt, "what was recorded of it")),
            )
            return


def broken_streams(case: Case) -> Iterator[Defect]:
    """Answers that broke off in the middle of the stream and were taken for invalid output."""
    suspects = [
        attempt
        for attempt in case.snapshot.attempts
        if attempt.error_code == "INVALID_OUTPUT" and _NOT_JSON in (attempt.error_message or "") and not attempt.response
    ]
    counted = {(token.node_id, token.iteration, token.attempt) for token in case.snapshot.tokens} if suspects else set()
    for attempt in suspects:
        key = (attempt.node_id, attempt.iteration, attempt.attempt)
        chunks = [] if key in counted else _output(case, attempt)
        if chunks and _breaks_off("".join(text for _, text in chunks)):
            event, text = chunks[-1]
            yield Defect(
                kind="broken-stream-as-invalid-output",
                summary=(
                    f"the answer of {attempt.node_id} broke off after {sum(len(text) for _, text in chunks)} characters and no token count "
                    "came; the connection was lost, yet it is recorded as output that is not valid JSON"
                ),
                evidence=(
                    Evidence(ref=f"event:{event.seq}", quote=_escaped(redact(text)[-QUOTE:]), note="the last text that came"),
                    of_attempt(attempt),
                ),
            )
            return


def misleading_stacks(case: Case) -> Iterator[Defect]:
    """Errors with a name and a stack of the engine that are the workflow's fault."""
    for attempt in case.snapshot.attempts:
        message = attempt.error_message or ""
        if attempt.error_code == "DB_WRITE_FAILED" and "upsert output" in message and _UNSERIALISABLE.search(message):
            yield Defect(
                kind="workflow-fault-with-engine-stack",
                summary=f"{attempt.node_id} returned something that cannot be stored; DB_WRITE_FAILED blames the store, which is fine",
                evidence=(of_attempt(attempt, "the stack lies in the engine"),),
            )
            return
    yield from _false_deadlock(case)
    run = case.run
    failed = [attempt for attempt in case.snapshot.attempts if attempt.state == "failed"]
    if run.error_code == "SCHEDULER_ERROR" and _SAGA.search(run.error_message or "") and failed and '"cause"' not in (run.error or ""):
        yield Defect(
            kind="cause-not-recorded",
            summary=f"the run's error does not name its cause; {failed[-1].node_id} failed",
            evidence=(of_run(run, run.error_message), of_attempt(failed[-1], "the cause")),
        )


def replayed_errors(case: Case) -> Iterator[Defect]:
    """Errors that a resume gave back as if they were new, without trying anything."""
    started = [event for event in case.snapshot.events if event.type == "RunStarted"]
    blamed = _WRAPPER.search(case.run.error_message or "")
    if len(started) < 2 or blamed is None or case.run.status != "failed":  # noqa: PLR2004 - resumed at least once
        return
    resumed = started[-1]
    tried = [a for a in case.snapshot.attempts if a.node_id == blamed[1] and a.state in {"failed", "cancelled"}]
    if not tried or any((a.started_at or 0) >= (resumed.at or 0) for a in tried):
        return
    last = max(tried, key=by_start)
    ended = f" of {when(last.finished_at)}" if last.finished_at is not None else ""
    yield Defect(
        kind="stale-error-replayed",
        summary=f"the last resume retried nothing: it returned the recorded error of attempt {last.attempt} of {last.node_id}{ended}",
        evidence=(of_event(resumed, '"type":"RunStarted"'), of_attempt(last, "no attempt since")),
    )


def timeouts_after_the_answer(case: Case) -> Iterator[Defect]:
    """Tasks given up as silent although their answer had arrived."""
    for attempt in case.snapshot.attempts:
        if attempt.error_code != "TASK_HEARTBEAT_TIMEOUT":
            continue
        done = next((e for e in case.snapshot.agent_events if _same(e, attempt) and _completed(e)), None)
        if done is None and not attempt.response:
            continue
        proof = of_event(done, '"ok":true') if done else of_attempt(attempt, "the answer", attempt.response)
        yield Defect(
            kind="heartbeat-timeout-after-answer",
            summary=f"{attempt.node_id} was given up as silent although its answer had arrived",
            evidence=(proof, of_attempt(attempt)),
        )


def garbled_prompts(case: Case) -> Iterator[Defect]:
    """Prompts in which a value became `[object Object]`, so that an agent worked on something it could not read."""
    for attempt in case.snapshot.attempts:
        if attempt.garbled_prompt:
            yield Defect(
                kind="garbled-prompt",
                summary=f"the prompt of {attempt.node_id} holds `[object Object]` where a value should be",
                evidence=(of_attempt(attempt, "from its prompt", attempt.garbled_prompt),),
            )
            return


def _false_deadlock(case: Case) -> Iterator[Defect]:
    """A deadlock that waits for a task which has finished."""
    run = case.run
    message = run.error_message or ""
    if run.error_code != "DEPENDENCY_DEADLOCK" and "Workflow deadlocked" not in message:
        return
    finished = {node.logical_id for node in case.snapshot.nodes if node.state == "finished"}
    for match in _WAITS_FOR.finditer(message):
        if logical_id(match[2]) in finished:
            yield Defect(
                kind="deadlock-on-finished-task",
                summary=f"{match[1]} is reported to wait for {match[2]}, which has finished; check what {match[1]} takes from it",
                evidence=(Evidence(ref=f"run:{run.run_id}", quote=match[0]),),
            )
            return


def _output(case: Case, attempt: AttemptRow) -> list[tuple[EventRow, str]]:
    output = case.snapshot.source.rows(EventRow, case.snapshot.run_id, only={"type": ["NodeOutput"]})
    own = [(event, as_object(event.payload)) for event in output if _same(event, attempt)]
    return [(event, str(payload.get("text") or "")) for event, payload in own if payload.get("stream") != "stderr"]


def _breaks_off(text: str) -> bool:
    """Return whether a text is the beginning of a JSON value and nothing more."""
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


def _verbatim(case: Case, error: Evidence) -> Evidence:
    """Quote an agent's error as it stands in its event, escapes and all."""
    payload = next((e.payload or "" for e in case.snapshot.agent_events if f"event:{e.seq}" == error.ref), "")
    quote = error.quote[:QUOTE] if error.quote[:QUOTE] in payload else _escaped(error.quote[:QUOTE])
    return replace(error, quote=quote)


def _completed(event: EventRow) -> bool:
    inner = as_object(event.payload).get("event")
    return isinstance(inner, dict) and inner.get("type") == "completed" and inner.get("ok") is True


def _same(event: EventRow, attempt: AttemptRow) -> bool:
    return (event.node_id, event.iteration or 0, event.attempt) == (attempt.node_id, attempt.iteration, attempt.attempt)


def _is_child(case: Case) -> bool:
    parent = case.run.parent_run_id
    return parent is not None and is_child_of(case.run.run_id, parent)
