"""Judges every run of several projects, reading each table of a store once and examining in detail only runs that have not ended.

Puts every run into exactly one bucket, finds recurring failures, and proposes actions by the rules of Smithers' own watchdog: a run that
has been idle for a day and leftovers of smoke tests are cancelled rather than resumed; decisions of people are only listed.
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
from smithers_nb.errors import SmithersNbError, SourceNotFound
from smithers_nb.model.finding import with_texts
from smithers_nb.model.rows import AttemptRow, RunRow, TokenRow
from smithers_nb.model.timestamps import span
from smithers_nb.model.vocabulary import Health, is_terminal, logical_id
from smithers_nb.redact import redact, redact_value, short_line
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot, snapshots
from smithers_nb.workflows.autopsy.why import explain
from smithers_nb.workflows.fleet.results import WORST_FIRST, Action, Flaky, FleetRun, Lost, QuotaWindow, Recurring, Sweep, Waiting
from smithers_nb.workflows.monitor.gather import is_monitor
from smithers_nb.workflows.monitor.repairs import repair_of

if TYPE_CHECKING:
    from smithers_nb.diagnosis.state.inbox import Request
    from smithers_nb.model.rows import FailureRow
    from smithers_nb.sources.base import Source

_MINUTE_MS: Final = 60_000
_HOUR_MS: Final = 60 * _MINUTE_MS
_DAY_MS: Final = 24 * _HOUR_MS
_LEFTOVERS: Final = ("smoke", "probe")
_MAX_ROWS: Final = 30
_MAX_EXPLAINED: Final = 50
"""How many kinds of trouble get full advice; the others only name the `why` command."""


def home_projects() -> list[str]:
    """Return the current folder and every folder in the home folder that contains runs."""
    marks = (".smithers", ".smithers_nb", "smithers.db")
    try:
        at_home = sorted(path for path in Path.home().iterdir() if any((path / mark).exists() for mark in marks))
    except OSError:
        at_home = []
    return [str(Path.cwd()), *(str(path) for path in at_home if path != Path.cwd())]


def sweep(projects: Iterable[str] | None, now: int, stale_minutes: float = 15) -> Sweep:
    """Judge every run of several projects.

    Args:
        projects: Folders, stores or URLs; defaults to the current folder and the projects in the home folder. The folders above a named
            folder are not searched.
        now: Epoch milliseconds.
        stale_minutes: A task without activity for longer than this counts as stuck.

    Returns:
        The state of the fleet. A project that cannot be read is counted, listed among the problems, and does not affect the others.
    """
    named = list(projects or ())
    parts: dict[str, Sweep] = {}
    problems, unread = [], []
    for project in named or home_projects():
        try:
            source = open_source(project, upward=not named)
        except (SmithersNbError, OSError) as error:
            if named or not isinstance(error, SourceNotFound):  # unless it was named, a folder without runs is no project
                unread.append(redact(f"{project}: {error}"))
            continue
        try:
            if source.location not in parts:
                parts[source.location] = _sweep_project(source, now, stale_minutes)
            problems += [redact(f"{source.location}: {problem.where}: {problem.what}") for problem in source.problems]
        except (SmithersNbError, OSError) as error:
            unread.append(redact(f"{project}: {error}"))
        finally:
            source.close()
    whole = replace(_merge(list(parts.values()), [*unread, *problems], now, stale_minutes), unread=len(set(unread)))
    return replace(with_texts(whole, redact_value), buckets=whole.buckets)  # run ids in buckets stay as they are


def _merge(parts: Sequence[Sweep], problems: Iterable[str], now: int, stale_minutes: float) -> Sweep:
    runs = tuple(run for part in parts for run in part.runs)
    counts = Counter(run.run_id for run in runs)
    buckets = {
        bucket: tuple(f"{run.project}:{run.run_id}" if counts[run.run_id] > 1 else run.run_id for run in runs if run.bucket == bucket)
        for bucket in get_args(Health)
    }
    urgency = {(run.project, run.run_id): WORST_FIRST.index(run.bucket) for run in runs}
    return Sweep(
        now=now,
        stale_minutes=stale_minutes,
        projects=tuple(project for part in parts for project in part.projects),
        runs=runs,
        buckets=buckets,
        actions=tuple(sorted((row for part in parts for row in part.actions), key=lambda row: urgency[row.project, row.run_id])),
        recurring=tuple(sorted((row for part in parts for row in part.recurring), key=lambda row: -row.runs)[:_MAX_ROWS]),
        loops=tuple(loop for part in parts for loop in part.loops),
        flaky=tuple(sorted((row for part in parts for row in part.flaky), key=lambda row: -row.recovered_runs)[:_MAX_ROWS]),
        lost=tuple(sorted((row for part in parts for row in part.lost), key=lambda row: -row.wall_s)[:_MAX_ROWS]),
        waiting=tuple(sorted((row for part in parts for row in part.waiting), key=lambda row: row.since or now)[:_MAX_ROWS]),
        quotas=tuple(sorted((row for part in parts for row in part.quotas), key=lambda row: row.resets_at or sys.maxsize)),
        problems=tuple(dict.fromkeys(problems)),
    )


def _sweep_project(source: Source, now: int, stale_minutes: float) -> Sweep:
    project = source.location
    runs = [run for run in source.rows(RunRow) if not is_monitor(run) and (run.started_at or run.created_at or 0) <= now]
    attempts = source.rows(AttemptRow)
    failures = failure_rows(source, now=now)
    tokens = source.rows(TokenRow)
    masked = {attempt.run_id for attempt in attempts if was_masked(attempt)}
    failed_nodes = {row.run_id: row for row in failures if row.node_id is not None}
    active = [run for run in runs if not is_terminal(run.status)]
    cases = {run_id: Case(snapshot, now) for run_id, snapshot in snapshots(source, active).items()}
    listed = []
    for run in runs:
        case = cases.get(run.run_id)
        if case is not None:
            bucket, reason = health(case.snapshot, now, stale_minutes)
        else:
            bucket, reason = _judge_ended(run, failed_nodes.get(run.run_id), masked=run.run_id in masked)
        listed.append(_run(run, project, now, bucket, reason))
    return Sweep(
        now=now,
        stale_minutes=stale_minutes,
        projects=(project,),
        runs=tuple(listed),
        actions=tuple(_actions(source, listed, cases, failed_nodes, now)),
        recurring=tuple(_recurring(project, failures, runs, attempts, tokens)),
        loops=repair_loops(runs, failures),
        flaky=tuple(_flaky(project, runs, attempts)),
        lost=tuple(_lost(project, runs, attempts, tokens, failures)),
        waiting=tuple(_waiting(project, requests_of(cases.values()), now)),
        quotas=tuple(_quotas(project, cases.values(), now)),
    )


def _judge_ended(run: RunRow, failure: FailureRow | None, *, masked: bool) -> tuple[Health, str]:
    """Return bucket and reason of an ended run: its status decides, unless a failure was recorded as a cancellation."""
    if run.status != "failed" and not masked:
        return "healthy", run.status
    return "failed", f"{failure.node_id}: {failure.message}" if failure else run.error_message or "the reason is not recorded"


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


def _actions(
    source: Source, runs: Iterable[FleetRun], cases: dict[str, Case], failures: dict[str, FailureRow], now: int
) -> Iterator[Action]:
    """Yield what to do about the live runs that are not healthy; runs that failed for the same cause share one action."""
    groups: dict[tuple[str | None, str], list[FleetRun]] = defaultdict(list)
    for run in runs:
        if run.bucket != "healthy" and run.live:
            row = None if run.run_id in cases else failures.get(run.run_id)
            groups[run.workflow, row.signature if row and row.signature else run.run_id].append(run)
    for number, members in enumerate(groups.values()):
        members.sort(key=lambda run: run.finished_age_minutes or 0)
        newest = members[0]
        case = cases.get(newest.run_id) or Case(Snapshot(source, newest.run_id), now)
        if number < _MAX_EXPLAINED or newest.run_id in cases:
            action = _propose(newest, case)
        else:
            action = _action(newest, f"investigate: {newest.reason}", case.engine.line("why", newest.run_id))
        yield replace(action, also=tuple(run.run_id for run in members[1:]))


def _propose(run: FleetRun, case: Case) -> Action:
    why = explain(case.snapshot, now=case.now)
    first = next(iter(why.blockers), None)
    if run.bucket == "blocked":
        lines = (*first.choices[:1], *first.commands) if first else (case.engine.inspect(run.run_id),)
        return _action(run, f"decide: {first.reason if first else run.reason}", " && ".join(lines))
    if run.bucket == "overBudget":
        return _action(
            run, f"it waits for the provider's limit: {run.reason}; if it must not wait, cancel it", case.engine.cancel(run.run_id)
        )
    if run.bucket == "stuck" and _is_leftover(run):
        return _action(run, "cancel it: a leftover of a smoke test or a probe", case.engine.cancel(run.run_id))
    if run.bucket == "stuck" and case.quiet_ms > _DAY_MS:
        stale = f"cancel it: idle for {span(case.quiet_ms)}, so the data it would continue with is out of date"
        return _action(run, stale, case.engine.cancel(run.run_id))
    repair = repair_of(case, why)
    if repair is not None:
        return _action(run, f"{repair.kind}: {repair.reason}", repair.command, needs_human=repair.always_asks)
    advice = why.advice
    what = advice.detail if advice else first.reason if first else run.reason
    return _action(run, what, " && ".join(why.commands) or case.engine.line("why", run.run_id))


def _action(run: FleetRun, what: str, command: str, *, needs_human: bool = True) -> Action:
    problem = f"{run.bucket}: {run.reason}"
    return Action(
        project=run.project, run_id=run.run_id, problem=problem, recommended_action=redact(what), command=command, needs_human=needs_human
    )


def _is_leftover(run: FleetRun) -> bool:
    names = (run.run_id.lower(), (run.workflow or "").lower())
    return any(name.startswith(_LEFTOVERS) for name in names)


def _waiting(project: str, requests: Iterable[Request], now: int) -> Iterator[Waiting]:
    for item in requests:
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
    for row in signatures_table(failures, runs, attempts=attempts, tokens=tokens)[:_MAX_ROWS]:
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
    """Yield the tasks that failed and then succeeded in the same run, those with the most such runs first."""
    workflows = {run.run_id: run.workflow for run in runs}
    states: dict[tuple[str, str, int], list[str]] = defaultdict(list)
    for attempt in attempts:
        if not attempt.reset:
            states[attempt.run_id, attempt.node_id, attempt.iteration].append(attempt.state)
    tried: dict[tuple[str | None, str], set[str]] = defaultdict(set)
    recovered: dict[tuple[str | None, str], set[str]] = defaultdict(set)
    for (run_id, node_id, _), attempt_states in states.items():
        task = (workflows.get(run_id), logical_id(node_id))
        tried[task].add(run_id)
        if "failed" in attempt_states and attempt_states[-1] == "finished":
            recovered[task].add(run_id)
    for task, run_ids in sorted(recovered.items(), key=lambda item: -len(item[1])):
        yield Flaky(project=project, workflow=task[0], node_id=task[1], recovered_runs=len(run_ids), runs=len(tried[task]))


def _lost(
    project: str, runs: Sequence[RunRow], attempts: Sequence[AttemptRow], tokens: Sequence[TokenRow], failures: Iterable[FailureRow]
) -> Iterator[Lost]:
    """Yield the cost of failed attempts by workflow, agent and model."""
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
        cost = total(spent, keys)
        yield Lost(project=project, by=by, name=name, failed_attempts=len(keys), wall_s=round(cost.wall_s, 3), tokens=cost.tokens)
