"""The cards a person reads: what failed, why, on what evidence, and what to do about it.

Pure functions from findings (`model.verdict`) and plain values to a `Card`: safe HTML with a text twin. Tables of recorded rows are
in `tables`; both sets are offered here, because notebooks and widgets take their cards from one place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from smithers_nb.present.html.attribution import written_by
from smithers_nb.present.html.markup import Card, Html, escape, h, join, prose
from smithers_nb.present.html.parts import anchor, empty, note, state_mark
from smithers_nb.present.html.states import look
from smithers_nb.present.html.tables import approvals_table, changes_table, diff, questions_table, recurrence_table, timeline_table
from smithers_nb.present.html.text import one_line, shown

if TYPE_CHECKING:
    from smithers_nb.model.verdict import Defect, Evidence, PastRun, Verdict

__all__ = [
    "Card",
    "anchor",
    "approvals_table",
    "banner",
    "changes_table",
    "command_sheet",
    "defects_list",
    "details",
    "diff",
    "empty",
    "evidence_list",
    "gate_card",
    "note",
    "problems_list",
    "questions_table",
    "recurrence_table",
    "run_strip",
    "stack",
    "timeline_table",
    "verdict_card",
]

_CLASS_WORDS = {
    "workflow-bug": "The workflow is at fault",
    "environment": "The environment is at fault",
    "agent-flake": "The agent failed by chance",
    "smithers-bug": "The engine is at fault",
    "unknown": "Whose fault it is could not be determined",
}
_SUGGESTION_WORDS = {
    "retry": "Retry",
    "resume": "Resume",
    "rewind": "Rewind",
    "edit-workflow-and-reset": "Edit the workflow, then reset the task",
    "fix-environment": "Fix the environment",
    "escalate": "Ask a person",
}


def banner(title: str, reason: str, *, state: str = "failed", facts: Mapping[str, object] | None = None, hint: str = "") -> Card:
    """Summarise in one glance what happened and why.

    Args:
        title: What happened, such as `Run deploy-42 failed`.
        reason: Why, in plain words.
        state: State that gives icon, word and colour; red for `failed`.
        facts: Short facts under the reason, name to value; empty values are left out.
        hint: What to do next.
    """
    seen = look(state)
    kept = {name: value for name, value in (facts or {}).items() if value not in (None, "")}
    terms = (
        h("dl", *(h("div", h("dt", name), h("dd", one_line(value, 240))) for name, value in kept.items()), class_="snb-facts")
        if kept
        else None
    )
    page = h(
        "section",
        h("p", state_mark(state), h("strong", one_line(title, 240)), class_="snb-title"),
        h("p", prose(reason, 2_000), class_="snb-reason"),
        terms,
        h("p", prose(hint), class_="snb-hint") if hint else None,
        class_=f"snb snb-card snb-banner snb-{seen.tone}",
        role="group",
        aria_label=f"{seen.word}: {one_line(title, 240)}",
    )
    lines = [
        f"{seen.icon} {one_line(title, 240)}",
        shown(reason, 2_000),
        *(f"  {name}: {one_line(value, 240)}" for name, value in kept.items()),
    ]
    return Card(page, "\n".join([*lines, *([hint] if hint else [])]))


def details(summary: str, body: str | Card, *, opened: bool = False, limit: int = 20_000) -> Card:
    """Fold something long (code, source, raw error, stack) behind a line that says what it is.

    Args:
        summary: The line.
        body: Text, shown with its line breaks, or a card.
        opened: Show it unfolded.
        limit: Characters of a text that are kept; what is left out is said.
    """
    inner = body.html if isinstance(body, Card) else _pre(body, limit)
    text = body.text if isinstance(body, Card) else shown(body, limit)
    return Card(
        h("details", h("summary", one_line(summary)), inner, class_="snb snb-details", open=opened),
        f"▸ {one_line(summary)}\n{_indent(text)}",
    )


def run_strip(runs: Sequence[PastRun], run_id: str, workflow: str | None) -> Card:
    """Show runs of one workflow in a row, oldest first, with one of them marked.

    Args:
        runs: The runs.
        run_id: The run that is marked.
        workflow: What they are runs of.
    """
    if not runs:
        return empty("nothing-recorded", "runs")
    same = sum(run.same for run in runs)
    caption = f"The last {len(runs)} runs of {workflow or 'this workflow'}, oldest first; the frame marks {run_id}"
    caption += f", a dot the {same} that met this failure" if same else ""
    items = []
    for run in runs:
        seen, here = look(run.state), run.run_id == run_id
        words = f"{run.run_id}: {seen.word}{', same failure' if run.same else ''}{', this run' if here else ''}"
        marks = (h("span", seen.icon, aria_hidden="true"), h("span", "•" if run.same else "", class_="snb-same", aria_hidden="true"))
        items.append(h("li", *marks, class_=f"snb-{seen.tone}{' snb-here' if here else ''}", title=words, aria_label=words))
    text = " ".join(f"[{look(run.state).icon}]" if run.run_id == run_id else look(run.state).icon for run in runs)
    strip = (h("p", caption, class_="snb-muted"), h("ol", *items, class_="snb-strip"))
    return Card(h("section", *strip, class_="snb", role="group", aria_label=caption), f"{caption}\n{text}")


def evidence_list(evidence: Sequence[Evidence]) -> Card:
    """List quotes with the reference of the row each comes from; every reference is an anchor."""
    if not evidence:
        return empty("nothing-recorded", "evidence")
    items = (
        h(
            "li",
            h("a", h("code", item.ref), href=f"#{anchor(item.ref, 'row')}", class_="snb-ref"),
            h("span", item.note, class_="snb-muted") if item.note else None,
            h("blockquote", shown(item.quote, 1_500)),
            id=anchor(item.ref),
        )
        for item in evidence
    )
    text = "\n".join(f"[{one_line(item.ref)}] {one_line(item.note)}\n{_indent(shown(item.quote, 1_500))}" for item in evidence)
    return Card(h("section", h("ol", *items, class_="snb-evidence"), class_="snb snb-card", role="group", aria_label="Evidence"), text)


def verdict_card(verdict: Verdict) -> Card:
    """Show the verdict: whose fault, how sure, the root cause, one suggestion and the commands that carry it out."""
    refs = [h("a", h("code", item.ref), href=f"#{anchor(item.ref)}") for item in verdict.evidence[:12]]
    bug = h("p", "Bug report: ", h("code", verdict.bug_url), class_="snb-muted") if verdict.bug_url else None
    page = h(
        "section",
        h(
            "p",
            h("strong", _CLASS_WORDS[verdict.failure_class]),
            h("span", h("code", verdict.failure_class), class_="snb-chip"),
            h("span", f"confidence {verdict.confidence}", class_=f"snb-chip snb-confidence-{verdict.confidence}"),
            class_="snb-title",
        ),
        _row("Run", h("code", verdict.target_run_id)),
        _row("Root cause", h("p", shown(verdict.root_cause, 2_000), class_="snb-reason")),
        _row("In plain words", shown(verdict.error_summary, 2_000)) if verdict.error_summary else None,
        _row("Either", h("ul", *(h("li", shown(one.text, 600)) for one in verdict.hypotheses))) if verdict.hypotheses else None,
        _row("Written by", written_by(verdict.authors)) if written_by(verdict.authors) else None,
        _row("Summary", shown(verdict.summary, 2_000)) if verdict.summary and verdict.summary != verdict.root_cause else None,
        _row("Source", h("blockquote", shown("\n".join(verdict.source), 2_000))) if verdict.source else None,
        _row("Do this", join([h("strong", _SUGGESTION_WORDS[verdict.suggestion]), h("p", shown(verdict.suggestion_detail, 2_000))])),
        _row("Commands", _commands(verdict.commands)) if verdict.commands else None,
        _row("Evidence", h("span", *(join([ref, " "]) for ref in refs), class_="snb-refs")) if refs else None,
        _row("Rule", join([h("code", verdict.rule), "  signature ", h("code", verdict.signature)])) if verdict.rule else None,
        _row("Provider", h("ul", *(h("li", shown(line, 600)) for line in verdict.provider_notes))) if verdict.provider_notes else None,
        bug,
        class_="snb snb-card snb-verdict",
        role="group",
        aria_label="Verdict",
    )
    return Card(page, _verdict_text(verdict))


def command_sheet(commands: Iterable[str | tuple[str, str]], *, title: str = "Commands") -> Card:
    """List commands to copy, each optionally with what it does: `(command, what)`."""
    pairs = [(item, "") if isinstance(item, str) else item for item in commands]
    if not pairs:
        return empty("nothing-recorded", "commands")
    items = join(_command(command, what) for command, what in pairs)
    page = h(
        "section",
        h("p", h("strong", title), class_="snb-title"),
        h("ul", items, class_="snb-commands"),
        class_="snb snb-card",
        role="group",
        aria_label=title,
    )
    return Card(page, "\n".join([title, *(f"  {shown(command)}{f'   # {one_line(what)}' if what else ''}" for command, what in pairs)]))


def gate_card(
    title: str, summary: str, consequences: Sequence[str] = (), *, state: str = "would be asked", body: Card | None = None
) -> Card:
    """Show what a gate asks a person before anything happens.

    Args:
        title: What is asked.
        summary: Why it is asked.
        consequences: What follows if the person says yes.
        state: Where the question stands, such as `would be asked`, `not needed`, `waits for you`.
        body: What the decision is about, such as the text of a bug report.
    """
    effects = h("div", h("p", "If you say yes:"), h("ul", *(h("li", effect) for effect in consequences))) if consequences else None
    page = h(
        "section",
        h("p", state_mark("gate"), h("strong", one_line(title, 240)), h("span", state, class_="snb-chip"), class_="snb-title"),
        h("p", shown(summary, 2_000), class_="snb-reason"),
        effects,
        body,
        class_="snb snb-card snb-gate snb-warn",
        role="group",
        aria_label=f"Gate: {one_line(title, 240)}",
    )
    lines = [f"◆ {one_line(title, 240)} ({state})", shown(summary, 2_000), *(f"  if yes: {shown(effect)}" for effect in consequences)]
    return Card(page, "\n".join([*lines, *([body.text] if body else [])]))


def defects_list(defects: Sequence[Defect]) -> Card:
    """List what the engine recorded wrongly or let happen."""
    if not defects:
        return empty("nothing-recorded", "defects of the engine's records")
    items = (
        h(
            "li",
            h("code", defect.kind),
            " ",
            shown(defect.summary, 1_000),
            *(join([" ", h("code", item.ref)]) for item in defect.evidence[:6]),
        )
        for defect in defects
    )
    text = "\n".join(f"! {one_line(defect.kind)}: {shown(defect.summary, 1_000)}" for defect in defects)
    return Card(h("section", h("ul", *items), class_="snb snb-card snb-defects", role="group", aria_label="Defects"), text)


def problems_list(problems: Sequence[tuple[str, str] | str]) -> Card:
    """List what could not be read: `sources.base.Problem` tuples or plain sentences."""
    if not problems:
        return note("Everything that was looked for could be read.", state="finished")
    pairs = [("", problem) if isinstance(problem, str) else (problem[0], problem[1]) for problem in problems]
    items = (h("li", join([h("code", where), " "]) if where else None, shown(what, 600)) for where, what in pairs)
    page = h(
        "section",
        h(
            "p",
            state_mark("problem"),
            h("strong", f"{len(pairs)} things could not be read" if len(pairs) > 1 else "One thing could not be read"),
            class_="snb-title",
        ),
        h("ul", *items),
        class_="snb snb-card snb-problems snb-warn",
        role="group",
        aria_label="Problems",
    )
    return Card(page, "\n".join(f"! {one_line(where)}{': ' if where else ''}{shown(what, 600)}" for where, what in pairs))


def stack(*cards: Card | None) -> Card:
    """Put cards under each other; None is left out."""
    kept = [card for card in cards if card is not None]
    return Card(h("div", *kept, class_="snb snb-stack"), "\n\n".join(card.text for card in kept))


def _verdict_text(verdict: Verdict) -> str:
    lines = [
        f"{_CLASS_WORDS[verdict.failure_class]} ({verdict.failure_class}, confidence {verdict.confidence})",
        f"Run         {one_line(verdict.target_run_id)}",
        f"Root cause  {shown(verdict.root_cause, 2_000)}",
        *([f"Summary     {shown(verdict.error_summary, 2_000)}"] if verdict.error_summary else []),
        *(f"Either      {shown(one.text, 600)}" for one in verdict.hypotheses),
        *([f"Written by  {written_by(verdict.authors)}"] if written_by(verdict.authors) else []),
        *(f"Source      {shown(line, 600)}" for line in verdict.source),
        f"Do this     {_SUGGESTION_WORDS[verdict.suggestion]}: {shown(verdict.suggestion_detail, 2_000)}",
        *(f"  {shown(command)}" for command in verdict.commands),
        *(f"Evidence    [{one_line(item.ref)}] {one_line(item.quote)}" for item in verdict.evidence),
        *(f"Provider    {shown(line, 600)}" for line in verdict.provider_notes),
    ]
    return "\n".join(lines)


def _row(name: str, value: object) -> Html:
    return h("div", h("div", name, class_="snb-label"), h("div", value, class_="snb-value"), class_="snb-row")


def _commands(commands: Iterable[str]) -> Html:
    return h("ul", *(_command(command) for command in commands), class_="snb-commands")


def _command(command: str, what: str = "") -> Html:
    return h("li", h("span", what, class_="snb-muted") if what else None, h("code", shown(command), class_="snb-command"))


def _pre(text: str, limit: int) -> Html:
    return h("pre", escape(text, limit), class_="snb-pre", tabindex="0")


def _indent(text: str) -> str:
    return "\n".join(f"    {line}" for line in text.splitlines())
