"""One look at every run of several projects: each table of a store is read once, and only runs that have not ended are looked into.

Puts every run into exactly one bucket, finds what recurs, and proposes what to do by the rules of Smithers' own watchdog: a run that
has been idle for a day is cancelled rather than resumed, leftovers of smoke tests too, and whatever a person decides is only listed.
"""

from __future__ import annotations

import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from smithers_nb.diagnosis.classify.failure_table import failure_rows
from smithers_nb.diagnosis.failure.root_failure import was_masked
from smithers_nb.diagnosis.history.cost import attempt_key, spending, total
from smithers_nb.diagnosis.history.recurrence import signatures_table
from smithers_nb.diagnosis.history.repair_loops import repair_loops
from smithers_nb.diagnosis.state.conditions import Case
from smithers_nb.diagnosis.state.health import health
from smithers_nb.diagnosis.state.inbox import requests_of
from smithers_nb.diagnosis.state.progress import quota_resets_at
from smithers_nb.errors import SmithersNbError
from smithers_nb.model.finding import with_texts
from smithers_nb.model.rows import AttemptRow, RunRow, TokenRow
from smithers_nb.model.timestamps import span
from smithers_nb.model.vocabulary import Health, is_terminal, logical_id
from smithers_nb.redact import redact, redact_value, short_line
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot, snapshots
from smithers_nb.workflows.autopsy.why import explain
from smithers_nb.workflows.fleet.results import Action, Flaky, FleetRun, Lost, QuotaWindow, Recurring, Sweep, Waiting
from smithers_nb.workflows.monitor.gather import is_monitor
from smithers_nb.workflows.monitor.repairs import repair_of

if TYPE_CHECKING:
    from smithers_nb.diagnosis.state.inbox import Request
    from smithers_nb.model.rows import FailureRow
    from smithers_nb.sources.base import Source

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
_URGENCY: Final[tuple[Health, ...]] = ("failed", "blocked", "overBudget", "stuck", "healthy")
_LEFTOVER: Final = ("smoke", "probe")
_TOP: Final = 30
_EXPLAINED: Final = 50
"""Kinds of trouble whose advice is worked out; the others are pointed to `why`."""


def home_projects() -> list[str]:
    """List the current folder and every folder at home that holds runs."""
    marks = (".smithers", ".smithers_nb", "smithers.db")
    try:
        at_home = sorted(path for path in Path.home().iterdir() if any((path / mark).exists() for mark in marks))
    except OSError:
        at_home = []
    return [str(Path.cwd()), *(str(path) for path in at_home if path != Path.cwd())]


def sweep(projects: Iterable[str] | None, now: int, stale_minutes: float = 15) -> Sweep:
    """Look at every run of several projects.

    Args:
        projects: Folders, stores or URLs; the current folder and the projects at home by default.
        now: Epoch milliseconds.
        stale_minutes: A task without activity for longer than this counts as stuck.

    Returns:
        What was found; a project that cannot be read is among the problems and takes nothing from the others.
    """
    given = list(projects or ())
    found, problems, seen = [], [], set()
    for place in given or home_projects():
        try:
            source = open_source(place)
        except (SmithersNbError, OSError) as error:
            if given:
                problems.append(redact(f"{place}: {error}"))
            continue
        try:
            if source.location not in seen:
                seen.add(source.location)
                found.append(_of_project(source, now, stale_minutes))
            problems += [redact(f"{source.location}: {problem.where}: {problem.what}") for problem in source.problems]
        except (SmithersNbError, OSError) as error:
            problems.append(redact(f"{place}: {error}"))
        finally:
            source.close()
    whole = _together(found, problems, now, stale_minutes)
    return replace(with_texts(whole, redact_value), buckets=whole.buckets)


def _together(found: Sequence[Sweep], problems: Iterable[str], now: int, stale_minutes: float) -> Sweep:
    runs = tuple(run for one in found for run in one.runs)
    times = Counter(run.run_id for run in runs)
    buckets = {
        bucket: tuple(f"{run.project}:{run.run_id}" if times[run.run_id] > 1 else run.run_id for run in runs if run.bucket == bucket)
        for bucket in get_args(Health)
    }
    urgency = {(run.project, run.run_id): _URGENCY.index(run.bucket) for run in runs}
    return Sweep(
        now=now,
        stale_minutes=stale_minutes,
        projects=tuple(project for one in found for project in one.projects),
        runs=runs,
        buckets=buckets,
        actions=tuple(sorted((a for one in found for a in one.actions), key=lambda action: urgency[action.project, action.run_id])),
        recurring=tuple(sorted((row for one in found for row in one.recurring), key=lambda row: -row.runs)[:_TOP]),
        loops=tuple(loop for one in found for loop in one.loops),
        flaky=tuple(sorted((row for one in found for row in one.flaky), key=lambda row: -row.recovered_runs)[:_TOP]),
        lost=tuple(sorted((row for one in found for row in one.lost), key=lambda row: -row.wall_s)[:_TOP]),
        waiting=tuple(sorted((row for one in found for row in one.waiting), key=lambda row: row.since or now)[:_TOP]),
        quotas=tuple(sorted((row for one in found for row in one.quotas), key=lambda row: row.resets_at or sys.maxsize)),
        problems=tuple(dict.fromkeys(problems)),
    )


