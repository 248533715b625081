"""Renders the rows of the fleet: the headline, and one card per topic."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.model.counts import plural
from smithers_nb.model.timestamps import duration, when
from smithers_nb.present.html import cards
from smithers_nb.present.html.markup import Card, h, table, text_table
from smithers_nb.present.html.parts import state_mark
from smithers_nb.present.html.text import shown
from smithers_nb.workflows.fleet import results as rows

if TYPE_CHECKING:
    from smithers_nb.workflows.fleet.results import Sweep

_MAX_ROWS: Final = 200
_MAX_SHORT: Final = 26
_MAX_PROBLEMS: Final = 3


def headline_of(found: Sweep) -> Card:
    """Return a banner that says how the fleet is doing, with the first thing to do."""
    counts = Counter(run.bucket for run in found.troubled)
    troubles = {bucket: counts[bucket] for bucket in rows.WORST_FIRST if counts[bucket]}
    facts = {"runs": len(found.runs), "projects": len(found.projects)} | troubles
    verdict = verdict_of(found)
    state = next(iter(troubles), "healthy" if verdict == "healthy" else "problem")
    banner = cards.banner(verdict.capitalize(), summary_of(found), state=state, facts=facts, hint=" ".join(found.problems[:_MAX_PROBLEMS]))
    first = next((action for action in found.actions if action.command), None)
    if first is None:
        return banner
    return cards.stack(banner, cards.command_sheet([(first.command, f"{named(first)}: {first.recommended_action}")], title="Do this first"))


def topics_of(found: Sweep) -> list[tuple[str, Card]]:
    """Return the topics in the order of the report, each with its heading."""
    return [(heading, view(found)) for heading, view in TOPICS.values()]


def verdict_of(found: Sweep) -> str:
    """Return `healthy` or `problems detected`.

    Only live runs count, so not those that failed long ago. A fleet of which a project could not be read is not called healthy.
    """
    return "problems detected" if found.troubled or found.unread or not found.projects else "healthy"


def summary_of(found: Sweep) -> str:
    """Return what could not be read, how many runs need attention now, and which failure is the most frequent."""
    unread = f"{plural(found.unread, 'project')} could not be read. " if found.unread else ""
    if not found.projects:
        return unread.strip() or "No project with runs was found."
    count, total = len(found.troubled), len(found.runs)
    attention = unread + (f"{count} of {total} runs need attention now." if count else f"None of {total} runs needs attention now.")
    top = next(iter(found.recurring), None)
    if top is None:
        return f"{attention} Nothing has failed."
    return f"{attention} The failure that hit most runs ({top.runs}): {top.message}"


def view_of(row: Any) -> Card:
    """Return the card that displays a row."""
    view = next(_VIEWS[kind] for kind in type(row).__mro__ if kind in _VIEWS)
    card: Card = view(row)
    return card


def _actions(found: Sweep) -> Card:
    if not found.actions:
        return cards.note("Nothing to do.")
    listed = [(action.command, f"{named(action)}: {action.recommended_action}") for action in found.actions]
    return cards.command_sheet(listed, title=f"Proposed, not executed ({len(listed)})")


def named(action: rows.Action) -> str:
    """Return the run of an action, how many other runs it covers, and whether it needs a person."""
    others = f" and {len(action.also)} more with the same cause" if action.also else ""
    return f"{action.run_id}{others} ({'needs a person' if action.needs_human else 'safe to try'})"


def _waiting(found: Sweep) -> Card:
    cells = [(_ago(row.waited_minutes), row.run_id, row.node_id, shown(row.prompt, 240)) for row in found.waiting]
    return _table("Gates and questions, the longest waiting first", ("Asked", "Run", "Node", "What"), cells)


def _quotas(found: Sweep) -> Card:
    cells = [(row.run_id, row.workflow or "", when(row.resets_at) or "not known", _until(row.minutes_left)) for row in found.quotas]
    return _table("Waiting for a provider's limit", ("Run", "Workflow", "Limit is reset", "From now"), cells)


def _until(minutes: float | None) -> str:
    return "" if minutes is None else duration(minutes * 60) if minutes > 0 else "already reset; resume the run"


def _recurring(found: Sweep) -> Card:
    cells = [
        (row.signature, row.failure_class, row.runs, row.count, when(row.last_at), duration(row.wall_s), shown(row.message, 240))
        for row in found.recurring
    ]
    return _table("Kinds of failure", ("Signature", "Class", "Runs", "Failures", "Last", "Time lost", "Message"), cells)


def _loops(found: Sweep) -> Card:
    cells = [(loop.family, loop.runs, loop.failed, loop.streak, shown(loop.reason, 300)) for loop in found.loops]
    return _table("Repair loops", ("Work", "Runs", "Failed", "In a row", "Why it looks like one"), cells)


def _flaky(found: Sweep) -> Card:
    cells = [(row.workflow or "", row.node_id, f"{row.recovered_runs} of {row.runs}") for row in found.flaky]
    return _table("Flaky tasks", ("Workflow", "Task", "Runs in which it failed and then succeeded"), cells)


def _lost(found: Sweep) -> Card:
    cells = [(row.by, row.name, row.failed_attempts, duration(row.wall_s), f"{row.tokens:,}") for row in found.lost]
    return _table("What failures cost", ("By", "Name", "Failed attempts", "Time", "Tokens"), cells)


def _runs(found: Sweep) -> Card:
    worst = sorted(found.runs, key=lambda run: (not run.live, rows.WORST_FIRST.index(run.bucket), run.age_minutes or 0))
    columns = ("Run", "Workflow", "Health", "Status", "Started", "Why")
    cells = [
        (run.run_id, run.workflow or "", run.bucket, run.status, _ago(run.age_minutes), shown(run.reason, 200)) for run in worst[:_MAX_ROWS]
    ]
    body = (
        h(
            "tr",
            h("td", h("code", run_id)),
            h("td", workflow),
            h("td", state_mark(bucket), class_="snb-nowrap"),
            *(h("td", cell) for cell in rest),
        )
        for run_id, workflow, bucket, *rest in cells
    )
    caption = f"Runs ({len(cells)} of {len(worst)}, those that need attention first)"
    return Card(h("div", table(caption, columns, body), class_="snb"), f"{caption}\n{text_table(columns, cells)}")


def _ago(minutes: float | None) -> str:
    return "" if minutes is None else f"{duration(minutes * 60)} ago"


def _table(caption: str, columns: Sequence[str], cells: Sequence[Sequence[object]]) -> Card:
    if not cells:
        return cards.note("None.")
    body = ([_cell(cell) for cell in row] for row in cells)
    return Card(h("div", table(caption, columns, body), class_="snb"), f"{caption}\n{text_table(columns, cells)}")


def _cell(value: object) -> object:
    """Render a cell, keeping a short value on one line."""
    return h("span", value, class_="snb-nowrap") if len(str(value)) <= _MAX_SHORT else value


TOPICS: Final[dict[str, tuple[str, Callable[[Sweep], Card]]]] = {
    "actions": ("What to do", _actions),
    "waiting": ("What waits for a person", _waiting),
    "quotas": ("Provider limits", _quotas),
    "recurring": ("What recurs", _recurring),
    "loops": ("Work without progress", _loops),
    "flaky": ("Flaky tasks", _flaky),
    "lost": ("What failures cost", _lost),
    "runs": ("Every run", _runs),
}
"""Heading and card of each topic, in the order of the report."""

_VIEWS: Final[dict[type, Callable[[Any], Card]]] = {
    rows.Sweep: headline_of,
    rows.PageRow: lambda row: cards.note(f"{row.title}: {len(row.html.encode()):,} bytes"),
    rows.FilesRow: lambda row: cards.note(f"{row.report} and {len(row.frames)} tables"),
    rows.FleetRow: lambda row: cards.banner(
        row.verdict.capitalize(), row.summary, state="healthy" if row.verdict == "healthy" else "problem"
    ),
}
