"""`node`, `output`, `diff` and `scores`: what the nodes of a run did, produced and changed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import click

from smithers_nb.cli.options import CommandContext, command, iteration_option, maybe_node_argument, node_argument, run_argument
from smithers_nb.cli.output import Column, Format, moment, node_name, note, parsed, print_finding, print_rows, took
from smithers_nb.cli.text_page import Sheet
from smithers_nb.diagnosis.engines.base import engine_of
from smithers_nb.present.html.text import shown

if TYPE_CHECKING:
    from smithers_nb.model.rows import DiffRow, OutputRow
    from smithers_nb.run import Node, Run

_MAX_DIFF = 1_000_000
_SCORES = (
    Column("NODE", node_name),
    Column("TRY", lambda row: row.attempt),
    Column("SCORER", lambda row: row.scorer_name or row.scorer_id),
    Column("SCORE", lambda row: "-" if row.score is None else f"{row.score:.3g}"),
    Column("AT (UTC)", lambda row: moment(row.scored_at), spare=1),
    Column("REASON", lambda row: row.reason, grow=True),
)
_TONE_OF_LINE = {"+": "green", "-": "red", "@": "cyan"}


@command(
    "node",
    run_argument,
    node_argument,
    iteration_option,
    example="smithers-nb node 49315 review\nsmithers-nb node 49315 review --iteration 2 --format json",
)
def node(ask: CommandContext, run: str, node: str, iteration: int | None) -> None:
    """Show one node: its attempts with their errors, its tools, tokens and output.

    A node in a loop is found by its own id, or by the id in the workflow's source.
    """
    with ask.project() as project:
        found = project.run(run).node(node, iteration)
        print_finding(found.inspect(), ask.fmt, lambda: _node_page(found))


@command(
    "output",
    run_argument,
    maybe_node_argument,
    iteration_option,
    example="smithers-nb output 49315\nsmithers-nb output 49315 plan --format json | jq '.[0].row'",
)
def output(ask: CommandContext, run: str, node: str | None, iteration: int | None) -> None:
    """Print what a run's nodes produced, all of them or one.

    The run's input is the row of the node `input`.
    """
    with ask.project() as project:
        rows = _rows(project.run(run), "outputs", node, iteration)
        _print_blocks(rows, ask.fmt, _output_lines, nothing="nothing was produced")


@command(
    "diff",
    run_argument,
    maybe_node_argument,
    iteration_option,
    example="smithers-nb diff 49315\nsmithers-nb diff 49315 implement --format json | jq '.[].patches[].path'",
)
def diff(ask: CommandContext, run: str, node: str | None, iteration: int | None) -> None:
    """Print the file changes a run's nodes made, all of them or one.

    A store has them only when they were requested while the engine's files still existed.
    """
    with ask.project() as project:
        found = project.run(run)
        computed = "; `bunx smithers-orchestrator diff` computes them" if engine_of(found.snapshot).is_watched else ""
        _print_blocks(_rows(found, "diffs", node, iteration), ask.fmt, _diff_lines, nothing=f"the store has no file changes{computed}")


@command(
    "scores",
    run_argument,
    maybe_node_argument,
    iteration_option,
    example="smithers-nb scores 49315\nsmithers-nb scores 49315 --format jsonl",
)
def scores(ask: CommandContext, run: str, node: str | None, iteration: int | None) -> None:
    """Print the scores of a run's nodes, all of them or one."""
    with ask.project() as project:
        print_rows(_rows(project.run(run), "scores", node, iteration), ask.fmt, _SCORES, nothing="no scorer ran")


def _rows(run: Run, what: str, node: str | None, iteration: int | None) -> list[Any]:
    if node is not None:
        rows: list[Any] = getattr(run.node(node, iteration), what)
        return rows
    return [row for row in getattr(run.snapshot, what) if iteration in (None, row.iteration)]


def _print_blocks(rows: list[Any], fmt: Format, lines: Any, *, nothing: str) -> None:
    if fmt != "table":
        print_rows(rows, fmt, (), nothing=nothing)
    elif not rows:
        note(nothing)
    for row in rows if fmt == "table" else ():
        for line in lines(row):
            click.echo(line)


def _output_lines(row: OutputRow) -> Iterable[str]:
    sheet = Sheet()
    sheet.heading(node_name(row), f"table {row.table}")
    sheet.fields(_object(row.row))
    return [*sheet.lines, ""]


def _diff_lines(row: DiffRow) -> Iterable[str]:
    patches = parsed(row.patches)
    yield click.style(shown(f"{node_name(row)}  against {row.base_ref or 'its base'}"), bold=True)
    for patch in patches if isinstance(patches, list) else []:
        if isinstance(patch, dict):
            yield shown(f"{patch.get('operation', 'change')} {patch.get('path', '')}")
            for line in shown(patch.get("diff") or "", _MAX_DIFF).splitlines():
                yield click.style(line, fg=_TONE_OF_LINE.get(line[:1]))
    yield ""


def _node_page(node: Node) -> Iterable[str]:
    sheet = Sheet()
    newest = node.states[-1] if node.states else None
    sheet.headline(newest.state if newest else "unknown", node.id, node.snapshot.run.run_id)
    sheet.blank()
    sheet.prose("Title", newest.label if newest and newest.label != node.id else "")
    sheet.prose("Attempts", "" if node.attempts else "none")
    sheet.states("Iterations", [(row.state, node_name(row), row.label or "", "") for row in node.states] if len(node.states) > 1 else [])
    for attempt in node.attempts:
        by = " ".join(part for part in (attempt.kind, attempt.engine or attempt.agent, attempt.model) if part)
        label = f"Attempt {attempt.attempt}" + (f"#{attempt.iteration}" if attempt.iteration else "")
        sheet.states(
            label, [("reset" if attempt.reset else attempt.state, f"{moment(attempt.started_at)} UTC", took(attempt.duration_s), by)]
        )
        sheet.prose("", ": ".join(part for part in (attempt.error_code or attempt.error_name, attempt.error_message) if part))
    sheet.states(
        "Tools", [(call.status, call.tool_name, f"attempt {call.attempt}", call.error or call.input or "") for call in node.tool_calls]
    )
    sheet.verbatim("Tokens", [_tokens(row) for row in node.tokens])
    sheet.states("Gate", [(row.status, row.title or "", row.decided_by or "", row.note or "") for row in node.approvals])
    sheet.states("Question", [(row.status, row.prompt or "", row.answer or "") for row in node.questions])
    for row in node.outputs:
        sheet.blank()
        sheet.heading(f"Output of {node_name(row)}", f"table {row.table}")
        sheet.fields(_object(row.row))
    return sheet.lines


def _tokens(row: Any) -> str:
    kinds = {"in": row.input_tokens, "out": row.output_tokens, "cached": row.cache_read_tokens, "reasoning": row.reasoning_tokens}
    counts = ", ".join(f"{count:,} {kind}" for kind, count in kinds.items() if count is not None)
    return f"attempt {row.attempt}  {counts}  {row.model or ''}".rstrip()


def _object(text: str | None) -> dict[str, Any]:
    value = parsed(text)
    return value if isinstance(value, dict) else {"value": value}
