"""What needs a person now, over all stores and engines: questions to answer, gates to decide, failures that nobody has dealt with.

Only what blocks a person counts. A failure steps back when the same workflow later succeeded with the same input or in a fresh run that
was started for it, or when somebody marked it as addressed and it has not come back since. What failed for the same cause is one line.
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
_WORDS: Final = 600

_EXPLAINED: Final = 25
"""Failures whose advice is worked out, the newest ones; the others are pointed to `why`."""


class Need(Finding):
    """One thing that needs a person."""

    kind: Kind
    engine: str = described("whose run it is: smithers, journal, dbos, …")
    store: str = described("where the run lives, path or URL without secrets")
    run_id: str = described("the run; of several with the same cause the newest")
    workflow: str | None = None
    node_id: str | None = None
    iteration: int = 0
    what: str = described("what is asked, or what failed")
    consequence: str = described("what follows as long as nobody does anything, or from what is decided", default="")
    since: int | None = described("epoch milliseconds", default=None)
    age_ms: int | None = described("how long it has been waiting", default=None)
    deadline: int | None = described("when it ends by itself, epoch milliseconds", default=None)
    commands: tuple[str, ...] = described("what decides it, in the order to run", default=())
    alternatives: tuple[str, ...] = described("what decides it otherwise, such as a denial", default=())
    folder: str = described("where the commands have to be run, as a sentence", default="")
    runs: int = described("runs that failed for the same cause", default=1)
    run_ids: tuple[str, ...] = described("those runs, newest first", default=())
    failure_class: str | None = None
    signature: str = ""
    put_aside: str = described("why it is left out of the list: snoozed, addressed, succeeded since; empty when it is not", default="")


def needs(source: Source, now: int, *, since_ms: int = 0, marks: Iterable[Mark] = ()) -> list[Need]:
    """List what needs a person in one place, questions first, then gates, then failures, each the longest waiting first.

    Args:
        source: A store, or several of one place.
        now: Epoch milliseconds.
        since_ms: Leave out failures before this epoch millisecond.
        marks: What people put aside.

    Returns:
        Everything, also what is put aside; `put_aside` says why.

    Raises:
        SourceVanished: The store is gone.
    """
    runs = [run for run in source.rows(RunRow) if (run.started_at or run.created_at or 0) <= now]
    active = [run for run in runs if not is_terminal(run.status) or run.status == SESSION_ASKS]
    found = [need for seen in snapshots(source, active).values() for need in _of_active(Case(seen, now))]
    found += _failures(source, [run for run in runs if not is_monitor(run)], now, since_ms)
    kept = list(marks)
    marked = [_marked(need, kept, now) for need in found]
    return sorted(marked, key=lambda need: (_ORDER[need.kind], need.since or 0, need.run_id))


def _of_active(case: Case) -> Iterator[Need]:
    """List what a run that has not ended asks of people; that it is stuck is a failure nobody wrote down."""
    asked = list(asked_of(case))
    yield from map(_asked, asked)
    if asked or is_terminal(case.run.status) or is_monitor(case.run):
        return
    bucket, reason = health(case.snapshot, case.now)
    if bucket in {"stuck", "failed"}:
        yield _stuck(case, reason)


def _asked(asked: OpenRequest) -> Need:
    case, blocker = asked.case, asked.blocker
    alone = case.is_parked or is_terminal(case.run.status)
    then = "the run waits, and nothing else of it goes on" if alone else "this part of the run waits; the rest goes on"
    return _need(
        case,
        asked.kind,
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
        consequence="it does not go on by itself",
        since=case.last_activity or None,
        commands=why.commands,
        failure_class=why.classification.failure_class if why.classification else None,
    )


def _failures(source: Source, runs: Sequence[RunRow], now: int, since_ms: int) -> Iterator[Need]:
    failed = {run.run_id: run for run in runs if run.status == "failed" and (run.finished_at or run.started_at or 0) >= since_ms}
    told: dict[str, FailureRow] = {}
    for row in failure_rows(source, now=now) if failed else ():
        if row.run_id in failed and (row.node_id is not None or row.run_id not in told):
            told[row.run_id] = row
    inputs = {row.run_id: row.row for row in source.rows(OutputRow, only={"node_id": ["input"]})} if failed else {}
    last = _last_successes(runs, inputs)
    mended = {run.parent_run_id for run in runs if run.status == "finished" and _is_afresh(run, failed)}
    groups: dict[tuple[str | None, str], list[RunRow]] = {}
    for run in failed.values():
        if run.parent_run_id not in failed or _is_afresh(run, failed):  # else it is a part of its parent's failure
            known = told.get(run.run_id)
            groups.setdefault((run.workflow, known.signature if known and known.signature else run.run_id), []).append(run)
    newest_first = sorted(groups.items(), key=lambda item: -max(_ended(run) for run in item[1]))
    for place, ((_, signature), members) in enumerate(newest_first):
        members.sort(key=_ended, reverse=True)
        again = [run for run in members if last.get((run.workflow, inputs.get(run.run_id)), 0) > (run.started_at or 0)]
        settled = [run for run in members if run in again or run.run_id in mended]
        how = "the same workflow succeeded with the same input since" if settled == again else "a fresh run of it succeeded since"
        for part, aside in (([run for run in members if run not in settled], ""), (settled, how)):
            if part:
                yield _failure(source, part, signature, told.get(part[0].run_id), now, explained=place < _EXPLAINED, succeeded=aside)


def _failure(  # noqa: PLR0913  # what is known of a group
    source: Source, members: list[RunRow], signature: str, row: FailureRow | None, now: int, *, explained: bool, succeeded: str
) -> Need:
    newest = members[0]
    case = Case(Snapshot(source, newest.run_id), now)
    why = explain(case.snapshot, now=now) if explained and not succeeded else None
    said = why.summary if why else (row.message if row else None) or newest.error_message or "the reason is not recorded"
    folder, advice = why.folder if why else "", why.advice.detail if why and why.advice else ""
    denied = why is not None and why.failure is not None and why.failure.kind == "denied"
    aside = succeeded or ("a person denied it" if denied else "")
    again = f" ({len(members)} runs, same cause)" if len(members) > 1 else ""
    return _need(
        case,
        "FAILED",
        node_id=row.node_id if row else None,
        what=f"{short_line(said, _WORDS)}{again}",
        consequence=advice.replace(folder, "").strip() if folder else advice,
        since=_ended(newest) or None,
        commands=why.commands if why and why.commands else (case.engine.line("why", newest.run_id),),
        runs=len(members),
        run_ids=tuple(run.run_id for run in members),
        failure_class=row.failure_class if row else None,
        signature=signature if signature != newest.run_id else "",
        put_aside=aside,
    )


def _need(case: Case, kind: Kind, *, since: int | None, **about: object) -> Need:
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
    return Need(**(common | about))  # type: ignore[arg-type]  # its own fields by name


def _is_afresh(run: RunRow, failed: Mapping[str, RunRow]) -> bool:
    """Return whether a run was started once more after another had failed, with what was corrected for it, and is no part of that one."""
    parent = failed.get(run.parent_run_id or "")
    return parent is not None and parent.workflow == run.workflow and (run.started_at or run.created_at or 0) >= _ended(parent)


def _last_successes(runs: Iterable[RunRow], inputs: dict[str, str | None]) -> dict[tuple[str | None, str | None], int]:
    """Map workflow and input to when the last run that finished was started."""
    last: dict[tuple[str | None, str | None], int] = {}
    for run in runs:
        if run.status == "finished":
            about = (run.workflow, inputs.get(run.run_id))
            last[about] = max(last.get(about, 0), run.started_at or 0)
    return last


def _marked(need: Need, marks: Iterable[Mark], now: int) -> Need:
    """Describe of a line that somebody has put it aside; a failure that came back after it was addressed is a new one."""
    said = need.put_aside
    for mark in marks:
        if mark.store != need.store or mark.run_id not in need.run_ids:
            continue
        note = f": {redact(mark.note)}" if mark.note else ""
        if mark.action == "snoozed" and mark.until_ms is not None and mark.until_ms > now:
            said = f"snoozed by {mark.marked_by}{note}"
        elif mark.action == "addressed" and need.kind == "FAILED" and (need.since or 0) <= mark.marked_at_ms:
            said = f"addressed by {mark.marked_by}{note}"
    return replace(need, put_aside=said)


def _ended(run: RunRow) -> int:
    return run.finished_at or run.started_at or run.created_at or 0
