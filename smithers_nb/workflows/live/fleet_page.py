"""The page of all runs of a project: what needs a person, then work items, then a table of runs, newest first, that can be filtered.

The table is split into groups of runs, counted from the oldest, so that a new run changes only the newest group.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

from smithers_nb.diagnosis.state.conditions import run_state
from smithers_nb.engine.control.decisions import login
from smithers_nb.engine.journal.attention import marks_of
from smithers_nb.ledger import Ledger
from smithers_nb.model.counts import plural
from smithers_nb.model.rows import RunRow
from smithers_nb.model.timestamps import duration, now_ms, span, when
from smithers_nb.present.html.cards import command_sheet
from smithers_nb.present.html.markup import Html, h, join
from smithers_nb.present.html.parts import empty, note, state_mark
from smithers_nb.present.html.states import look
from smithers_nb.present.html.text import one_line
from smithers_nb.workflows.ledger_store import LedgerStore, work_items
from smithers_nb.workflows.live import forms
from smithers_nb.workflows.live.changes import locations_of
from smithers_nb.workflows.live.feed import Part
from smithers_nb.workflows.live.served_runs import Marker, ServedRuns
from smithers_nb.workflows.monitor.attention import Need, needs

if TYPE_CHECKING:
    from smithers_nb.engine.journal.attention import Mark
    from smithers_nb.sources.base import Source

GROUP: Final = "runs-"
"""Prefix of the ids of the groups of the table."""

_GROUP_SIZE: Final = 25
_WEEK_MS: Final = 7 * 86_400_000
_MAX_NEEDS: Final = 40


class FleetPage:
    """The fragments of the page of a whole project."""

    sections: Final = ("inbox", "asks", "work", "counts", "runs")
    title: Final = "Runs"

    def __init__(self, runs: ServedRuns, key: str) -> None:
        self._runs, self._key = runs, key

    def parts(self) -> list[Part]:
        """Return the parts of the page: the table and the forms first, then the inbox, which takes longer."""
        mark = Marker(self._runs)
        return [
            Part(self.table, mark, prefix=GROUP),
            Part(self.asks, mark, prefix=forms.PREFIX),
            Part(self.inbox, mark, every_s=60.0),
            Part(self.work, mark, every_s=60.0),
        ]

    def table(self) -> Mapping[str, Html]:
        """Render every run."""
        with self._runs.open() as source:
            rows, now = source.rows(RunRow), now_ms()
        rows = [row._replace(state=run_state(row, now)) for row in rows]
        rows.sort(key=lambda row: (row.started_at or row.created_at or 0, row.run_id))
        states = Counter(row.state for row in rows)
        starts = reversed(range(0, len(rows), _GROUP_SIZE))
        groups = {f"{GROUP}{start // _GROUP_SIZE}": join(map(_row, reversed(rows[start : start + _GROUP_SIZE]))) for start in starts}
        return {"counts": _counts(states), **groups}

    def asks(self) -> Mapping[str, Html]:
        """Render what can be decided on this page."""
        return {forms.fragment_id(item): forms.request_form(item, self._key, login()) for item in self._runs.pending()}

    def inbox(self) -> Mapping[str, Html]:
        """Render what needs a person, as `smithers-nb inbox` lists it."""
        now = now_ms()
        with self._runs.open() as source:
            listed = [need for need in needs(source, now, since_ms=now - _WEEK_MS, marks=self._marks(source)) if not need.put_aside]
        return {"inbox": _inbox(listed)}

    def work(self) -> Mapping[str, Html]:
        """Render the work items of the project's ledger, if there are any."""
        if not self._runs.has_journal:
            return {}
        with LedgerStore(Ledger(self._runs.journal())) as store:
            card = work_items(store)
        return {} if card is None else {"work": h("section", h("h2", "Work items"), card.html)}

    def _marks(self, source: Source) -> list[Mark]:
        if not self._runs.has_journal:
            return []
        with self._runs.journal() as journal, journal.reading() as connection:
            return marks_of(connection, {source.location, *locations_of(source)})


def run_link(run_id: str) -> Html:
    """Return a link to the page of a run."""
    return h("a", h("code", one_line(run_id, 60)), href=f"/run/{quote(run_id, safe='')}")


@lru_cache(maxsize=8_192)
def _row(row: RunRow) -> Html:
    cells = (
        run_link(row.run_id),
        row.workflow,
        _state(row.state),
        when(row.started_at),
        duration(row.duration_s),
        one_line(row.error_message, 120),
    )
    return h("tr", *(h("td", cell) for cell in cells), data_state=row.state)


@lru_cache(maxsize=64)
def _state(state: str) -> Html:
    return h("span", state_mark(state), class_=f"snb-state snb-{look(state).tone}")


def _counts(states: Counter[str]) -> Html:
    if not states:
        return empty("no-runs").html
    chips = [h("span", state_mark(state), f" {count}", class_=f"snb-chip snb-{look(state).tone}") for state, count in states.most_common()]
    return h("p", h("strong", plural(states.total(), "run")), *chips, class_="snb")


def _inbox(listed: list[Need]) -> Html:
    if not listed:
        return h("section", h("h2", "Needs you"), note("Nothing needs you.", state="healthy"), class_="snb snb-card")
    extra = len(listed) - _MAX_NEEDS
    more = h("p", f"{extra} more: smithers-nb inbox", class_="snb-muted") if extra > 0 else None
    items = h("ul", *map(_need, listed[:_MAX_NEEDS]), class_="snb-needs")
    return h("section", h("h2", f"Needs you ({len(listed)})"), items, more, class_="snb snb-card")


def _need(need: Need) -> Html:
    tone = "bad" if need.kind == "FAILED" else "warn"
    age = f"for {span(need.age_ms)}" if need.age_ms is not None else ""
    facts = " · ".join(filter(None, (need.workflow or "", need.node_id or "", age)))
    until = h("p", f"Until {when(need.deadline)}", class_="snb-muted") if need.deadline is not None else None
    commands = [*need.commands, *need.alternatives] if need.kind != "FAILED" else list(need.commands)
    folded = h("details", h("summary", "What to do"), h("p", need.consequence), command_sheet(commands)) if commands else None
    return h(
        "li",
        h("p", h("strong", need.kind, class_=f"snb-word snb-{tone}"), run_link(need.run_id), " ", facts),
        h("p", one_line(need.what, 400)),
        until,
        folded,
        class_=f"snb-{tone}",
    )
