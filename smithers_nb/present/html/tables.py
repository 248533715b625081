"""Tables of what a run recorded, and of what history says about it.

Gets typed rows (or frames of the same table) and findings; gives cards. Long tables are cut, and say so: rows that failed are kept first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from smithers_nb.model.rows import ApprovalRow, AttemptRow, QuestionRow
from smithers_nb.model.timestamps import duration, when
from smithers_nb.present.html.markup import Card, Html, h, join, table, text_table
from smithers_nb.present.html.parts import anchor, empty, note, state_mark
from smithers_nb.present.html.row_input import Rows, rows_of
from smithers_nb.present.html.states import look
from smithers_nb.present.html.text import one_line, shown, visible
from smithers_nb.redact import redact

if TYPE_CHECKING:
    from smithers_nb.model.rows import RunRow
    from smithers_nb.model.verdict import Change, LastGoodRun, Recurrence

_SHORT_ID = 36
_LINK = " See https://smithers.sh/reference/"
_DIFF_TONES = {"+": ("snb-added", "added"), "-": ("snb-removed", "removed")}
_DIFF_HEADS = ("diff ", "index ", "+++ ", "--- ", "@@", "new file", "deleted file", "rename ", "similarity ")


def timeline_table(attempts: Rows[AttemptRow], *, limit: int = 200, collateral: Sequence[str] = ()) -> Card:
    """List attempts in the order in which they started.

    Args:
        attempts: Rows or frame of attempts.
        limit: Rows that are shown; attempts that failed are kept before others.
        collateral: Node ids whose failure is a consequence of another.
    """
    rows = sorted(rows_of(AttemptRow, attempts), key=lambda row: (row.started_at or 0, row.node_id, row.iteration, row.attempt))
    if not rows:
        return _nothing("attempts")
    kept = _most_telling(rows, limit)
    columns = ("Node", "Try", "State", "Started", "Took", "Error")
    cells = [
        (
            _node(row),
            str(row.attempt),
            _state_of(row, collateral),
            _time(row.started_at),
            _time(duration(row.duration_s)),
            one_line(row.error_message, 200),
        )
        for row in kept
    ]
    lines = join(
        h("tr", _node_cell(node), h("td", number, class_="snb-number"), h("td", _mark(state)), *map(_cell, rest), id=_row_id(row))
        for row, (node, number, state, *rest) in zip(kept, cells, strict=True)
    )
    caption = f"Attempts, {len(kept)} of {len(rows)}: those that failed first" if len(kept) < len(rows) else f"Attempts ({len(rows)})"
    text = text_table(columns, ((node, number, look(state).word, *rest) for node, number, state, *rest in cells))
    return Card(h("div", table(caption, columns, [lines]), class_="snb"), f"{caption}\n{text}")


def recurrence_table(recurrence: Recurrence) -> Card:
    """Show how often the same failure occurred in the whole store, and what it has cost."""
    rows = [
        ("Failed attempts with this signature", f"{recurrence.count:,}"),
        ("Runs that met it", f"{recurrence.runs:,}"),
        ("First", when(recurrence.first_at)),
        ("Last", when(recurrence.last_at)),
        ("Time spent in them", duration(recurrence.wall_s)),
        ("Tokens spent in them", f"{recurrence.tokens:,}" if recurrence.tokens else ""),
        ("Latest runs", ", ".join(recurrence.run_ids)),
        ("Repair loop", recurrence.repair_loop),
    ]
    return _two_columns("How often this has happened", [row for row in rows if row[1]])


def changes_table(changes: Sequence[Change], last_good: LastGoodRun | None = None) -> Card:
    """Show what differs from the last good run; says so when there was none, or nothing differs."""
    if last_good is None and not changes:
        return note("This workflow has no earlier run that finished, so there is nothing to compare with.")
    since = f"since the last good run {one_line(last_good.run_id, 60)}" if last_good else "since the last good run"
    if not changes:
        return note(f"Nothing that was recorded differs {since}.")
    columns = ("What", "Before", "Now")
    rows = [(change.what, shown(_or_nothing(change.before), 300), shown(_or_nothing(change.after), 300)) for change in changes]
    return Card(h("div", table(f"What changed {since}", columns, rows), class_="snb"), f"What changed {since}\n{text_table(columns, rows)}")


def questions_table(questions: Rows[QuestionRow]) -> Card:
    """List what people were asked and what they answered."""
    rows = rows_of(QuestionRow, questions)
    if not rows:
        return _nothing("questions to people")
    columns = ("Node", "State", "Question", "Answer", "By", "Asked", "Answered")
    cells = [
        (
            _node(row),
            row.status,
            shown(row.prompt, 400),
            shown(row.answer, 400),
            row.answered_by,
            _time(row.requested_at),
            _time(row.answered_at),
        )
        for row in rows
    ]
    return _with_states(f"Questions and answers ({len(rows)})", columns, cells)


def approvals_table(approvals: Rows[ApprovalRow]) -> Card:
    """List gates and what was decided at them."""
    rows = rows_of(ApprovalRow, approvals)
    if not rows:
        return _nothing("gates")
    columns = ("Node", "State", "Gate", "Why", "By", "Note", "Asked", "Decided")
    cells = [
        (
            _node(row),
            row.status,
            one_line(row.title, 200),
            shown(row.summary, 400),
            "nobody (automatic)" if row.auto_approved else row.decided_by,
            shown(row.note, 400),
            _time(row.requested_at),
            _time(row.decided_at),
        )
        for row in rows
    ]
    return _with_states(f"Gates ({len(rows)})", columns, cells)


def diff(patch: str, *, path: str = "", limit: int = 400) -> Card:
    """Show a unified diff; added and removed lines keep their sign and are named for screen readers.

    Args:
        patch: The diff.
        path: File it is about.
        limit: Lines that are shown.
    """
    lines = visible(redact(patch)).rstrip("\n").split("\n")
    if not patch.strip():
        return _nothing(f"change of {path}" if path else "change")
    added = sum(_sign(line) == "+" for line in lines)
    removed = sum(_sign(line) == "-" for line in lines)
    heading = f"{one_line(path, 240) or 'Change'}: {added} {'line' if added == 1 else 'lines'} added, {removed} removed"
    cut = f"… {len(lines) - limit:,} more lines" if len(lines) > limit else ""
    body = h("pre", *(_diff_line(line) for line in lines[:limit]), cut, class_="snb-pre snb-diff", tabindex="0")
    page = h("figure", h("figcaption", heading), body, class_="snb snb-card", aria_label=heading)
    return Card(page, "\n".join([heading, *lines[:limit], *([cut] if cut else [])]))


def runs_table(caption: str, runs: Sequence[RunRow], reasons: Mapping[str, str]) -> Card:
    """List runs.

    Args:
        caption: Says which they are.
        runs: In the order in which they are shown.
        reasons: Run id to what it failed on.
    """
    columns = ("Run", "Workflow", "State", "Started", "Took", "Error")
    cells = [
        (
            row.run_id,
            row.workflow,
            row.state,
            when(row.started_at),
            duration(row.duration_s),
            one_line(reasons.get(row.run_id, "").partition(_LINK)[0]),
        )
        for row in runs
    ]
    rows = [
        (
            h("code", run_id, class_="snb-nowrap" if len(run_id) <= _SHORT_ID else None),
            workflow,
            h("span", state_mark(state), class_=f"snb-nowrap snb-{look(state).tone}"),
            h("span", started, class_="snb-nowrap"),
            h("span", took, class_="snb-nowrap"),
            error,
        )
        for run_id, workflow, state, started, took, error in cells
    ]
    return Card(h("div", table(caption, columns, rows), class_="snb"), f"{caption}\n{text_table(columns, cells)}")


def _most_telling(rows: list[AttemptRow], limit: int) -> list[AttemptRow]:
    if len(rows) <= limit:
        return rows
    order = sorted(
        range(len(rows)), key=lambda position: (rows[position].error_message is None, rows[position].state != "failed", position)
    )
    return [rows[position] for position in sorted(order[:limit])]


def _state_of(row: AttemptRow, collateral: Sequence[str]) -> str:
    if row.reset:
        return "reset"
    return "collateral" if row.state == "failed" and row.node_id in collateral else row.state


class _Short(str):
    """Text of a cell that stays on one line."""

    __slots__ = ()


def _time(moment: int | str | None) -> _Short:
    return _Short(when(moment) if isinstance(moment, int) else moment or "")


def _cell(value: object) -> Html:
    return h("td", value, class_="snb-nowrap" if isinstance(value, _Short) else None)


def _node_cell(node: str) -> Html:
    return h("td", h("code", node), class_="snb-nowrap" if len(node) <= _SHORT_ID else None)


def _node(row: AttemptRow | QuestionRow | ApprovalRow) -> str:
    return one_line(f"{row.node_id} #{row.iteration}" if row.iteration else row.node_id, 120)


def _row_id(row: AttemptRow) -> str:
    return anchor(f"attempt:{row.node_id}/{row.iteration}/{row.attempt}", "row")


def _mark(state: str) -> Html:
    seen = look(state)
    return h("span", h("span", seen.icon, class_="snb-icon", aria_hidden="true"), " ", seen.word, class_=f"snb-state snb-{seen.tone}")


def _with_states(caption: str, columns: Sequence[str], cells: Sequence[Sequence[object]]) -> Card:
    rows = (h("tr", _node_cell(str(node)), h("td", _mark(str(state))), *map(_cell, rest)) for node, state, *rest in cells)
    text = text_table(columns, ((node, look(str(state)).word, *rest) for node, state, *rest in cells))
    return Card(h("div", table(caption, columns, rows), class_="snb"), f"{caption}\n{text}")


def _two_columns(caption: str, rows: Sequence[tuple[str, str]]) -> Card:
    body = (h("tr", h("th", name, scope="row"), h("td", shown(value, 600))) for name, value in rows)
    page = h("table", h("caption", caption), h("tbody", *body), class_="snb-table snb-pairs")
    return Card(h("div", page, class_="snb"), "\n".join([caption, *(f"  {name}: {one_line(value, 600)}" for name, value in rows)]))


def _diff_line(line: str) -> Html:
    tone, word = _DIFF_TONES.get(_sign(line), ("", ""))
    if tone:
        return h("span", h("span", f"{word}: ", class_="snb-only-read"), line, "\n", class_=tone)
    return h("span", line, "\n", class_="snb-muted" if line.startswith(_DIFF_HEADS) else None)


def _sign(line: str) -> str:
    return "" if line.startswith(_DIFF_HEADS) else line[:1]


def _or_nothing(value: str | None) -> str:
    return "(none)" if value is None else value


def _nothing(what: str) -> Card:
    return empty("nothing-recorded", what)
