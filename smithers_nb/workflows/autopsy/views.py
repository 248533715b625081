"""How the results of the autopsy's stages look, made of the cards of `present`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from smithers_nb.model.timestamps import duration, when
from smithers_nb.model.vocabulary import is_terminal
from smithers_nb.present.html import cards
from smithers_nb.present.html.attribution import plain_words, provider_cards, written_by
from smithers_nb.present.html.markup import Card, Html, h, table, text_table
from smithers_nb.present.html.text import one_line
from smithers_nb.workflows.autopsy.results import GateCard, Gathered, Investigation, ReportRow, Shown, VerdictRow, WhyRow

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Link, Observation

_SHORT = 40
_CLASS_TITLES = {
    "workflow-bug": "The workflow is at fault",
    "environment": "The environment is at fault",
    "agent-flake": "The agent failed by chance",
    "smithers-bug": "The engine is at fault",
    "unknown": "Whose fault it is could not be determined",
}


def view_of(result: Shown) -> Card:
    """Lay a stage's result out for a person."""
    view = next(_VIEWS[kind] for kind in type(result).__mro__ if kind in _VIEWS)
    card: Card = view(result)
    return card


def timeline_of(found: Investigation) -> Any:
    """Draw every attempt of an investigated run as a bar of its own, with the gates, questions and restarts between them."""
    from smithers_nb.present.timeline.plotly_figure import timeline_figure

    seen = (found.attempts, found.milestones, found.approvals, found.questions)
    return timeline_figure(*seen, nodes=found.nodes, collateral=found.failure.collateral)


def headline_of(row: VerdictRow) -> Card:
    """Summarise in one banner what a reader in a hurry needs: whose fault, why, and what to do."""
    facts = {"class": row.failure_class, "confidence": row.confidence, "suggestion": row.suggestion, "written by": written_by(row.authors)}
    return cards.stack(
        cards.banner(_CLASS_TITLES[row.failure_class], row.root_cause, facts=facts, hint=row.suggestion_detail),
        cards.command_sheet(row.commands) if row.commands else None,
        cards.changes_table(row.changed_since, row.last_good_run) if row.changed_since else None,
    )


def _gathered(row: Gathered) -> Card:
    facts = {
        "workflow": row.workflow,
        "started": when(row.started_at),
        "took": duration((row.finished_at - row.started_at) / 1000) if row.finished_at and row.started_at else "",
        "store": row.source,
        "written by": f"Smithers, schema {row.smithers_version}" if row.smithers_version else "",
    }
    reason = row.run_error or "The run itself recorded no error."
    shown_state = row.state if is_terminal(row.status) else row.status
    return cards.stack(
        cards.banner(f"Run {row.target_run_id} {row.status}", f"It says: {reason}", state=shown_state, facts=facts),
        cards.details(f"The end of its log ({len(row.last_events)} events, without heartbeats)", _events(row)),
        cards.details(
            f"Source of {row.workflow_path or 'the workflow'}",
            row.workflow_source or "Its file is not on this machine; name it as workflow_path.",
        ),
        cards.problems_list(row.problems) if row.problems else None,
    )


def _events(row: Gathered) -> Card:
    columns = ("No.", "Time", "Event", "Node", "What it says")
    cells = [(str(e.seq), when(e.at), e.type, e.node_id or "", one_line(e.text, 200)) for e in row.last_events]
    rows = [(number, _whole(at), _whole(event), node, text) for number, at, event, node, text in cells]
    caption = "The last events"
    return Card(h("div", table(caption, columns, rows), class_="snb"), text_table(columns, cells))


def _whole(text: str) -> Html:
    """Keep a short word on one line."""
    return h("span", text, class_="snb-nowrap" if len(text) <= _SHORT else None)


def _investigation(row: Investigation) -> Card:
    failure, found = row.failure, row.classification
    facts = {
        "task": failure.node_id,
        "attempts": f"{failure.attempts} of {failure.max_attempts or 'no limit'}" if failure.attempts else "",
        "class": f"{found.failure_class}, confidence {found.confidence}",
        "rule": found.rule,
        "signature": row.signature,
        "child run": failure.run_id if failure.parents else "",
    }
    return cards.stack(
        cards.banner(_CLASS_TITLES[found.failure_class], row.root_cause, state="failed", facts=facts),
        *provider_cards(row.authors, row.provider_notes),
        plain_words(row.error_summary, row.authors.error_summary) if row.error_summary else None,
        cards.details("Error chain", "\n\n".join(map(_link, failure.chain))) if failure.chain else None,
        *(_seen(observation) for observation in row.seen_here),
        cards.defects_list(row.defects) if row.defects else None,
        cards.problems_list(row.problems) if row.problems else None,
    )


def _seen(observation: Observation) -> Card:
    doubt = "" if observation.meaningful else " (the run's project folder is not on this machine, so this may mean nothing)"
    return cards.note(observation.text + doubt, state="problem" if observation.confirms and observation.meaningful else "info")


def _link(link: Link) -> str:
    head = ": ".join(part for part in (link.code or link.name, link.message) if part)
    return f"{head}\n{link.stack}" if link.stack and link.stack not in head else head


def _gate(row: GateCard) -> Card:
    if not row.needed:
        return cards.note(row.reason)
    body = cards.stack(cards.details(row.title, row.body), report_of(row))
    consequences = (f"Exactly the report below is sent to {row.endpoint}, once.",)
    return cards.gate_card("Report this as a bug of the engine?", row.reason, consequences, body=body)


def report_of(row: GateCard) -> Card:
    """Show a report as it would be sent, every character of it."""
    written = orjson.dumps(row.payload, option=orjson.OPT_INDENT_2).decode()
    return cards.details(f"Exactly what would be sent ({len(written.encode()):,} bytes)", written, limit=len(written))


def _why(row: WhyRow) -> Card:
    whose = row.classification.failure_class if row.classification else ""
    facts = {"run": row.run_id, "class": whose, "failed nodes": ", ".join(row.failed_nodes)}
    shown_facts = {key: value for key, value in facts.items() if value}
    hint = row.advice.detail if row.advice else row.folder
    return cards.stack(
        cards.banner(row.workflow or "run", row.summary, state=row.state, facts=shown_facts, hint=hint),
        cards.command_sheet(row.commands) if row.commands else None,
        cards.defects_list(row.defects) if row.defects else None,
        cards.problems_list(row.problems) if row.problems else None,
    )


def _report(row: ReportRow) -> Card:
    said = cards.note(row.detail, state="succeeded" if row.filed else "info")
    return cards.stack(said, cards.command_sheet((row.command,))) if row.command else said


def _verdict(row: VerdictRow) -> Card:
    return cards.verdict_card(row)


_VIEWS: dict[type, Any] = {
    Gathered: _gathered,
    Investigation: _investigation,
    GateCard: _gate,
    ReportRow: _report,
    VerdictRow: _verdict,
    WhyRow: _why,
}
