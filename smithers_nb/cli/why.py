"""`why`: what a run failed on or waits for, and the one thing to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from smithers_nb.cli.options import Asked, command, now_option, run_argument
from smithers_nb.cli.output import moment, print_finding, took
from smithers_nb.cli.sheet import Sheet

if TYPE_CHECKING:
    from smithers_nb.model.explanation import Explanation
    from smithers_nb.model.rows import RunRow
    from smithers_nb.model.verdict import Failure


@command("why", run_argument, now_option, example="smithers-nb why 49315\nsmithers-nb why 49315 --format json | jq .advice.commands")
def why(ask: Asked, run: str) -> None:
    """Say what a run failed on or waits for, and what to do.

    For a failed run: the node and the attempt that failed, whose fault it is, and one suggestion with commands that run as printed,
    with a preview of what a retry-task resets. For a run that waits or hangs: what it waits for, and how to answer.
    """
    with ask.project() as project:
        found = project.run(run)
        explanation = found.why()
        print_finding(explanation, ask.fmt, lambda: explanation_page(explanation, found.row, project.now))


def explanation_page(why: Explanation, run: RunRow, now: int) -> Iterable[str]:
    """Lay out an explanation."""
    sheet = Sheet()
    sheet.headline(why.state, why.workflow or "workflow", run.run_id)
    sheet.prose("", _lifetime(run, now))
    sheet.blank()
    sheet.prose("In short", why.summary)
    if why.failure and why.failure.kind != "none":
        _failure(sheet, why.failure)
    if why.classification:
        kind = why.classification
        sheet.prose("Class", f"{kind.failure_class}, confidence {kind.confidence} (rule {kind.rule})", kind.reason)
    for blocker in why.blockers:
        sheet.blank()
        since = f", for {took((now - blocker.since) / 1000)}" if blocker.since is not None and now >= blocker.since else ""
        where = f"{blocker.node_id}{f'#{blocker.iteration}' if blocker.iteration else ''}: " if blocker.node_id else ""
        sheet.prose("Waits for", f"{where}{blocker.reason or blocker.kind}{since}")
        sheet.commands("To go on", blocker.commands)
    if why.advice:
        sheet.prose("Suggestion", why.advice.suggestion, why.advice.detail)
    _rest(sheet, why)
    if why.advice:
        sheet.commands("Commands", why.advice.commands)
    return sheet.lines


def _failure(sheet: Sheet, failure: Failure) -> None:
    where = f"{failure.node_id or 'the run itself'}{f'#{failure.iteration}' if failure.iteration else ''}"
    limit = f" of {failure.max_attempts}" if failure.max_attempts else ""
    tries = f", attempt {failure.attempt}{limit}" if failure.attempt else ""
    same = f", the same error each of {len(failure.signatures)} times" if failure.persistent else ""
    child = f" (in child run {failure.run_id})" if failure.parents else ""
    sheet.prose("Failed", f"{where}{tries}{same}{child}")
    told = dict.fromkeys(f"{link.code or link.name or 'Error'}: {link.message}" for link in failure.chain if link.message)
    sheet.prose("Error", *list(told)[:3])
    sheet.prose("Also failed", ", ".join(failure.collateral[:8]))


def _rest(sheet: Sheet, why: Explanation) -> None:
    if why.reset_preview:
        sheet.prose("Would reset", why.reset_preview.summary)
    failed = {why.failure.node_id, *why.failure.collateral} if why.failure else set()
    sheet.prose("Failed nodes", ", ".join(name for name in why.failed_nodes if name not in failed))
    sheet.prose("Noticed", *(defect.summary for defect in why.defects))
    sheet.prose("Not readable", *why.problems)


def _lifetime(run: RunRow, now: int) -> str:
    if run.started_at is None:
        return f"created {moment(run.created_at)} UTC" if run.created_at else ""
    if run.finished_at is not None:
        return f"started {moment(run.started_at)} UTC, over after {took((run.finished_at - run.started_at) / 1000)}"
    return f"started {moment(run.started_at)} UTC, {took(max(now - run.started_at, 0) / 1000)} ago"
