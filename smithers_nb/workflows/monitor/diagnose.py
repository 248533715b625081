"""How a run is doing and what to do about it, from its rows alone; a provider may add words where the run has failed."""

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

_BY_ITSELF: Final = frozenset({"waiting-timer", "retry-backoff", "waiting-quota", "engine-busy", "pause-pending", "hijack-pending"})
"""What ends without anybody, unless it is overdue."""

_TROUBLE: Final = 2
_SENTENCE: Final = 300
_STAGNANT: Final = 10
"""Iterations in a row with the same output that are worth a remark; a loop that polls may do so in good health."""

_MAY_GO_ON: Final = frozenset({"cut", "waiting"})
"""States of a record that may still be written."""

_NOT_WAITING: Final = frozenset({"failed", "stuck"})


def diagnose(
    gathered: MonitorSnapshot, snapshot: Snapshot, *, stale_minutes: float = 15, provider: str | None = None, earlier: Sequence[FixRow] = ()
) -> Diagnosis:
    """Judge a run as of the moment that it was gathered.

    Args:
        gathered: What was gathered; its `now` is the moment.
        snapshot: The run.
        stale_minutes: A task without activity for longer than this counts as stuck.
        provider: Who adds words to the root cause of a failed run; None adds none.
        earlier: What earlier monitors did about this run, newest first.
    """
    case = Case(snapshot, gathered.now)
    bucket, reason = health(snapshot, gathered.now, stale_minutes)
    why = explain(snapshot, now=gathered.now)
    is_record = engine_of(snapshot).is_record
    repair = repair_of(case, why) if bucket != "healthy" else None
    vain = tried_in_vain(case, repair, earlier) if repair else ""
    repair = None if vain else repair
    found = Diagnosis(
        target_run_id=snapshot.run_id,
        health=bucket,
        state=case.state,
        summary=_in_short(bucket, reason, why, is_record=is_record),
        waiting_on=_waiting_on(bucket, why),
        root_cause=_root_cause(bucket, reason, why),
        questions=questions(snapshot),
        approvals=gates(snapshot),
        key_outputs=key_outputs(snapshot),
        diffs=code_changes(snapshot),
        scores=scores(snapshot),
        recommended_actions=tuple(_actions(why, repair, vain)),
        any_self_fixable=repair is not None,
        repair=repair,
        repair_refused=vain,
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
        found = _consulted(found, snapshot, gathered.now, provider)
    return with_texts(found, redact_value)


def unreadable(gathered: MonitorSnapshot) -> Diagnosis:
    """Describe of a run that could not be read that it could not."""
    return Diagnosis(
        target_run_id=gathered.target_run_id,
        health="stuck",
        state=gathered.state,
        summary=f"nothing can be said about it: {gathered.summary}",
        root_cause=gathered.summary,
        recommended_actions=(Action(problem=gathered.summary, command="smithers-nb ps --all"),),
    )


def _in_short(bucket: Health, reason: str, why: Explanation, *, is_record: bool) -> str:
    """Say what was found; of a record all that is known of how it ended, and of one that may go on how it stands now."""
    if is_record:
        return f"{_begun(reason)}. {why.summary}" if why.state in _MAY_GO_ON else why.summary
    return short_line(why.summary, _SENTENCE) if bucket == "failed" and why.failure else reason


def _summary(found: Diagnosis, snapshot: Snapshot) -> str:
    """Describe how it is doing in one or two sentences; what there is nothing of is said as well, of a record that it does not show it."""
    counts = {"questions": found.questions, "gates": found.approvals, "code changes": found.diffs, "scores": found.scores}
    none = [name for name, rows in counts.items() if not rows]
    reason = found.summary.rstrip(".")
    is_name = reason.split(maxsplit=1)[0] in {node.node_id for node in snapshot.nodes}
    begun = reason if is_name else _begun(reason)
    lead = "Its record shows no" if found.is_record else "No"
    return f"{begun}.{f' {lead} {_listed(none)}.' if none else ''}"


def _begun(reason: str) -> str:
    return f"{reason[:1].upper()}{reason[1:]}"


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _waiting_on(bucket: Health, why: Explanation) -> str | None:
    waits = [] if bucket in _NOT_WAITING else why.blockers
    return waits[0].reason if waits else None


def _root_cause(bucket: Health, reason: str, why: Explanation) -> str:
    if bucket in {"healthy", "blocked"}:
        return ""
    if why.failure is not None:
        return why.summary
    blocker = next((item.reason for item in why.blockers), "")
    return blocker if blocker and bucket == "stuck" else reason


def _actions(why: Explanation, repair: Repair | None, vain: str) -> Iterator[Action]:
    """List what to do, the most urgent first, each with one line to paste."""
    if why.advice is not None:
        line = joined(why.advice.commands)
        mine = _is_carried_out_by(repair, why.advice.commands)
        problem = f"{why.advice.detail} ({vain[:1].upper()}{vain[1:]}.)" if vain else why.advice.detail
        yield Action(problem=problem, command=line, needs_human=not mine or (repair is not None and repair.always_asks), self_fixable=mine)
    if repair is not None and repair.always_asks and not (why.advice and _is_carried_out_by(repair, why.advice.commands)):
        yield Action(problem=repair.reason, command=repair.command, self_fixable=True)
    for blocker in why.blockers:
        lines = (*blocker.choices[:1], *blocker.commands)
        if why.advice is not None and set(lines) <= set(why.advice.commands):
            continue
        mine = _is_carried_out_by(repair, lines)
        alone = mine or (blocker.kind in _BY_ITSELF and not (repair is None and vain))
        yield Action(problem=blocker.reason, command=joined(lines), needs_human=not alone, self_fixable=mine)
        if blocker.alternatives:
            which = f": {blocker.reason}" if len(why.blockers) > 1 else ""
            yield Action(problem=f"To decide otherwise{which}", command=joined(blocker.alternatives))


def _is_carried_out_by(repair: Repair | None, lines: Sequence[str]) -> bool:
    """Return whether these lines are the repair, with or without a further option."""
    return repair is not None and len(lines) == 1 and lines[0].startswith(repair.command)


def joined(lines: Sequence[str]) -> str:
    """Write commands that follow each other as one line to paste."""
    return " && ".join(lines)


def _in_trouble(case: Case) -> tuple[str, ...]:
    """Name tasks that failed at least twice in a row and have not succeeded since, while the run still goes on."""
    streaks: dict[tuple[str, int], int] = {}
    for attempt in sorted(case.snapshot.attempts, key=lambda row: (row.node_id, row.iteration, row.attempt)):
        key = (attempt.node_id, attempt.iteration)
        if attempt.state == "failed" and not attempt.reset:
            streaks[key] = streaks.get(key, 0) + 1
        elif attempt.state == "finished":
            streaks[key] = 0
    return () if case.is_over else tuple(node_id for (node_id, _), streak in streaks.items() if streak >= _TROUBLE)


def _rejected(snapshot: Snapshot) -> Iterator[Defect]:
    """A run that finished although the last verdict that one of its own tasks gave was a no."""
    if snapshot.run.status != "finished":
        return
    decided = {f"{gate.node_id}.approved" for gate in snapshot.approvals}
    for rounds in gate_rounds([snapshot.run], snapshot.outputs, ()):
        for name, said in zip(rounds.gates, rounds.rounds[-1].results, strict=True):
            if said is False and name not in decided:
                yield Defect(kind="finished-with-rejected-verdict", summary=f"the run finished, but {name} said no last")


def _stagnant(case: Case) -> Iterator[Defect]:
    """A loop that still goes round although a task in it gives the same each time; a reviewer's endless no is among the defects already."""
    for node in () if case.is_over else stagnant_nodes(case.snapshot.outputs, several=_STAGNANT):
        if case.stagnant == node:
            continue
        said = f"{node.node_id} gave the same output in {node.iterations} iterations in a row, so its loop may never end"
        yield Defect(kind="loop-without-progress", summary=said)


def _consulted(found: Diagnosis, snapshot: Snapshot, now: int, provider: str | None) -> Diagnosis:
    """Add what a provider says about a failure, as far as the rows support it."""
    from smithers_nb.workflows.autopsy.stages import run_autopsy

    try:
        verdict = run_autopsy(snapshot.source, snapshot.run_id, now=now, provider=provider)
    except SmithersNbError as error:
        return replace(found, provider_notes=(redact(f"the provider was not heard: {error}"),))
    return replace(found, root_cause=verdict.root_cause, authors=verdict.authors, provider_notes=verdict.provider_notes)


def _cheat_sheet(snapshot: Snapshot) -> tuple[tuple[str, str], ...]:
    """List what an operator types to look and to act, with this run's id; for a store without a program of its own, ours."""
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
    if node := _looked_at(snapshot):
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
        (engine.resume(run.workflow_path, run.run_id), "go on after a stop"),
    )


def _looked_at(snapshot: Snapshot) -> str | None:
    """Name a task that there is something to see of: a stage rather than the cell around it, one that finished first of all."""
    begun = [row for row in snapshot.attempts if not row.node_id.startswith("-")]
    first = min(begun, key=lambda row: (row.kind == "cell", row.state != "finished"), default=None)
    return first.node_id if first else None