def _of_project(source: Source, now: int, stale_minutes: float) -> Sweep:
    project = source.location
    runs = [run for run in source.rows(RunRow) if not is_monitor(run) and (run.started_at or run.created_at or 0) <= now]
    attempts = source.rows(AttemptRow)
    failures = failure_rows(source, now=now)
    tokens = source.rows(TokenRow)
    masked = {attempt.run_id for attempt in attempts if was_masked(attempt)}
    said: dict[str, FailureRow] = {row.run_id: row for row in failures if row.node_id is not None}
    active = [run for run in runs if not is_terminal(run.status)]
    cases = {run_id: Case(seen, now) for run_id, seen in snapshots(source, active).items()}
    listed = []
    for run in runs:
        case = cases.get(run.run_id)
        if case is not None:
            bucket, reason = health(case.snapshot, now, stale_minutes)
        else:
            bucket, reason = _ended(run, said.get(run.run_id), masked=run.run_id in masked)
        listed.append(_run(run, project, now, bucket, reason))
    return Sweep(
        now=now,
        stale_minutes=stale_minutes,
        projects=(project,),
        runs=tuple(listed),
        actions=tuple(_actions(source, listed, cases, said, now)),
        recurring=tuple(_recurring(project, failures, runs, attempts, tokens)),
        loops=repair_loops(runs, failures),
        flaky=tuple(_flaky(project, runs, attempts)),
        lost=tuple(_lost(project, runs, attempts, tokens, failures)),
        waiting=tuple(_waiting(project, requests_of(cases.values()), now)),
        quotas=tuple(_quotas(project, cases.values(), now)),
    )


def _ended(run: RunRow, said: FailureRow | None, *, masked: bool) -> tuple[Health, str]:
    """Put a run that is over into its bucket: its status tells it, unless a failure was recorded as a cancellation."""
    if run.status != "failed" and not masked:
        return "healthy", run.status
    return "failed", f"{said.node_id}: {said.message}" if said else run.error_message or "the reason is not recorded"


def _run(run: RunRow, project: str, now: int, bucket: Health, reason: str) -> FleetRun:
    failed_at = run.finished_at or run.started_at or 0
    return FleetRun(
        project=project,
        run_id=run.run_id,
        workflow=run.workflow,
        status=run.status,
        bucket=bucket,
        reason=short_line(reason, 300),
        live=not is_terminal(run.status) or (bucket == "failed" and now - failed_at < _HOUR_MS),
        age_minutes=_minutes(now, run.started_at or run.created_at),
        finished_age_minutes=_minutes(now, run.finished_at),
    )


def _minutes(now: int, at: int | None) -> float | None:
    return None if at is None else round((now - at) / _MINUTE_MS, 2)


def _actions(source: Source, runs: Iterable[FleetRun], cases: dict[str, Case], said: dict[str, FailureRow], now: int) -> Iterator[Action]:
    """Propose what to do about each live run that is not healthy; runs that failed for the same cause are one proposal."""
    groups: dict[tuple[str | None, str], list[FleetRun]] = defaultdict(list)
    for run in runs:
        if run.bucket != "healthy" and run.live:
            row = None if run.run_id in cases else said.get(run.run_id)
            groups[run.workflow, row.signature if row and row.signature else run.run_id].append(run)
    for place, members in enumerate(groups.values()):
        members.sort(key=lambda run: run.finished_age_minutes or 0)
        newest = members[0]
        case = cases.get(newest.run_id) or Case(Snapshot(source, newest.run_id), now)
        if place < _EXPLAINED or newest.run_id in cases:
            proposed = _proposal(newest, case)
        else:
            proposed = _action(newest, f"look into it: {newest.reason}", case.engine.line("why", newest.run_id))
        yield replace(proposed, also=tuple(run.run_id for run in members[1:]))


def _proposal(run: FleetRun, case: Case) -> Action:
    why = explain(case.snapshot, now=case.now)
    first = next(iter(why.blockers), None)
    if run.bucket == "blocked":
        lines = (*first.choices[:1], *first.commands) if first else (case.engine.inspect(run.run_id),)
        return _action(run, f"decide: {first.reason if first else run.reason}", " && ".join(lines))
    if run.bucket == "overBudget":
        wait = f"it waits for the provider's limit: {run.reason}; if it must not wait, cancel it"
        return _action(run, wait, case.engine.cancel(run.run_id))
    if run.bucket == "stuck" and _is_leftover(run):
        return _action(run, "cancel it: a leftover of a smoke test or a probe", case.engine.cancel(run.run_id))
    if run.bucket == "stuck" and case.quiet_ms > _DAY_MS:
        return _action(
            run, f"cancel it: idle for {span(case.quiet_ms)}, so what it would go on with is out of date", case.engine.cancel(run.run_id)
        )
    repair = repair_of(case, why)
    if repair is not None:
        return _action(run, f"{repair.kind}: {repair.reason}", repair.command, needs_human=repair.always_asks)
    advice = why.advice
    words = advice.detail if advice else first.reason if first else run.reason
    return _action(run, words, " && ".join(why.commands) or case.engine.line("why", run.run_id))


