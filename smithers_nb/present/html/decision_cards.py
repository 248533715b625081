"""What a person is asked and has said, as static cards: gates before and after the decision, questions.

The live twins are in `widgets`; they show these cards and put the controls below them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from smithers_nb.model.timestamps import when
from smithers_nb.present.html.cards import command_sheet, details, stack
from smithers_nb.present.html.markup import Card, Html, h, table, text_table
from smithers_nb.present.html.parts import state_mark
from smithers_nb.present.html.text import one_line, shown

_SHORT = 400


class Decided(NamedTuple):
    """What was decided at a gate.

    Attributes:
        at: Epoch milliseconds.
    """

    approved: bool
    by: str
    at: int
    note: str | None = None


class Before(NamedTuple):
    """An earlier version of what is asked, which somebody has decided or answered; that no longer counts.

    Attributes:
        said: What they said.
        at: Epoch milliseconds.
        changes: What is different now: name, value then, value now.
    """

    said: str
    by: str
    at: int
    changes: Sequence[tuple[str, Any, Any]]


@dataclass(frozen=True)
class GateRequest:
    """What a gate asks.

    Attributes:
        details: What the decision is about, name to value.
        effects: What follows, such as `("Approve", "the run continues")`.
        commands: How to decide elsewhere: commands, each with what it does.
        run_id: The run that waits.
        before: The version that was decided before, when this one asks something else.
        digest: Fingerprint of what is asked, so that a decision counts for nothing else.
    """

    title: str
    summary: str = ""
    details: Mapping[str, Any] = field(default_factory=dict)
    effects: Sequence[tuple[str, str]] = ()
    commands: Sequence[tuple[str, str]] = ()
    run_id: str = ""
    before: Before | None = None
    digest: str | None = None


@dataclass(frozen=True)
class QuestionRequest:
    """What a question asks.

    Attributes:
        schema: JSON schema of the answer; empty when anything goes.
        options: What can be chosen; None for a free answer.
        commands: How to answer elsewhere: commands, each with what it does.
        run_id: The run that waits.
        before: The version that was answered before, when this one asks something else.
        digest: Fingerprint of what is asked, so that an answer counts for nothing else.
    """

    prompt: str
    schema: Mapping[str, Any] = field(default_factory=dict)
    options: Sequence[str] | None = None
    commands: Sequence[tuple[str, str]] = ()
    run_id: str = ""
    before: Before | None = None
    digest: str | None = None


def gate_asked(request: GateRequest, *, commands: bool = True) -> Card:
    """Show a gate that waits: what is asked, about what, what follows, and the commands that decide it."""
    head = _head("gate", request.title, "waits for a decision")
    effects = h("dl", *(h("div", h("dt", name), h("dd", what)) for name, what in request.effects)) if request.effects else None
    page = h(
        "section",
        head,
        h("p", shown(request.summary, 2_000), class_="snb-reason") if request.summary else None,
        effects,
        h("p", "Run ", h("code", request.run_id), class_="snb-muted") if request.run_id else None,
        class_="snb snb-card snb-gate snb-warn",
        role="group",
        aria_label=f"Gate: {one_line(request.title, 240)}",
    )
    lines = [
        f"◆ {one_line(request.title, 240)} (waits for a decision)",
        *([shown(request.summary, 2_000)] if request.summary else []),
        *(f"  {name}: {what}" for name, what in request.effects),
    ]
    about = (*_versions(request.before), *_about(request.details))
    return stack(Card(page, "\n".join(lines)), *about, _commands(request.commands) if commands else None)


def gate_decided(title: str, decided: Decided) -> Card:
    """Show a gate after the decision: who, when, in what words."""
    word, state = ("Approved", "approved") if decided.approved else ("Denied", "denied")
    told = f"{word} by {one_line(decided.by)} on {when(decided.at)}"
    page = h(
        "section",
        _head(state, title),
        h("p", told),
        h("blockquote", shown(decided.note, 2_000)) if decided.note else None,
        class_=f"snb snb-card snb-{'good' if decided.approved else 'bad'}",
        role="group",
        aria_label=f"{word}: {one_line(title, 240)}",
    )
    return Card(page, f"◆ {one_line(title, 240)}\n{told}{f': {shown(decided.note, 2_000)}' if decided.note else ''}")


def question_asked(request: QuestionRequest, *, commands: bool = True) -> Card:
    """Show a question that waits: what is asked, what can be answered, and the command that answers it.

    Args:
        request: What is asked.
        commands: Tell how to answer elsewhere; without it, a form stands below, which shows the choices.
    """
    prompt, *rest = shown(request.prompt, 4_000).split("\n", 1)
    answer = (
        h("p", "One of: ", *(h("code", option, class_="snb-chip") for option in request.options)) if commands and request.options else None
    )
    page = h(
        "section",
        _head("question", prompt, "waits for an answer"),
        h("p", rest[0], class_="snb-reason") if rest else None,
        answer,
        h("p", "Run ", h("code", request.run_id), class_="snb-muted") if request.run_id else None,
        class_="snb snb-card snb-gate snb-warn",
        role="group",
        aria_label=f"Question: {one_line(prompt, 240)}",
    )
    lines = [f"? {prompt} (waits for an answer)", *rest, *([f"  one of: {', '.join(request.options)}"] if request.options else [])]
    return stack(Card(page, "\n".join(lines)), *_versions(request.before), _commands(request.commands) if commands else None)


def question_answered(prompt: str, answer: Any, *, by: str = "") -> Card:
    """Show a question after the answer."""
    told = f"Answered{f' by {one_line(by)}' if by else ''}: {shown(answer, 2_000)}"
    page = h("section", _head("answered", prompt.split("\n", 1)[0]), h("p", told), class_="snb snb-card snb-good", role="group")
    return Card(page, f"? {one_line(prompt.split(chr(10), 1)[0], 240)}\n{told}")


def _head(state: str, title: str, word: str = "") -> Html:
    chip = h("span", word, class_="snb-chip") if word else None
    return h("p", state_mark(state), h("strong", one_line(title, 240)), chip, class_="snb-title")


def again(said: str, by: str, at: int) -> str:
    """Explain why something is asked that was decided or answered already."""
    return f"Asked again: {one_line(by, 80)} said “{one_line(said, 80)}” on {when(at)} to an earlier version, which no longer counts."


def _versions(before: Before | None) -> list[Card]:
    """Show what was decided and what is asked now, side by side."""
    if before is None:
        return []
    names = ("Name", "Before", "Now")
    rows = [(name, "" if old is None else as_text(old), "" if new is None else as_text(new)) for name, old, new in before.changes]
    told = again(before.said, before.by, before.at)
    cells = ([one_line(name, 80), shown(old, 2_000), shown(new, 2_000)] for name, old, new in rows)
    page = h("div", h("p", told, class_="snb-reason"), table("What is different", names, cells), class_="snb")
    return [Card(page, f"{told}\n{text_table(names, rows)}")]


def _about(about: Mapping[str, Any]) -> list[Card]:
    """Show what a decision is about: short values in a table, long and nested ones folded."""
    short = [(name, value) for name, value in about.items() if _is_short(value)]
    cards = [_details_table(short)] if short else []
    return [*cards, *(details(str(name), as_text(value)) for name, value in about.items() if not _is_short(value))]


def _details_table(rows: Sequence[tuple[str, Any]]) -> Card:
    page = h("div", table("What it is about", ("Name", "Value"), ((name, shown(value, _SHORT)) for name, value in rows)), class_="snb")
    return Card(page, text_table(("Name", "Value"), rows))


def _is_short(value: Any) -> bool:
    return not isinstance(value, (dict, list)) and len(str(value)) <= _SHORT and "\n" not in str(value)


def as_text(value: Any) -> str:
    """Write a value of a request for a reader: text as it is, anything else as JSON."""
    if isinstance(value, str):
        return value
    import json

    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def _commands(commands: Sequence[tuple[str, str]]) -> Card | None:
    return command_sheet(commands, title="In a terminal") if commands else None
