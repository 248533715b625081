"""How a run is doing and what to do about it, judged from its rows alone; for a failed run a provider may add an explanation."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.engines.base import engine_of
from smithers_nb.diagnosis.history.gate_rounds import gate_rounds
from smithers_nb.diagnosis.state.conditions import Case
from smithers_nb.diagnosis.state.health import health
from smithers_nb.diagnosis.state.stagnation import stagnant_nodes
from smithers_nb.errors import SmithersNbError
from smithers_nb.model.finding import with_texts
from smithers_nb.model.verdict import Defect
from smithers_nb.redact import redact, redact_value, short_line
from smithers_nb.workflows.autopsy.why import explain
from smithers_nb.workflows.monitor.code_changes import code_changes
from smithers_nb.workflows.monitor.repairs import repair_of, tried_in_vain
from smithers_nb.workflows.monitor.results import Action, Diagnosis, FixRow, MonitorSnapshot, Repair
from smithers_nb.workflows.monitor.standing import gates, key_outputs, questions, scores

if TYPE_CHECKING:
    from smithers_nb.model.explanation import Explanation
    from smithers_nb.model.vocabulary import Health
    from smithers_nb.sources.snapshot import Snapshot

_ENDS_BY_ITSELF: Final = frozenset({"waiting-timer", "retry-backoff", "waiting-quota", "engine-busy", "pause-pending", "hijack-pending"})
"""Kinds of blockers that end without a person, unless they are overdue."""

_MIN_FAILURES: Final = 2
_MAX_SUMMARY: Final = 300
_MIN_STAGNANT: Final = 10
"""Iterations in a row with the same output before a loop is reported; below that it may simply be polling."""

_UNFINISHED: Final = frozenset({"cut", "waiting"})
"""States of a record that may still grow."""

_NOT_WAITING: Final = frozenset({"failed", "stuck"})


def diagnose(
    gathered: MonitorSnapshot, snapshot: Snapshot, *, stale_minutes: float = 15, provider: str | None = None, earlier: Sequence[FixRow] = ()
) -> Diagnosis:
    """Judge a run as of the time it was gathered.

    Args:
        gathered: What `gather` read; its `now` is the time to judge at.
        snapshot: The run.
        stale_minutes: A task without activity for longer than this counts as stuck.
        provider: Provider that adds to the root cause of a failed run; None asks nobody.
        earlier: What earlier monitors did about this run, newest first.
    """
    case = Case(snapshot, gathered.now)
    bucket, reason = health(snapshot, gathered.now, stale_minutes)
    why = explain(snapshot, now=gathered.now)
    is_record = engine_of(snapshot).is_record
    repair = repair_of(case, why) if bucket != "healthy" else None
    refusal = tried_in_vain(case, repair, earlier) if repair else ""
    repair = None if refusal else repair
    found = Diagnosis(
        target_run_id=snapshot.run_id,
        health=bucket,
        state=case.state,
        summary=_state_summary(bucket, reason, why, is_record=is_record),
        waiting_on=_waiting_on(bucket, why),
        root_cause=_root_cause(bucket, reason, why),
        questions=questions(snapshot),
        approvals=gates(snapshot),
        key_outputs=key_outputs(snapshot),
        diffs=code_changes(snapshot),
        scores=scores(snapshot),
        recommended_actions=tuple(_actions(why, repair, refusal)),
        any_self_fixable=repair is not None,
        repair=repair,
        repair_refused=refusal,
        in_trouble=_in_trouble(case),
        concerns=(*why.defects, *_rejected(snapshot), *_stagnant(case)),
        failure_class=why.classification.failure_class if why.classification else None,
        evidence=why.evidence if is_record else why.failure.evidence if why.failure else (),
        folder=why.folder,
        workflow=snapshot.run.workflow,
        workflow_path=snapshot.run.workflow_path,
        refuses_edits=engine_of(snapshot).is_repairable,
        cheat_sheet=_cheat_sheet(snapshot),
        is_record=is_record,
    )
    found = replace(found, summary=_summary(found, snapshot))
    if provider not in (None, "internal") and snapshot.run.status == "failed":
        found = _with_provider(found, snapshot, gathered.now, provider)
    return with_texts(found, redact_value)


def unreadable(gathered: MonitorSnapshot) -> Diagnosis:
    """Return the diagnosis of a run that could not be read."""
    return Diagnosis(
        target_run_id=gathered.target_run_id,
        health="stuck",
        state=gathered.state,
        summary=f"the run could not be read: {gathered.summary}",
        root_cause=gathered.summary,
        recommended_actions=(Action(problem=gathered.summary, command="smithers-nb ps --all"),),
    )


def _state_summary(bucket: Health, reason: str, why: Explanation, *, is_record: bool) -> str:
    """Summarise the state of a run; for a record, also everything that is known about how it ended."""
    if is_record:
        return f"{capitalised(reason)}. {why.summary}" if why.state in _UNFINISHED else why.summary
    return short_line(why.summary, _MAX_SUMMARY) if bucket == "failed" and why.failure else reason


def _summary(found: Diagnosis, snapshot: Snapshot) -> str:
    """Return the state in one or two sentences, naming what the run has none of (or, for a record, what the record does not show)."""
    counts = {"questions": found.questions, "gates": found.approvals, "code changes": found.diffs, "scores": found.scores}
    none = [name for name, rows in counts.items() if not rows]
    reason = found.summary.rstrip(".")
    starts_with_node = reason.split(maxsplit=1)[0] in {node.node_id for node in snapshot.nodes}
    sentence = reason if starts_with_node else capitalised(reason)
    lead = "Its record shows no" if found.is_record else "No"
    return f"{sentence}.{f' {lead} {_enumerate(none)}.' if none else ''}"


def capitalised(text: str) -> str:
    """Return a text with its first letter in upper case."""
    return f"{text[:1].upper()}{text[1:]}"


def _enumerate(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _waiting_on(bucket: Health, why: Explanation) -> str | None:
    return why.blockers[0].reason if why.blockers and bucket not in _NOT_WAITING else None


def _root_cause(bucket: Health, reason: str, why: Explanation) -> str:
    if bucket in {"healthy", "blocked"}:
        return ""
    if why.failure is not None:
        return why.summary
    blocker = next((item.reason for item in why.blockers), "")
    return blocker if blocker and bucket == "stuck" else reason


def _actions(why: Explanation, repair: Repair | None, refusal: str) -> Iterator[Action]:
    """Yield what to do, the most urgent first, each with one line to paste."""
    if why.advice is not None:
        line = one_command_line(why.advice.commands)
        ours = _is_repair(repair, why.advice.commands)
        problem = f"{why.advice.detail} ({capitalised(refusal)}.)" if refusal else why.advice.detail
        yield Action(problem=problem, command=line, needs_human=not ours or (repair is not None and repair.always_asks), self_fixable=ours)
    if repair is not None and repair.always_asks and not (why.advice and _is_repair(repair, why.advice.commands)):
        yield Action(problem=repair.reason, command=repair.command, self_fixable=True)
    for blocker in why.blockers:
        lines = (*blocker.choices[:1], *blocker.commands)
        if why.advice is not None and set(lines) <= set(why.advice.commands):
            continue
        ours = _is_repair(repair, lines)
        needs_nobody = ours or (blocker.kind in _ENDS_BY_ITSELF and not (repair is None and refusal))
        yield Action(problem=blocker.reason, command=one_command_line(lines), needs_human=not needs_nobody, self_fixable=ours)
        if blocker.alternatives:
            which = f": {blocker.reason}" if len(why.blockers) > 1 else ""
            yield Action(problem=f"To decide otherwise{which}", command=one_command_line(blocker.alternatives))


def _is_repair(repair: Repair | None, lines: Sequence[str]) -> bool:
    """Return whether these lines are the repair's command, possibly with further options."""
    return repair is not None and len(lines) == 1 and lines[0].startswith(repair.command)


