"""One run as it goes on: state, what it asks, why it stands where it stands, its timeline, nodes and the end of its log.

Of a run of any engine. A run of a monitor, of one run or of a fleet, shows what it found out first, with its report in the page.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from smithers_nb.diagnosis.state.conditions import run_state
from smithers_nb.engine.control.decisions import login
from smithers_nb.model.rows import EventRow, NodeRow
from smithers_nb.model.timestamps import duration, now_ms, when
from smithers_nb.model.vocabulary import NOISE_EVENTS, is_terminal
from smithers_nb.present.html.cards import banner, command_sheet, details
from smithers_nb.present.html.markup import Html, h, join, table
from smithers_nb.present.html.parts import state_mark
from smithers_nb.present.html.states import look
from smithers_nb.present.html.tables import timeline_table
from smithers_nb.present.html.text import one_line
from smithers_nb.present.timeline.layout import timeline
from smithers_nb.present.timeline.svg import timeline_svg
from smithers_nb.sources.base import AllBut
from smithers_nb.sources.snapshot import Snapshot
from smithers_nb.workflows.autopsy.why import explain
from smithers_nb.workflows.live import forms
from smithers_nb.workflows.live.feed import Part
from smithers_nb.workflows.live.served_runs import Marker, ServedRuns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from smithers_nb.present.html.markup import Card
    from smithers_nb.present.timeline.model import Timeline

_EVENTS: Final = 30
_NODES: Final = 300
_MONITOR, _FLEET = "monitor", "monitor-smithers"  # their workflows; the stages themselves are imported when a run is one of them


class RunPage:
    """The fragments of one run's page."""

    sections: Final = ("status", "asks", "monitor", "why", "timeline", "nodes", "log")

    def __init__(self, runs: ServedRuns, run_id: str, key: str) -> None:
        self._runs, self._run_id, self._key = runs, run_id, key
        self._events: deque[EventRow] = deque(maxlen=_EVENTS)
        self._last: EventRow | None = None

    @property
    def title(self) -> str:
        """Its heading."""
        return f"Run {one_line(self._run_id, 120)}"

    def parts(self) -> list[Part]:
        """List what is rendered: the state at once, what has to be worked out when it is."""
        mark = Marker(self._runs)
        return [Part(self.state, mark, prefix=forms.PREFIX), Part(self.findings, mark, every_s=60.0)]

    def state(self) -> Mapping[str, Html]:
        """Render how it stands and what it asks."""
        with self._runs.open() as source:
            seen = Snapshot(source, self._run_id)
            state, run = run_state(seen.run, now_ms()), seen.run
            asks = self._runs.pending(seen.run_id) if seen.source.kind == "journal" and not is_terminal(run.status) else []
            facts = [run.workflow, f"started {when(run.started_at)}" if run.started_at else "", duration(run.duration_s)]
            word = h("span", state_mark(state), class_=f"snb-state snb-{look(state).tone}")
            last = {(row.node_id, row.iteration, row.attempt): row for row in seen.attempts}
            return {
                "status": h("p", word, h("strong", " · ".join(filter(None, facts))), class_="snb-title"),
                "nodes": self._nodes(seen.nodes, last),
                "log": self._log(seen),
                **{forms.fragment_id(item): forms.asked(item, self._key, login()) for item in asks},
            }

    def findings(self) -> Mapping[str, Html]:
        """Render why it stands where it stands, and its timeline."""
        with self._runs.open() as source:
            seen, now = Snapshot(source, self._run_id), now_ms()
            drawn = timeline(seen.attempts, seen.events, seen.approvals, seen.questions, nodes=seen.nodes, now=now)
            figure = _drawing(drawn) if drawn.lanes else Html("")
            found = {
                "timeline": join((figure, details("Every attempt", timeline_table(seen.attempts)) if drawn.lanes else None)),
                "why": _why(seen, now),
            }
            shows = {_MONITOR: self._monitor, _FLEET: self._fleet}.get(seen.run.workflow or "")
            return found | ({"monitor": shows()} if shows and seen.source.kind == "journal" else {})

    def _monitor(self) -> Html:
        """Render what a run of the monitor found out about its target, as soon as it has."""
        from smithers_nb.workflows.monitor import stages
        from smithers_nb.workflows.monitor.results import Diagnosis, FixRow
        from smithers_nb.workflows.monitor.views import headline_of, topics_of

        said = self.output(stages.DIAGNOSE)
        if said is None:
            return Html("")
        found, repaired = Diagnosis.read(said), self.output(stages.FIX)
        fix = FixRow.read(repaired) if repaired else None
        return self._with_report(headline_of(found, fix), topics_of(found, fix), stages.REPORT)

    def _fleet(self) -> Html:
        """Render what a look at a fleet found out, as soon as it has."""
        from smithers_nb.workflows.fleet import stages
        from smithers_nb.workflows.fleet.results import Sweep
        from smithers_nb.workflows.fleet.views import headline_of, topics_of

        said = self.output(stages.POLL)
        if said is None:
            return Html("")
        found = Sweep.read(said)
        return self._with_report(headline_of(found), topics_of(found), stages.REPORT)

    def _with_report(self, headline: Card, topics: list[tuple[str, Card]], report: str) -> Html:
        parts = (part for heading, card in topics for part in (h("h2", heading), card))
        address = f"/run/{quote(self._run_id, safe='')}/report"
        page = h("iframe", src=address, title="Report of the monitor", sandbox="allow-scripts") if self.output(report) else None
        return h("section", headline, *parts, h("h2", "Report") if page else None, page, class_="snb")

    def output(self, node_id: str) -> dict[str, Any] | None:
        """Read what a stage of the run produced, if it is a run of ours."""
        from smithers_nb.engine.journal.records import Node, read_output

        if not self._runs.has_journal:
            return None
        with self._runs.journal() as journal, journal.reading() as connection:
            return read_output(connection, Node(self._run_id, node_id))

    def _log(self, seen: Snapshot) -> Html:
        since = None if self._last is None else self._last.at
        rows = seen.source.rows(EventRow, seen.run_id, only={"type": AllBut(NOISE_EVENTS)}, since_ms=since)
        self._events.extend(row for row in rows if self._last is None or row.seq > self._last.seq)
        if rows:
            self._last = rows[-1]
        lines = [(when(row.at), row.type, row.node_id) for row in reversed(self._events)]
        return table("End of the log", ("Time", "Event", "Node"), lines) if lines else Html("")

    def _nodes(self, nodes: list[NodeRow], last: Mapping[tuple[str, int, int], Any]) -> Html:
        if not nodes:
            return Html("")
        kept = sorted(nodes, key=lambda node: node.updated_at or 0, reverse=True)[:_NODES]
        caption = f"Nodes, the {len(kept)} that changed last of {len(nodes)}" if len(kept) < len(nodes) else f"Nodes ({len(nodes)})"
        rows = []
        for node in kept:
            tried = last.get((node.node_id, node.iteration, node.last_attempt or 0))
            name = node.node_id + (f"#{node.iteration}" if node.iteration else "")
            mark = h("span", state_mark(node.state), class_=f"snb-state snb-{look(node.state).tone}")
            rows.append((h("code", name), mark, node.last_attempt, one_line(tried.error_message, 400) if tried else ""))
        return table(caption, ("Node", "State", "Attempt", "Error"), rows)


def _drawing(drawn: Timeline) -> Html:
    """Draw the timeline so that a narrow window scrolls it, also by keyboard."""
    words = {"class_": "snb-scroll snb-drawing", "tabindex": "0", "role": "group", "aria_label": "Timeline"}
    return h("figure", h("div", timeline_svg(drawn, "Timeline"), **words), h("figcaption", drawn.summary), class_="snb")


def _why(seen: Snapshot, now: int) -> Html:
    told = explain(seen, now=now)
    state = run_state(seen.run, now)
    facts = {"failed nodes": ", ".join(told.failed_nodes)}
    head = banner(seen.run.workflow or "run", told.summary, state=state, facts=facts, hint=told.advice.detail if told.advice else "")
    is_ours = seen.source.kind == "journal" and state.startswith("waiting-")
    return join((head, command_sheet(told.commands) if told.commands and not is_ours else None))
