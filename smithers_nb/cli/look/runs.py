"""`ps` and `inspect`: the runs of a store, and one of them in full."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.options import CommandContext, Utf8, command, now_option, run_argument
from smithers_nb.cli.output import (
    Column,
    age,
    message,
    moment,
    node_name,
    note,
    print_finding,
    print_rows,
    record,
    screen_width,
    short_ids,
    took,
)
from smithers_nb.cli.text_page import Sheet
from smithers_nb.diagnosis.failure.order import by_start
from smithers_nb.diagnosis.history.autopsies import newest_autopsies
from smithers_nb.model.counts import plural
from smithers_nb.model.timestamps import duration

if TYPE_CHECKING:
    from smithers_nb.model.explanation import Autopsy
    from smithers_nb.model.rows import AttemptRow, NodeRow, RunRow, TokenRow

_WENT_WELL = frozenset({"succeeded", "finished", "continued"})
_DEFAULT_LIMIT = 20
_MAX_NODES = 60
_MAX_ERROR = 2_000
_OPTIONS = (
    click.option("--all", "-a", "everything", is_flag=True, help="Every run, not only the newest."),
    click.option("--status", "-S", type=Utf8(), multiple=True, help="Only runs of this status or state; may be given several times."),
    click.option(
        "--limit", "-l", type=click.IntRange(min=1), default=_DEFAULT_LIMIT, show_default=True, help="At most this many, the newest."
    ),
)


@command("ps", *_OPTIONS, now_option, example="smithers-nb ps\nsmithers-nb ps --all --status failed --format jsonl")
def ps(ask: CommandContext, *, everything: bool, status: tuple[str, ...], limit: int) -> None:
    """List the runs of a store, newest first.

    The state is derived as of --now: a run that is recorded as running but whose owner gives no sign of life is stale or orphaned.
    On a terminal ids are shortened to what identifies them; piped output has whole ids.
    """
    with ask.project() as project:
        rows = project.run_rows(status=status)
        shown = rows if everything else rows[:limit]
        short = short_ids(row.run_id for row in project.run_rows()) if ask.fmt == "table" and screen_width() else {}
        reasons = project.reasons(rows) if ask.fmt == "table" else {}
        others = _same_cause_counts(reasons)
        autopsies = newest_autopsies(project.source, shown)
        columns = (
            Column("RUN", lambda row: short.get(row.run_id, row.run_id)),
            Column("WORKFLOW", lambda row: row.workflow, spare=4 if _ids_start_with_workflows(shown) else 1),
            Column("STATE", lambda row: row.state, state=True),
            Column("STARTED (UTC)", lambda row: moment(row.started_at or row.created_at), spare=5),
            Column("AGE", lambda row: age(row.started_at or row.created_at, project.now)),
            Column("TOOK", lambda row: took(row.duration_s), spare=3),
            Column("SAME CAUSE", lambda row: others.get(row.run_id, ""), spare=2),
            *((Column("AUTOPSY", lambda row: _autopsy(autopsies.get(row.run_id)), spare=6),) if autopsies else ()),
            Column("ERROR", lambda row: message(reasons.get(row.run_id)), grow=True),
        )
        print_rows(
            shown if ask.fmt == "table" else (_with_autopsy(row, autopsies.get(row.run_id)) for row in shown),
            ask.fmt,
            columns,
            nothing=f"no such runs in {project.source.location}" if status else f"no runs in {project.source.location}",
        )
        if len(shown) < len(rows):
            note(f"{len(rows) - len(shown):,} older runs are not shown; --all shows them")


def _ids_start_with_workflows(rows: Iterable[RunRow]) -> bool:
    """Return whether every run id begins with the name of its workflow, such as `order-sync-010`."""
    return all(row.workflow is not None and row.run_id.startswith(row.workflow) for row in rows)


def _same_cause_counts(reasons: dict[str, str]) -> dict[str, str]:
    """Count for each failed run the other runs with the same signature of their error."""
    from smithers_nb.diagnosis.failure.signature import signature

    same = {run_id: signature(text) for run_id, text in reasons.items()}
    runs = Counter(same.values())
    return {run_id: plural(runs[key] - 1, "other") for run_id, key in same.items() if runs[key] > 1}


def _autopsy(found: list[Autopsy] | None) -> str:
    return f"{found[0].run_id} {found[0].status}" if found else ""


def _with_autopsy(row: RunRow, found: list[Autopsy] | None) -> Any:
    """Add the newest autopsy of a failed run to its row."""
    return {**record(row), "autopsy": {"runId": found[0].run_id, "status": found[0].status}} if found else row


@command(
    "inspect", run_argument, now_option, example="smithers-nb inspect 49315\nsmithers-nb inspect 49315 --format json | jq '.nodes[].state'"
)
def inspect(ask: CommandContext, run: str) -> None:
    """Show one run: its state, nodes, attempts, gates, questions, defects, and what could not be read."""
    with ask.project() as project:
        found = project.run(run).inspect()
        print_finding(found, ask.fmt, lambda: _page(found, ask.source))


def _page(found: dict[str, Any], source: str | None) -> Iterable[str]:
    run = found["run"]
    sheet = Sheet()
    sheet.headline(run.state, run.workflow or "workflow", run.run_id)
    sheet.blank()
    sheet.prose("Status", run.status if run.status != run.state else "")
    sheet.prose("Started", f"{moment(run.started_at)} UTC" if run.started_at else "")
    sheet.prose("Took", took(run.duration_s) if run.duration_s is not None else "")
    sheet.verbatim("File", [run.workflow_path] if run.workflow_path else [])
    sheet.verbatim("Parent", [run.parent_run_id] if run.parent_run_id else [])
    sheet.prose("Error", ": ".join(part for part in (run.error_code, message(run.error_message, _MAX_ERROR)) if part))
    _nodes(sheet, found["nodes"], found["attempts"], found["tokens"])
    _people(sheet, found)
    sheet.verbatim("Child runs", [f"{child.run_id}  {child.status}" for child in found["children"]])
    sheet.prose("Autopsy", *(autopsy.standing for autopsy in found["autopsies"]))
    sheet.verbatim("Autopsy of", [found["autopsy_of"]] if found["autopsy_of"] else [])
    sheet.prose("Also noticed", *(f"{defect.kind}: {defect.summary}" for defect in found["defects"]))
    sheet.prose("Not readable", *(f"{problem.where}: {problem.what}" for problem in found["problems"]))
    if run.state not in _WENT_WELL:
        option = f" --source {shlex.quote(source)}" if source else ""
        sheet.commands("Next", [f"smithers-nb why {shlex.quote(run.run_id)}{option}"])
    return sheet.lines


def _nodes(sheet: Sheet, nodes: list[NodeRow], attempts: list[AttemptRow], tokens: list[TokenRow]) -> None:
    """List the nodes in the order in which they first started; those that never started come last, in the order of the store."""
    tries: dict[tuple[str, int], list[AttemptRow]] = {}
    for attempt in sorted(attempts, key=by_start):
        tries.setdefault((attempt.node_id, attempt.iteration), []).append(attempt)
    spent: Counter[tuple[str, int]] = Counter()
    for row in tokens:
        spent[row.node_id, row.iteration] += (row.input_tokens or 0) + (row.output_tokens or 0)

    def first(node: NodeRow) -> tuple[bool, int]:
        started = [attempt.started_at for attempt in tries.get((node.node_id, node.iteration), []) if attempt.started_at is not None]
        return not started, min(started, default=0)

    ordered = sorted(nodes, key=first)
    if len(ordered) > _MAX_NODES:
        ordered.sort(key=lambda node: node.state in {"finished", "skipped"})
    sheet.blank()
    lines = [
        _node_line(node, tries.get((node.node_id, node.iteration), []), spent[node.node_id, node.iteration])
        for node in ordered[:_MAX_NODES]
    ]
    sheet.states("Nodes", lines)
    if len(ordered) > _MAX_NODES:
        sheet.prose("", f"… and {len(ordered) - _MAX_NODES:,} more; --format json shows them")


def _node_line(node: NodeRow, tries: list[AttemptRow], tokens: int) -> tuple[str, ...]:
    newest = tries[-1] if tries else None
    attempt = f"attempt {newest.attempt}" if newest else ""
    length = duration(newest.duration_s) if newest else ""
    who = " ".join(part for part in (newest.agent, newest.model) if part) if newest else ""
    error = newest.error_message if newest and newest.state != "finished" else ""
    text = error or (node.label if node.label and node.label != node.node_id else "")
    return node.state, node_name(node), attempt, length, who, f"{tokens:,} tokens" if tokens else "", text


def _people(sheet: Sheet, found: dict[str, Any]) -> None:
    sheet.blank()
    sheet.states(
        "Gates",
        [
            (a.status, node_name(a), a.title or "", " ".join(p for p in (f"by {a.decided_by}" if a.decided_by else "", a.note) if p))
            for a in found["approvals"]
        ],
    )
    sheet.states("Questions", [(q.status, node_name(q), q.prompt or "", q.answer or "") for q in found["questions"]])
    sheet.blank()
