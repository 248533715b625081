"""The live page of one run of any engine: its state, pending requests, explanation, timeline, nodes and the end of its log.

A run of a monitor, whether of one run or of a fleet, first shows its findings, with its report embedded in the page.
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

    from smithers_nb.model.rows import AttemptRow
    from smithers_nb.present.html.markup import Card
    from smithers_nb.present.timeline.model import Timeline

_MAX_EVENTS: Final = 30
_MAX_NODES: Final = 300
_MONITOR, _FLEET = "monitor", "monitor-smithers"  # workflow names, repeated here so that their stages are imported only for such runs


class RunPage:
    """The fragments of one run's page."""

    sections: Final = ("status", "asks", "monitor", "why", "timeline", "nodes", "log")

    def __init__(self, runs: ServedRuns, run_id: str, key: str) -> None:
        self._runs, self._run_id, self._key = runs, run_id, key
        self._events: deque[EventRow] = deque(maxlen=_MAX_EVENTS)
        self._last: EventRow | None = None

    @property
    def title(self) -> str:
        """Heading of the page."""
        return f"Run {one_line(self._run_id, 120)}"

    def parts(self) -> list[Part]:
        """Return the parts of the page: the state first, then the findings, which take longer."""
        mark = Marker(self._runs)
        return [Part(self.state, mark, prefix=forms.PREFIX), Part(self.findings, mark, every_s=60.0)]

    def state(self) -> Mapping[str, Html]:
        """Render the state, the pending requests, the nodes and the log."""
        with self._runs.open() as source:
            snapshot = Snapshot(source, self._run_id)
            state, run = run_state(snapshot.run, now_ms()), snapshot.run
            asks = self._runs.pending(snapshot.run_id) if source.kind == "journal" and not is_terminal(run.status) else []
            facts = [run.workflow, f"started {when(run.started_at)}" if run.started_at else "", duration(run.duration_s)]
            word = h("span", state_mark(state), class_=f"snb-state snb-{look(state).tone}")
            attempts = {(row.node_id, row.iteration, row.attempt): row for row in snapshot.attempts}
            return {
                "status": h("p", word, h("strong", " · ".join(filter(None, facts))), class_="snb-title"),
                "nodes": self._nodes(snapshot.nodes, attempts),
                "log": self._log(snapshot),
                **{forms.fragment_id(item): forms.request_form(item, self._key, login()) for item in asks},
            }

    def findings(self) -> Mapping[str, Html]:
        """Render the explanation, the timeline and, for a run of a monitor, its findings."""
        with self._runs.open() as source:
            snapshot, now = Snapshot(source, self._run_id), now_ms()
            drawn = timeline(snapshot.attempts, snapshot.events, snapshot.approvals, snapshot.questions, nodes=snapshot.nodes, now=now)
            figure = _drawing(drawn) if drawn.lanes else Html("")
            fragments = {
                "timeline": join((figure, details("Every attempt", timeline_table(snapshot.attempts)) if drawn.lanes else None)),
                "why": _why(snapshot, now),
            }
            render = {_MONITOR: self._monitor, _FLEET: self._fleet}.get(snapshot.run.workflow or "")
            return fragments | ({"monitor": render()} if render and snapshot.source.kind == "journal" else {})

    def _monitor(self) -> Html:
        """Render the diagnosis of a monitor's run, once there is one."""
        from smithers_nb.workflows.monitor import stages
        from smithers_nb.workflows.monitor.results import Diagnosis, FixRow
        from smithers_nb.workflows.monitor.views import headline_of, topics_of

        row = self.output(stages.DIAGNOSE)
        if row is None:
            return Html("")
        found, fix_row = Diagnosis.read(row), self.output(stages.FIX)
        fix = FixRow.read(fix_row) if fix_row else None
        return self._with_report(headline_of(found, fix), topics_of(found, fix), stages.REPORT)

    def _fleet(self) -> Html:
        """Render the findings of a fleet monitor's run, once there are any."""
        from smithers_nb.workflows.fleet import stages
        from smithers_nb.workflows.fleet.results import Sweep
        from smithers_nb.workflows.fleet.views import headline_of, topics_of

        row = self.output(stages.POLL)
        if row is None:
            return Html("")
        found = Sweep.read(row)
        return self._with_report(headline_of(found), topics_of(found), stages.REPORT)

    def _with_report(self, headline: Card, topics: list[tuple[str, Card]], report: str) -> Html:
        parts = (part for heading, card in topics for part in (h("h2", heading), card))
        address = f"/run/{quote(self._run_id, safe='')}/report"
        page = h("iframe", src=address, title="Report of the monitor", sandbox="allow-scripts") if self.output(report) else None
        return h("section", headline, *parts, h("h2", "Report") if page else None, page, class_="snb")

    def output(self, node_id: str) -> dict[str, Any] | None:
        """Return the output row of a stage, or None when the journal has none."""
        from smithers_nb.engine.journal.records import Node, read_output

        if not self._runs.has_journal:
            return None
        with self._runs.journal() as journal, journal.reading() as connection:
            return read_output(connection, Node(self._run_id, node_id))

    def _log(self, snapshot: Snapshot) -> Html:
        since = None if self._last is None else self._last.at
        rows = snapshot.source.rows(EventRow, snapshot.run_id, only={"type": AllBut(NOISE_EVENTS)}, since_ms=since)
        self._events.extend(row for row in rows if self._last is None or row.seq > self._last.seq)
        if rows:
            self._last = rows[-1]
        lines = [(when(row.at), row.type, row.node_id) for row in reversed(self._events)]
        return table("End of the log", ("Time", "Event", "Node"), lines) if lines else Html("")

    def _nodes(self, nodes: list[NodeRow], attempts: Mapping[tuple[str, int, int], AttemptRow]) -> Html:
        if not nodes:
            return Html("")
        newest = sorted(nodes, key=lambda node: node.updated_at or 0, reverse=True)[:_MAX_NODES]
        caption = f"Nodes (the {len(newest)} of {len(nodes)} that changed last)" if len(newest) < len(nodes) else f"Nodes ({len(nodes)})"
        rows = []
        for node in newest:
            attempt = attempts.get((node.node_id, node.iteration, node.last_attempt or 0))
            name = node.node_id + (f"#{node.iteration}" if node.iteration else "")
            mark = h("span", state_mark(node.state), class_=f"snb-state snb-{look(node.state).tone}")
            rows.append((h("code", name), mark, node.last_attempt, one_line(attempt.error_message, 400) if attempt else ""))
        return table(caption, ("Node", "State", "Attempt", "Error"), rows)


def _drawing(drawn: Timeline) -> Html:
    """Render the timeline so that it can be scrolled in a narrow window, also by keyboard."""
    attributes = {"class_": "snb-scroll snb-drawing", "tabindex": "0", "role": "group", "aria_label": "Timeline"}
    return h("figure", h("div", timeline_svg(drawn, "Timeline"), **attributes), h("figcaption", drawn.summary), class_="snb")


def _why(snapshot: Snapshot, now: int) -> Html:
    why, state = explain(snapshot, now=now), run_state(snapshot.run, now)
    facts = {"failed nodes": ", ".join(why.failed_nodes)}
    head = banner(snapshot.run.workflow or "run", why.summary, state=state, facts=facts, hint=why.advice.detail if why.advice else "")
    has_form = snapshot.source.kind == "journal" and state.startswith("waiting-")
    return join((head, command_sheet(why.commands) if why.commands and not has_form else None))