def one_command_line(lines: Sequence[str]) -> str:
    """Join commands that run one after the other into one line to paste."""
    return " && ".join(lines)


def _in_trouble(case: Case) -> tuple[str, ...]:
    """Return the tasks of an unfinished run that failed at least twice in a row and have not succeeded since."""
    streaks: dict[tuple[str, int], int] = {}
    for attempt in sorted(case.snapshot.attempts, key=lambda row: (row.node_id, row.iteration, row.attempt)):
        key = (attempt.node_id, attempt.iteration)
        if attempt.state == "failed" and not attempt.reset:
            streaks[key] = streaks.get(key, 0) + 1
        elif attempt.state == "finished":
            streaks[key] = 0
    return () if case.is_over else tuple(node_id for (node_id, _), streak in streaks.items() if streak >= _MIN_FAILURES)


def _rejected(snapshot: Snapshot) -> Iterator[Defect]:
    """Yield a concern for each task whose last verdict was a rejection although the run finished."""
    if snapshot.run.status != "finished":
        return
    decided = {f"{gate.node_id}.approved" for gate in snapshot.approvals}
    for rounds in gate_rounds([snapshot.run], snapshot.outputs, ()):
        for name, passed in zip(rounds.gates, rounds.rounds[-1].results, strict=True):
            if passed is False and name not in decided:
                yield Defect(
                    kind="finished-with-rejected-verdict", summary=f"the run finished, but the last verdict of {name} was a rejection"
                )


