"""Renders the monitor's rows: the headline, one card per topic, and the topics in the order of the report."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.model.timestamps import span, when
from smithers_nb.model.vocabulary import sign_of
from smithers_nb.present.html import cards
from smithers_nb.present.html.attribution import provider_cards
from smithers_nb.present.html.markup import Card, Html, h, table, text_table
from smithers_nb.present.html.parts import state_mark
from smithers_nb.present.html.text import one_line, shown
from smithers_nb.workflows.monitor import results as rows

if TYPE_CHECKING:
    from smithers_nb.model.vocabulary import Health
    from smithers_nb.workflows.monitor.results import Action, CodeChange, Diagnosis, FixRow, MonitorSnapshot

_HEALTH_PHRASES: Final[dict[Health, str]] = {
    "healthy": "is healthy",
    "blocked": "waits for a person",
    "stuck": "is stuck",
    "failed": "failed",
    "overBudget": "is over its budget",
}
_ENDED_PHRASES: Final = {
    "cancelled": "was cancelled",
    "interrupted": "was interrupted",
    "partial": "was run in part",
    "cut": "has no end in its log",
}
"""How the headline describes an ended run by its state."""

_MINUTE_MS: Final = 60_000
_MAX_NAMED: Final = 3


def headline_of(found: Diagnosis, fix: FixRow | None = None, gathered: MonitorSnapshot | None = None) -> Card:
    """Return a banner that says how the run is doing and why, with the first thing to do."""
    repaired = fix is not None and fix.resumed
    reason = (found.waiting_on if found.health == "blocked" else found.root_cause) or found.summary
    first = _first_action(found, fix)
    facts = {
        "health": "" if found.is_record else found.health,
        "state": found.state,
        "workflow": found.workflow,
        "class": found.failure_class or "",
        "last sign of life": _quiet(gathered),
        "in trouble": ", ".join(found.in_trouble),
        "autofix": fix.summary if fix else "",
    }
    if fix is not None and repaired:
        title = f"Run {found.target_run_id} was {found.health}; the monitor repaired it, and it is now {fix.state_after}"
        if fix.new_run_id:
            title = f"Run {found.target_run_id} stays {found.state}; fresh run {fix.new_run_id} is {fix.state_after}"
        return cards.banner(title, _capitalised(reason), state=fix.health_after or found.health, facts=facts)
    title = f"Run {found.target_run_id or '(none)'} {_headline_word(found)}"
    hint = found.folder if first and found.folder not in first.problem else ""
    banner = cards.banner(title, _capitalised(reason), state=sign_of(found.health, found.state), facts=facts, hint=hint)
    if first is None:
        return banner
    known = first.problem.rstrip(".").lower() in reason.lower()
    fixing = shlex.join(("smithers-nb", "monitor", found.target_run_id or "", "--autofix"))
    who = f"The monitor can do it after asking you: {fixing}" if first.self_fixable else ""
    what = who if known else f"{_capitalised(first.problem).rstrip('.')}. {who}".strip()
    return cards.stack(banner, cards.command_sheet([(first.command, what)], title="Do this first"))


def _first_action(found: Diagnosis, fix: FixRow | None) -> Action | None:
    """Return the action that the headline shows, which the list of actions then omits."""
    first = next(iter(found.recommended_actions), None)
    return None if first is None or not first.command or (fix is not None and fix.resumed) else first


def _capitalised(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}"


def topics_of(found: Diagnosis, fix: FixRow | None = None) -> list[tuple[str, Card]]:
    """Return the topics in the order of the report, each with its heading; those without data are left out, except standing questions."""
    first = _first_action(found, fix)
    left = tuple(action for action in found.left_to_do(fix) if action != first)
    found = replace(found, recommended_actions=left)
    listed: list[tuple[str, Card | None]] = [
        ("What this rests on" if found.is_record else "Where it broke", _where(found) if found.evidence or found.provider_notes else None),
        ("What makes this doubtful", cards.defects_list(found.concerns) if found.concerns else None),
        ("How it went", cards.note(found.summary) if found.is_record and found.root_cause else None),
        *_standing(found),
        ("Further actions" if first else "Recommended actions", TOPICS["actions"](found) if found.recommended_actions else None),
        ("What the monitor did", _fix(fix) if fix else None),
        ("By hand", cards.command_sheet(found.cheat_sheet) if found.cheat_sheet else None),
        ("Editing the workflow", _editing(found) if found.workflow_path and found.refuses_edits and found.state != "succeeded" else None),
    ]
    return [(heading, card) for heading, card in listed if card is not None]


def _standing(found: Diagnosis) -> list[tuple[str, Card | None]]:
    """Return the standing questions; for a record only those with data, since a record may omit the rest."""
    listed = (
        ("Questions and answers", "questions", found.questions),
        ("Approval gates", "approvals", found.approvals),
        ("Task outputs", "outputs", found.key_outputs),
        ("Code changes", "diffs", found.diffs),
        ("Scores", "scores", found.scores),
    )
    return [(heading, TOPICS[key](found)) for heading, key, rows in listed if rows or not found.is_record]


def view_of(row: Any) -> Card:
    """Return the card that displays a row."""
    view = next(_VIEWS[kind] for kind in type(row).__mro__ if kind in _VIEWS)
    card: Card = view(row)
    return card


def _headline_word(found: Diagnosis) -> str:
    if found.health != "healthy" and not (found.is_record and found.state in _ENDED_PHRASES):
        return _HEALTH_PHRASES[found.health]
    if found.state in {"succeeded", "finished"}:
        return "finished, but see the doubts below" if found.concerns else "finished"
    if found.state in _ENDED_PHRASES:
        return _ENDED_PHRASES[found.state]
    return f"is in trouble: {', '.join(found.in_trouble[:_MAX_NAMED])} failed at least twice in a row" if found.in_trouble else "is healthy"


def _quiet(gathered: MonitorSnapshot | None) -> str:
    if gathered is None or gathered.quiet_minutes is None:
        return ""
    return f"{span(round(gathered.quiet_minutes * _MINUTE_MS))} ago"


def _where(found: Diagnosis) -> Card:
    """Return the evidence for the root cause that the headline states."""
    return cards.stack(
        *provider_cards(found.authors, found.provider_notes),
        cards.evidence_list(found.evidence) if found.evidence else None,
    )


def _questions(found: Diagnosis) -> Card:
    if not found.questions:
        return cards.note("None: the run asked no question and waited for no signal.")
    columns = ("Node", "State", "Question", "Answer", "By", "Answered")
    cells = [
        (
            _node(row.node_id, row.iteration),
            "pending" if row.pending else row.status,
            shown(row.prompt, 400),
            "" if row.answer is None else shown(_as_text(row.answer), 600),
            row.answered_by or "",
            when(row.answered_at),
        )
        for row in found.questions
    ]
    return _state_table(f"Questions, signals and answers ({len(cells)})", columns, cells)


def _approvals(found: Diagnosis) -> Card:
    if not found.approvals:
        return cards.note("None: this run has no approval gate.")
    words = {True: "approved", False: "denied", None: "pending"}
    columns = ("Node", "Decision", "Gate", "By", "Note", "Decided")
    cells = [
        (
            _node(gate.node_id, gate.iteration),
            words[gate.approved],
            one_line(gate.title, 200),
            gate.decided_by or "",
            shown(gate.note, 400),
            when(gate.decided_at),
        )
        for gate in found.approvals
    ]
    return _state_table(f"Gates ({len(cells)})", columns, cells)


def _outputs(found: Diagnosis) -> Card:
    if not found.key_outputs:
        return cards.note("No task has produced anything yet.")
    return cards.stack(
        *(
            cards.details(f"{_node(row.node_id, row.iteration)}: {row.summary}", _as_text(row.value, indent=True))
            for row in found.key_outputs
        )
    )


def _diffs(found: Diagnosis) -> Card:
    if not found.diffs:
        return cards.note("None known: no diff is stored, and no agent had its own working folder.")
    return cards.stack(*map(_diff, found.diffs))


def _diff(change: CodeChange) -> Card:
    summary = cards.note(f"{_node(change.node_id, change.iteration)}: {change.summary}")
    if not change.excerpt.strip():
        return summary
    listed = ", ".join(change.files[:10]) + (f" and {len(change.files) - 10} more" if len(change.files) > 10 else "")  # noqa: PLR2004
    return cards.stack(summary, cards.diff(change.excerpt, path=listed))


def _scores(found: Diagnosis) -> Card:
    if not found.scores:
        return cards.note("None: no scorer ran.")
    columns = ("Node", "Scorer", "Score", "Why")
    cells = [(row.node_id, row.name, "" if row.score is None else f"{row.score:g}", shown(row.reason, 400)) for row in found.scores]
    return Card(h("div", table("Scores", columns, cells), class_="snb"), text_table(columns, cells))


def _actions(found: Diagnosis) -> Card:
    if not found.recommended_actions:
        return cards.note("Nothing to do.")
    page = h(
        "section",
        h("ol", *map(_action, found.recommended_actions), class_="snb-commands"),
        class_="snb snb-card",
        role="group",
        aria_label="Recommended actions",
    )
    lines = [
        f"{number}. {shown(row.problem, 1_000)} [{_actor(row)}]\n   {row.command}"
        for number, row in enumerate(found.recommended_actions, start=1)
    ]
    return Card(page, "\n".join([*lines, *([found.folder] if found.folder else [])]))


def _action(row: Action) -> Html:
    command = h("code", shown(row.command, 4_000), class_="snb-command") if row.command else None
    return h("li", h("span", h("span", _actor(row), class_="snb-chip"), " ", shown(row.problem, 1_000), class_="snb-muted"), command)


def _actor(row: Action) -> str:
    return "autofix can" if row.self_fixable else "needs a person" if row.needs_human else "ends by itself"


def _fix(row: FixRow) -> Card:
    summary = cards.note(row.summary, state="succeeded" if row.applied and row.resumed else "problem" if row.applied else "info")
    taken = [(action.command, action.result) for action in row.actions_taken]
    left = cards.note(f"Still for a person: {row.still_needs_human}", state="problem") if row.still_needs_human else None
    return cards.stack(summary, cards.command_sheet(taken, title="What was done") if taken else None, left)


def _editing(found: Diagnosis) -> Card:
    return cards.note(
        f"The run uses {found.workflow_path} as it was when the run started. Editing the file does not affect a run that is parked or "
        "stopped, and resuming it is then refused with RESUME_METADATA_MISMATCH unless the change is accepted. Only a live run that was "
        "started with --hot picks up edits, and only for tasks that have not started; changed output schemas and task ids need a fresh run."
    )


def _gathered(row: MonitorSnapshot) -> Card:
    facts = {
        "workflow": row.workflow,
        "status": row.status,
        "last sign of life": _quiet(row),
        "store": row.source,
        "events": row.events.count,
    }
    cells = [(node.id, node.type, node.status, node.summary) for node in row.nodes]
    columns = ("Node", "Kind", "State", "What it says")
    nodes = Card(h("div", table("Nodes", columns, cells), class_="snb"), text_table(columns, cells)) if cells else None
    return cards.stack(
        cards.banner(row.summary, "" if row.ok else "The run could not be read.", state=row.state if row.ok else "problem", facts=facts),
        nodes,
        cards.problems_list(row.problems) if row.problems else None,
    )


def _report(row: rows.ReportRow) -> Card:
    return cards.note(f"{row.title}: {row.health}, {row.section_count} sections, {len(row.html.encode()):,} bytes")


def _output_row(row: rows.MonitorRow) -> Card:
    facts = {"health": row.health, "state": row.state, "report": row.report_path, "actions": row.recommended_action_count}
    return cards.banner(f"Run {row.target_run_id}: {row.health}", row.summary, state=row.health, facts=facts)


def _triage(row: rows.TriageRow) -> Card:
    facts = {"state": row.state, "class": row.failure_class or "", "confidence": row.confidence}
    title = f"Run {row.target_run_id}: {row.recommended_action}"
    banner = cards.banner(title, row.root_cause or row.summary, state=row.state, facts=facts)
    return cards.stack(banner, cards.command_sheet([(row.command, row.rationale)], title="Do this first"))


def _state_table(caption: str, columns: Sequence[str], cells: Sequence[Sequence[str]]) -> Card:
    body = (
        h("tr", h("td", h("code", node)), h("td", state_mark(state), class_="snb-nowrap"), *(h("td", cell) for cell in rest))
        for node, state, *rest in cells
    )
    return Card(h("div", table(caption, columns, body), class_="snb"), f"{caption}\n{text_table(columns, cells)}")


def _node(node_id: str, iteration: int) -> str:
    return one_line(f"{node_id} #{iteration}" if iteration else node_id or "-", 120)


def _as_text(value: Any, *, indent: bool = False) -> str:
    if isinstance(value, str):
        return value
    import json

    return json.dumps(value, indent=2 if indent else None, ensure_ascii=False, default=str)


TOPICS: Final[dict[str, Callable[[Any], Card]]] = {
    "questions": _questions,
    "approvals": _approvals,
    "outputs": _outputs,
    "diffs": _diffs,
    "scores": _scores,
    "actions": _actions,
}
"""Functions that render the cards of a diagnosis, by topic."""

_VIEWS: Final[dict[type, Callable[[Any], Card]]] = {
    rows.MonitorSnapshot: _gathered,
    rows.Diagnosis: headline_of,
    rows.FixRow: _fix,
    rows.ReportRow: _report,
    rows.ArtifactRow: lambda row: cards.note(row.digest),
    rows.MonitorRow: _output_row,
    rows.TriageRow: _triage,
}
