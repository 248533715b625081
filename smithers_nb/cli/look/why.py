"""`why`: what a run failed on or waits for, and the one thing to do about it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from smithers_nb.cli.options import CommandContext, command, maybe_run_argument, now_option, workflow_option
from smithers_nb.cli.output import moment, print_finding, run_or_newest, took
from smithers_nb.cli.text_page import Sheet
from smithers_nb.sources.stores.json_text import as_object

if TYPE_CHECKING:
    from smithers_nb.model.explanation import Explanation
    from smithers_nb.model.rows import RunRow
    from smithers_nb.model.verdict import Advice, Blocker, Failure


_EXHAUSTED, _HELD_UP = frozenset({"retries-exhausted", "task-failed"}), "dependency-failed"
_EDITED = "workflow-changed"
_MAX_NAMES = 8


@command(
    "why",
    maybe_run_argument,
    workflow_option,
    now_option,
    example="""smithers-nb why
smithers-nb why 49315 --format markdown
smithers-nb why 49315 --format json | jq .advice.commands""",
    markdown=True,
)
def why(ask: CommandContext, run: str | None, workflow_path: Path | None) -> None:
    """Explain what a run failed on or waits for, and what to do.

    For a failed run: the node and the attempt that failed, whose fault it is, and one suggestion with commands that run as printed,
    with a preview of what a retry-task resets. For a run that waits or hangs: what it waits for, and how to answer. Without RUN, the newest
    run with a problem, else the newest run.
    """
    with ask.project() as project:
        found = run_or_newest(project, run, healthy=True)
        explanation = found.why(workflow_path=workflow_path)
        if ask.fmt == "markdown":
            from smithers_nb.present.markdown import explanation_card

            click.echo(explanation_card(explanation), nl=False)
            return
        print_finding(explanation, ask.fmt, lambda: explanation_page(explanation, found.row, project.now))


def explanation_page(why: Explanation, run: RunRow, now: int) -> Iterable[str]:
    """Return the lines of an explanation."""
    sheet = Sheet()
    sheet.headline(why.state, why.workflow or "workflow", run.run_id)
    sheet.blank()
    sheet.prose("Started", _lifetime(run, now))
    sheet.prose("Why", why.summary)
    if why.classification:
        kind = why.classification
        sheet.prose("Class", f"{kind.failure_class}, confidence {kind.confidence} (rule {kind.rule})")
        sheet.prose("Either", *(hypothesis.text for hypothesis in kind.hypotheses))
    if why.failure and why.failure.kind != "none":
        sheet.prose("Attempts", _attempts(why.failure))
    sheet.source("Source", why.source)
    sheet.prose("Also failed" if why.failure else "Failed", _names(_other_failed_nodes(why)))
    said = why.summary.casefold()
    sheet.prose("Also noticed", *(defect.summary for defect in why.defects if defect.summary.casefold() not in said))
    sheet.prose("Held up", _names([blocker.node_id or "" for blocker in why.blockers if blocker.kind == _HELD_UP]))
    sheet.prose("Autopsy", *(autopsy.standing for autopsy in why.autopsies[:_MAX_NAMES]))
    sheet.verbatim("Autopsy of", [why.autopsy_of] if why.autopsy_of else [])
    sheet.prose("Not readable", *why.problems)
    if why.advice:
        sheet.blank()
        sheet.prose("Suggestion", why.advice.suggestion, why.advice.detail)
        sheet.commands("Commands", why.advice.commands)
    for blocker in why.blockers:
        if blocker.commands or blocker.choices or not why.advice or _is_news(blocker, why.advice):
            _blocker(sheet, blocker, why)
    if why.folder and not why.advice and any(blocker.commands for blocker in why.blockers):
        sheet.blank()
        sheet.prose("Where", why.folder)
    return sheet.lines


def _is_news(blocker: Blocker, advice: Advice) -> bool:
    """Return whether an edit of the workflow still has to be explained: the advice may already do so."""
    return blocker.kind == _EDITED and "--accept-workflow-change" not in advice.detail


def _other_failed_nodes(why: Explanation) -> list[str]:
    """Return the nodes that failed besides the explained one."""
    if why.failure is None:
        return list(why.failed_nodes)
    told = {why.failure.node_id, f"{why.failure.node_id}#{why.failure.iteration}", *why.failure.collateral}
    return [name for name in why.failed_nodes if name not in told]


def _names(names: list[str]) -> str:
    more = f" and {len(names) - _MAX_NAMES:,} more" if len(names) > _MAX_NAMES else ""
    return ", ".join(names[:_MAX_NAMES]) + more


def _attempts(failure: Failure) -> str:
    """Describe how often the task was tried, and how often it may be."""
    if failure.attempt is None:
        return ""
    limit = f" of {failure.max_attempts}" if failure.max_attempts and failure.attempt <= failure.max_attempts else ""
    endless = ", without a limit" if failure.max_attempts is None and failure.attempts > 1 else ""
    same = ", the same failure each time" if failure.persistent else ""
    last = "" if failure.at is None else f"; last at {moment(failure.at)} UTC"
    return f"{failure.attempt}{limit}{endless}{same}{last}"


def _blocker(sheet: Sheet, blocker: Blocker, why: Explanation) -> None:
    """Add what keeps the run from going on; of the failure itself, only what the page does not show yet."""
    if blocker.kind == _HELD_UP:
        return
    suggested = why.advice.commands if why.advice else ()
    if blocker.kind in _EXHAUSTED and why.reset_preview and blocker.node_id == why.reset_preview.node_id:
        is_rewind = why.advice is not None and why.advice.suggestion == "rewind"  # which already runs the task again
        if not is_rewind and not set(blocker.commands) <= set(suggested):
            sheet.blank()
            sheet.prose("New attempts", f"`retry-task` {why.reset_preview.summary}. A resume would only replay the recorded error.")
            sheet.commands("", blocker.commands)
        return
    iteration = f"#{blocker.iteration}" if blocker.iteration else ""
    label = "Waits for" if blocker.kind.startswith("waiting-") else "Blocked"
    sheet.blank()
    sheet.prose(label, f"{blocker.node_id}{iteration}: {blocker.reason}" if blocker.node_id else blocker.reason)
    sheet.commands("One of these", blocker.choices)
    sheet.commands("Then" if blocker.choices else "To continue", blocker.commands)
    sheet.commands("Or instead", blocker.alternatives)


def _lifetime(run: RunRow, now: int) -> str:
    if run.started_at is None and "executed" in as_object(run.config):
        return f"not recorded; last written {moment(run.created_at)} UTC" if run.created_at else ""
    if run.started_at is None:
        return f"never; created {moment(run.created_at)} UTC" if run.created_at else ""
    if run.finished_at is not None:
        return f"{moment(run.started_at)} UTC, ended after {took((run.finished_at - run.started_at) / 1000)}"
    return f"{moment(run.started_at)} UTC, {took(max(now - run.started_at, 0) / 1000)} ago"