def _action(run: FleetRun, what: str, command: str, *, needs_human: bool = True) -> Action:
    problem = f"{run.bucket}: {run.reason}"
    return Action(
        project=run.project, run_id=run.run_id, problem=problem, recommended_action=redact(what), command=command, needs_human=needs_human
    )


def _is_leftover(run: FleetRun) -> bool:
    names = (run.run_id.lower(), (run.workflow or "").lower())
    return any(name.startswith(_LEFTOVER) for name in names)


def _waiting(project: str, asked: Iterable[Request], now: int) -> Iterator[Waiting]:
    for item in asked:
        yield Waiting(
            project=project,
            run_id=item.run_id,
            workflow=item.workflow,
            node_id=item.node_id,
            prompt=short_line(redact(item.prompt), 240),
            since=item.requested_at,
            waited_minutes=_minutes(now, item.requested_at),
            command=next(iter(item.commands), ""),
        )


def _quotas(project: str, cases: Iterable[Case], now: int) -> Iterator[QuotaWindow]:
    for case in cases:
        if case.run.status == "waiting-quota":
            reset = quota_resets_at(case.snapshot)
            left = None if reset is None else round((reset - now) / _MINUTE_MS, 2)
            yield QuotaWindow(project=project, run_id=case.run.run_id, workflow=case.run.workflow, resets_at=reset, minutes_left=left)


def _recurring(
    project: str, failures: Sequence[FailureRow], runs: Sequence[RunRow], attempts: Sequence[AttemptRow], tokens: Sequence[TokenRow]
) -> Iterator[Recurring]:
    for row in signatures_table(failures, runs, attempts=attempts, tokens=tokens)[:_TOP]:
        yield Recurring(
            project=project,
            signature=row.signature,
            failure_class=row.failure_class,
            message=short_line(row.message, 240),
            count=row.count,
            runs=row.runs,
            workflows=row.workflows,
            first_at=row.first_at,
            last_at=row.last_at,
            wall_s=row.wall_s,
            tokens=row.tokens,
        )


def _flaky(project: str, runs: Sequence[RunRow], attempts: Iterable[AttemptRow]) -> Iterator[Flaky]:
    """List tasks that failed and then succeeded in the same run, those of most runs first."""
    workflows = {run.run_id: run.workflow for run in runs}
    states: dict[tuple[str, str, int], list[str]] = defaultdict(list)
    for attempt in attempts:
        if not attempt.reset:
            states[attempt.run_id, attempt.node_id, attempt.iteration].append(attempt.state)
    tried: dict[tuple[str | None, str], set[str]] = defaultdict(set)
    recovered: dict[tuple[str | None, str], set[str]] = defaultdict(set)
    for (run_id, node_id, _), seen in states.items():
        task = (workflows.get(run_id), logical_id(node_id))
        tried[task].add(run_id)
        if "failed" in seen and seen[-1] == "finished":
            recovered[task].add(run_id)
    for task, hit in sorted(recovered.items(), key=lambda item: -len(item[1])):
        yield Flaky(project=project, workflow=task[0], node_id=task[1], recovered_runs=len(hit), runs=len(tried[task]))


def _lost(
    project: str, runs: Sequence[RunRow], attempts: Sequence[AttemptRow], tokens: Sequence[TokenRow], failures: Iterable[FailureRow]
) -> Iterator[Lost]:
    """Add up what failed attempts cost, by workflow, by agent, and by model."""
    workflows = {run.run_id: run.workflow or "workflow" for run in runs}
    by_key = {attempt_key(attempt): attempt for attempt in attempts}
    spent = spending(attempts, tokens)
    groups: dict[tuple[str, str], list[tuple[str, str | None, int | None, int | None]]] = defaultdict(list)
    for key in {attempt_key(row) for row in failures} & by_key.keys():
        attempt = by_key[key]
        groups["workflow", workflows.get(key[0], "workflow")].append(key)
        for by, name in (("agent", attempt.engine or attempt.agent), ("model", attempt.model)):
            if name:
                groups[by, name].append(key)
    for (by, name), keys in groups.items():
        whole = total(spent, keys)
        yield Lost(project=project, by=by, name=name, failed_attempts=len(keys), wall_s=round(whole.wall_s, 3), tokens=whole.tokens)
