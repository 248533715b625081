"""How the rows of smithering are displayed: a banner with the summary and the facts, and a list for each field that is a list."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.model.finding import Finding
from smithers_nb.present.html.cards import banner
from smithers_nb.present.html.markup import Card, Html, h, join
from smithers_nb.present.html.text import one_line

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.results.shown import Shown

_OUTCOMES: Final = ("passed", "ok", "approved", "launched", "all_passed")
_STATUS_STATES: Final = {"delivered": "finished", "cancelled": "cancelled", "incomplete": "failed"}
_OMITTED: Final = ("document", "details")
_MAX_ITEMS: Final = 30
_MAX_TEXT: Final = 300


def view_of(row: Shown) -> Card:
    """Return the card of a row."""
    values = {spec.name: getattr(row, spec.name) for spec in fields(row) if spec.name not in _OMITTED}
    facts = {_label(name): _fact(value) for name, value in values.items() if isinstance(value, str | int | float) and name != "summary"}
    summary = str(values.get("summary") or values.get("detail") or "")
    head = banner(_title(row), summary, state=_state(values), facts={name: text for name, text in facts.items() if text})
    lists = [
        (_label(name), list(_lines(value))) for name, value in values.items() if isinstance(value, tuple | dict) and name != "reasoning"
    ]
    reasons = values.get("reasoning")
    if reasons:
        lists.append(("Why", [one_line(each, _MAX_TEXT) for each in reasons]))
    filled = [(name, lines) for name, lines in lists if lines]
    return Card(
        join([head.html, *(_section(name, lines) for name, lines in filled)]),
        "\n".join([head.text, *(line for name, lines in filled for line in (f"{name}:", *(f"  {each}" for each in lines)))]),
    )


def _title(row: Shown) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", " ", type(row).__name__).capitalize()


def _state(values: dict[str, Any]) -> str:
    if "status" in values:
        return _STATUS_STATES.get(str(values["status"]), str(values["status"]))
    return "finished" if all(values[name] for name in _OUTCOMES if name in values) else "failed"


def _lines(value: tuple[Any, ...] | dict[str, Any]) -> Iterator[str]:
    items = [f"{key}: {item}" for key, item in value.items()] if isinstance(value, dict) else list(value)
    for item in items[:_MAX_ITEMS]:
        yield one_line(_item_text(item), _MAX_TEXT)
    if len(items) > _MAX_ITEMS:
        yield f"and {len(items) - _MAX_ITEMS} more"


def _item_text(item: Any) -> str:
    if not isinstance(item, Finding):
        return str(item)
    values = [getattr(item, spec.name) for spec in fields(item)]  # type: ignore[arg-type]  # a dataclass
    return " · ".join(str(value) for value in values if isinstance(value, str) and value)


def _section(name: str, lines: list[str]) -> Html:
    return h("div", h("h4", name), h("ul", *(h("li", line) for line in lines)), class_="snb")


def _label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def _fact(value: object) -> str:
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else one_line(str(value), _MAX_TEXT)
