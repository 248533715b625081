"""What needs a person now, across all stores and engines: questions to answer, gates to decide, failures nobody has handled.

Only what blocks a person counts. A failure is put aside when the same workflow later succeeded with the same input or in a fresh run
started to replace it, or when a person marked it as addressed and it has not come back since. Failures with the same cause are one line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final, Literal

from smithers_nb.diagnosis.classify.failure_table import failure_rows
from smithers_nb.diagnosis.engines.working_directory import commands_folder
from smithers_nb.diagnosis.state.conditions import Case
from smithers_nb.diagnosis.state.health import health
from smithers_nb.diagnosis.state.inbox import SESSION_ASKS, OpenRequest, asked_of
from smithers_nb.model.finding import Finding, described
from smithers_nb.model.rows import OutputRow, RunRow
from smithers_nb.model.vocabulary import is_terminal
from smithers_nb.redact import redact, short_line
from smithers_nb.sources.snapshot import Snapshot, snapshots
from smithers_nb.workflows.autopsy.why import explain
from smithers_nb.workflows.monitor.gather import is_monitor

if TYPE_CHECKING:
    from smithers_nb.engine.journal.attention import Mark
    from smithers_nb.model.rows import FailureRow
    from smithers_nb.sources.base import Source

Kind = Literal["ASK", "APPROVE", "FAILED"]

_ORDER: Final[dict[Kind, int]] = {"ASK": 0, "APPROVE": 1, "FAILED": 2}
_MAX_REASON: Final = 600

_MAX_EXPLAINED: Final = 25
"""How many of the newest failures get full advice; the others only name the `why` command."""


class Need(Finding):
    """Something that needs a person."""

    kind: Kind
    engine: str = described("engine of the run: smithers, journal, dbos, …")
    store: str = described("where the run lives, path or URL without secrets")
    run_id: str = described("the run; the newest of several with the same cause")
    workflow: str | None = None
    node_id: str | None = None
    iteration: int = 0
    what: str = described("what is asked, or what failed")
    consequence: str = described("what happens until a person acts, or what the advice is", default="")
    since: int | None = described("epoch milliseconds", default=None)
    age_ms: int | None = described("how long it has been waiting", default=None)
    deadline: int | None = described("when the wait ends without a person, epoch milliseconds", default=None)
    commands: tuple[str, ...] = described("commands that decide it, in the order to run", default=())
    alternatives: tuple[str, ...] = described("commands that decide the opposite, such as a denial", default=())
    folder: str = described("a sentence that says where to run the commands", default="")
    runs: int = described("number of runs with the same cause", default=1)
    run_ids: tuple[str, ...] = described("ids of those runs, newest first", default=())
    failure_class: str | None = None
    signature: str = ""
    put_aside: str = described("why it is hidden from the list: snoozed, addressed, succeeded since; empty when it is shown", default="")


def needs(source: Source, now: int, *, since_ms: int = 0, marks: Iterable[Mark] = ()) -> list[Need]:
    """List what needs a person in a store: questions, then gates, then failures, the longest waiting first in each group.

    Args:
        source: A store, or several stores of one project.
        now: Epoch milliseconds.
        since_ms: Leave out failures before this epoch millisecond.
        marks: What people have snoozed or addressed.

    Returns:
        All needs, including those that are put aside; `put_aside` says why.

    Raises:
        SourceVanished: The store is gone.
    """
    runs = [run for run in source.rows(RunRow) if (run.started_at or run.created_at or 0) <= now]
    active = [run for run in runs if not is_terminal(run.status) or run.status == SESSION_ASKS]
    found = [need for snapshot in snapshots(source, active).values() for need in _needs_of_active(Case(snapshot, now))]
    found += _failures(source, [run for run in runs if not is_monitor(run)], now, since_ms)
    listed = list(marks)
    marked = [_marked(need, listed, now) for need in found]
    return sorted(marked, key=lambda need: (_ORDER[need.kind], need.since or 0, need.run_id))


def _needs_of_active(case: Case) -> Iterator[Need]:
    """Yield what an unfinished run asks of people; a stuck run counts as a failure that no engine recorded."""
    asked = list(asked_of(case))
    yield from map(_request, asked)
    if asked or is_terminal(case.run.status) or is_monitor(case.run):
        return
    bucket, reason = health(case.snapshot, case.now)
    if bucket in {"stuck", "failed"}:
        yield _stuck(case, reason)


def _request(request: OpenRequest) -> Need:
    case, blocker = request.case, request.blocker
    is_parked = case.is_parked or is_terminal(case.run.status)
    then = "the whole run waits" if is_parked else "this part of the run waits; the rest continues"
    return _need(
        case,
        request.kind,
        node_id=blocker.node_id,
        iteration=blocker.iteration,
        what=redact(blocker.reason),
        consequence=f"until then {then}",
        since=blocker.since,
        deadline=blocker.until,
        commands=(*blocker.choices[:1], *blocker.commands),
        alternatives=blocker.alternatives,
    )


def _stuck(case: Case, reason: str) -> Need:
    why = explain(case.snapshot, now=case.now)
    first = next(iter(why.blockers), None)
    return _need(
        case,
        "FAILED",
        node_id=first.node_id if first else None,
        what=redact(first.reason if first else reason),
        consequence="it will not continue by itself",
        since=case.last_activity or None,
        commands=why.commands,
        failure_class=why.classification.failure_class if why.classification else None,
    )


def _failures(source: Source, runs: Sequence[RunRow], now: int, since_ms: int) -> Iterator[Need]:
    failed = {run.run_id: run for run in runs if run.status == "failed" and (run.finished_at or run.started_at or 0) >= since_ms}
    rows: dict[str, FailureRow] = {}
    for row in failure_rows(source, now=now) if failed else ():
        if row.run_id in failed and (row.node_id is not None or row.run_id not in rows):
            rows[row.run_id] = row
    inputs = {row.run_id: row.row for row in source.rows(OutputRow, only={"node_id": ["input"]})} if failed else {}
    last = _last_successes(runs, inputs)
    replaced = {run.parent_run_id for run in runs if run.status == "finished" and _is_replacement(run, failed)}
    groups: dict[tuple[str | None, str], list[RunRow]] = {}
    for run in failed.values():
        if run.parent_run_id not in failed or _is_replacement(run, failed):  # a failed child belongs to its parent's failure
            known = rows.get(run.run_id)
            groups.setdefault((run.workflow, known.signature if known and known.signature else run.run_id), []).append(run)
    newest_first = sorted(groups.items(), key=lambda item: -max(_ended(run) for run in item[1]))
    for rank, ((_, signature), members) in enumerate(newest_first):
        members.sort(key=_ended, reverse=True)
        repeated = [run for run in members if last.get((run.workflow, inputs.get(run.run_id)), 0) > (run.started_at or 0)]
        settled = [run for run in members if run in repeated or run.run_id in replaced]
        how = "the same workflow succeeded with the same input since" if settled == repeated else "a fresh run of it succeeded since"
        for part, aside in (([run for run in members if run not in settled], ""), (settled, how)):
            if part:
                yield _failure(source, part, signature, rows.get(part[0].run_id), now, explained=rank < _MAX_EXPLAINED, succeeded=aside)


def _failure(  # noqa: PLR0913  # the facts about one group
    source: Source, members: list[RunRow], signature: str, row: FailureRow | None, now: int, *, explained: bool, succeeded: str
) -> Need:
    newest = members[0]
    case = Case(Snapshot(source, newest.run_id), now)
    why = explain(case.snapshot, now=now) if explained and not succeeded else None
    reason = why.summary if why else (row.message if row else None) or newest.error_message or "the reason is not recorded"
    folder, advice = why.folder if why else "", why.advice.detail if why and why.advice else ""
    denied = why is not None and why.failure is not None and why.failure.kind == "denied"
    aside = succeeded or ("a person denied it" if denied else "")
    count = f" ({len(members)} runs, same cause)" if len(members) > 1 else ""
    return _need(
        case,
        "FAILED",
        node_id=row.node_id if row else None,
        what=f"{short_line(reason, _MAX_REASON)}{count}",
        consequence=advice.replace(folder, "").strip() if folder else advice,
        since=_ended(newest) or None,
        commands=why.commands if why and why.commands else (case.engine.line("why", newest.run_id),),
        runs=len(members),
        run_ids=tuple(run.run_id for run in members),
        failure_class=row.failure_class if row else None,
        signature=signature if signature != newest.run_id else "",
        put_aside=aside,
    )


def _need(case: Case, kind: Kind, *, since: int | None, **fields: object) -> Need:
    run = case.run
    common = {
        "kind": kind,
        "engine": case.snapshot.source.kind,
        "store": case.snapshot.source.location,
        "run_id": run.run_id,
        "workflow": run.workflow,
        "since": since,
        "age_ms": None if since is None else max(case.now - since, 0),
        "folder": str(commands_folder(case.snapshot) or ""),
        "run_ids": (run.run_id,),
    }
    return Need(**(common | fields))  # type: ignore[arg-type]  # fields of `Need` by name


def _is_replacement(run: RunRow, failed: Mapping[str, RunRow]) -> bool:
    """Return whether a run was started to replace a failed one, as opposed to being a child of it."""
    parent = failed.get(run.parent_run_id or "")
    return parent is not None and parent.workflow == run.workflow and (run.started_at or run.created_at or 0) >= _ended(parent)


def _last_successes(runs: Iterable[RunRow], inputs: dict[str, str | None]) -> dict[tuple[str | None, str | None], int]:
    """Map workflow and input to the start time of the last run that finished."""
    last: dict[tuple[str | None, str | None], int] = {}
    for run in runs:
        if run.status == "finished":
            key = (run.workflow, inputs.get(run.run_id))
            last[key] = max(last.get(key, 0), run.started_at or 0)
    return last


def _marked(need: Need, marks: Iterable[Mark], now: int) -> Need:
    """Fill in `put_aside` from people's marks; a failure that came back after it was addressed counts as new."""
    reason = need.put_aside
    for mark in marks:
        if mark.store != need.store or mark.run_id not in need.run_ids:
            continue
        note = f": {redact(mark.note)}" if mark.note else ""
        if mark.action == "snoozed" and mark.until_ms is not None and mark.until_ms > now:
            reason = f"snoozed by {mark.marked_by}{note}"
        elif mark.action == "addressed" and need.kind == "FAILED" and (need.since or 0) <= mark.marked_at_ms:
            reason = f"addressed by {mark.marked_by}{note}"
    return replace(need, put_aside=reason)


def _ended(run: RunRow) -> int:
    return run.finished_at or run.started_at or run.created_at or 0