def _stagnant(case: Case) -> Iterator[Defect]:
    """Yield a concern for a running loop whose task gives the same output each time; endless rejections are a defect already."""
    for node in () if case.is_over else stagnant_nodes(case.snapshot.outputs, several=_MIN_STAGNANT):
        if case.stagnant == node:
            continue
        summary = f"{node.node_id} gave the same output in {node.iterations} iterations in a row, so its loop may never end"
        yield Defect(kind="loop-without-progress", summary=summary)


def _with_provider(found: Diagnosis, snapshot: Snapshot, now: int, provider: str | None) -> Diagnosis:
    """Add what a provider found out about a failure, as far as the rows support it."""
    from smithers_nb.workflows.autopsy.stages import run_autopsy

    try:
        verdict = run_autopsy(snapshot.source, snapshot.run_id, now=now, provider=provider)
    except SmithersNbError as error:
        return replace(found, provider_notes=(redact(f"the provider gave no usable answer: {error}"),))
    return replace(found, root_cause=verdict.root_cause, authors=verdict.authors, provider_notes=verdict.provider_notes)


def _cheat_sheet(snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
    """List commands to inspect this run and act on it: those of its engine, or ours for a store that has no program."""
    engine, run = engine_of(snapshot), snapshot.run
    ours = not engine.is_repairable
    where = ("--source", snapshot.source.location) if ours else ()

    def line(*words: str) -> str:
        return shlex.join(("smithers-nb", *words, *where)) if ours else engine.line(*words)

    looks = [
        (line("inspect", run.run_id), "its state, nodes and gates"),
        (line("why", run.run_id), "what it failed on or waits for"),
        (line("events", run.run_id), "its log"),
        *([] if engine.is_record else [(line("logs", run.run_id, "--follow"), "the same as it happens")]),
    ]
    if node := _example_task(snapshot):
        looks += [
            (line("node", run.run_id, node) if ours else engine.node(run.run_id, node), "the attempts of one task"),
            *([] if engine.is_record else [(line("output", run.run_id, node), "what a task produced")]),
            *([] if engine.is_record else [(line("diff", run.run_id, node), "what code a task changed")]),
        ]
    if ours or run.status == "finished":
        return tuple(looks)
    return (
        *looks,
        (engine.line("human", "inbox"), "what waits for a person"),
        (engine.resume(run.workflow_path, run.run_id), "resume it after a stop"),
    )


def _example_task(snapshot: Snapshot) -> str | None:
    """Return a task worth inspecting: a stage rather than the cell around it, and preferably a finished one."""
    started = [row for row in snapshot.attempts if not row.node_id.startswith("-")]  # a leading dash would be read as an option
    first = min(started, key=lambda row: (row.kind == "cell", row.state != "finished"), default=None)
    return first.node_id if first else None
