"""The failure timeline as a plotly figure with a scriptless twin.

Built as plain plotly JSON, because importing plotly costs more than drawing; `figure()` turns it into a plotly object for whoever
wants to go on working with it. A notebook shows the live one, mail and print the twin, a terminal the sentence.
"""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.model.rows import ApprovalRow, AttemptRow, EventRow, NodeRow, QuestionRow
from smithers_nb.present.html.cards import details, timeline_table
from smithers_nb.present.html.markup import Card, h, join
from smithers_nb.present.html.row_input import Rows, rows_of
from smithers_nb.present.html.states import Tone, look
from smithers_nb.present.html.theme import style_block
from smithers_nb.present.timeline.layout import timeline
from smithers_nb.present.timeline.svg import timeline_svg

if TYPE_CHECKING:
    from plotly.graph_objects import Figure

    from smithers_nb.present.timeline.model import Bar, Mark, Timeline

PLOTLY_MIMETYPE: Final = "application/vnd.plotly.v1+json"
_FONT: Final = "system-ui, 'Segoe UI', 'Noto Sans', 'DejaVu Sans', Arial, sans-serif"
# Readable on white and on near-black, because a notebook's figure does not know its theme; shape and word tell the same.
_COLOURS: Final[dict[Tone, str]] = {"bad": "#cf3b41", "good": "#2f8455", "warn": "#c98a1b", "busy": "#3d82cf", "quiet": "#717c8c"}
_PATTERNS: Final = {"collateral": "/", "reset": "\\", "cancelled": "-"}
_TABLE_ROWS: Final = 120
_WIDEST_LABEL: Final = 28
_SYMBOLS: Final = {
    "failed": "x",
    "collateral": "x-open",
    "gate": "diamond",
    "approved": "triangle-right",
    "denied": "square-x",
    "question": "diamond-open",
    "answered": "triangle-right-open",
    "restart": "star",
    "reset": "arrow-left",
    "cancelled": "circle-x-open",
}


@dataclass(frozen=True, repr=False)
class Chart:
    """A figure that displays itself.

    Attributes:
        spec: Plotly JSON: `data`, `layout`, `config`.
        twin: The same without scripts: drawing, notes and table.
    """

    spec: dict[str, Any]
    twin: Card

    def figure(self) -> Figure:
        """Make a plotly figure of it."""
        from plotly.graph_objects import Figure

        return Figure({"data": self.spec["data"], "layout": self.spec["layout"]})

    def __repr__(self) -> str:
        return self.twin.text

    def _repr_mimebundle_(self, include: Collection[str] | None = None, exclude: Collection[str] | None = None) -> dict[str, Any]:
        del include, exclude
        return {PLOTLY_MIMETYPE: self.spec, "text/html": style_block() + self.twin.html, "text/plain": self.twin.text}


def timeline_figure(  # noqa: PLR0913  # one parameter per table
    attempts: Rows[AttemptRow],
    events: Rows[EventRow] = (),
    approvals: Rows[ApprovalRow] = (),
    questions: Rows[QuestionRow] = (),
    *,
    nodes: Rows[NodeRow] = (),
    now: int | None = None,
    collateral: Collection[str] = (),
    title: str = "Timeline of attempts",
) -> Chart | Card:
    """Draw the timeline of one run: every attempt its own bar, waits, gates, questions, failures and restarts.

    Args:
        attempts: Rows or frame of attempts.
        events: Rows or frame of events.
        approvals: Rows or frame of gates.
        questions: Rows or frame of questions to people.
        nodes: Rows or frame of nodes; the lane of a notebook's cell shows its label.
        now: Where what is still open ends, epoch milliseconds.
        collateral: Node ids whose failure is a consequence of another.
        title: Name of the figure.

    Returns:
        The chart; an empty card when nothing was recorded.
    """
    tries = rows_of(AttemptRow, attempts)
    drawn = timeline(tries, events, approvals, questions, nodes=nodes, now=now, collateral=collateral)
    if not drawn.lanes:
        return timeline_table(())
    table = details("The same as a table", timeline_table(tries, collateral=tuple(collateral), limit=_TABLE_ROWS))
    notes = join(h("p", remark, class_="snb-muted") for remark in drawn.notes)
    twin = h("figure", timeline_svg(drawn, title), h("figcaption", title, ". ", drawn.summary), notes, table, class_="snb snb-twin")
    return Chart(timeline_spec(drawn, title), Card(twin, "\n".join([f"{title}. {drawn.summary}", *drawn.notes, table.text])))


def timeline_spec(drawn: Timeline, title: str) -> dict[str, Any]:
    """Write a timeline as plotly JSON: one trace per state and kind of mark, so that the legend names them."""
    bars: dict[str, list[Bar]] = defaultdict(list)
    marks: dict[str, list[Mark]] = defaultdict(list)
    for bar in drawn.bars:
        bars[bar.state].append(bar)
    for mark in drawn.marks:
        marks[mark.kind].append(mark)
    narrow = [bar for bar in drawn.bars if bar.label and bar.tries == 1 and not _wide(bar, drawn)]
    return {
        "data": [
            *(_bar_trace(state, group, drawn) for state, group in bars.items()),
            *(_mark_trace(kind, group, named=kind not in bars) for kind, group in marks.items()),
            *([_number_trace(narrow)] if narrow else []),
        ],
        "layout": _layout(drawn, title),
        "config": {"displaylogo": False, "responsive": True},
    }


def _bar_trace(state: str, bars: list[Bar], drawn: Timeline) -> dict[str, Any]:
    colour = _COLOURS[look(state).tone]
    return {
        "type": "bar",
        "orientation": "h",
        "name": _safe(look(state).word),
        "legendgroup": _safe(look(state).word),
        "y": [_safe(bar.lane) for bar in bars],
        "base": [bar.start for bar in bars],
        "x": [max(bar.end - bar.start, 1) for bar in bars],
        "width": 0.34 if state.startswith("waiting") else 0.62,
        "text": [bar.label if _wide(bar, drawn) else "" for bar in bars],
        "textposition": "inside",
        "insidetextanchor": "start",
        "constraintext": "none",
        "textangle": 0,
        "textfont": {"color": "#ffffff", "size": 11},
        "cliponaxis": False,
        "hovertext": [_safe(f"{bar.lane} · {bar.tip}") for bar in bars],
        "hoverinfo": "text",
        "marker": {
            "color": colour,
            "line": {"color": colour, "width": 1.5},
            "pattern": {
                "shape": _PATTERNS.get(state, "." if state.startswith("waiting") else ""),
                "size": 6,
                "solidity": 0.3,
                "fillmode": "overlay",
                "fgcolor": "#ffffff",
            },
        },
    }


def _number_trace(bars: list[Bar]) -> dict[str, Any]:
    """Write numbers before bars that are too narrow to hold them."""
    return {
        "type": "scatter",
        "mode": "text",
        "showlegend": False,
        "x": [bar.start for bar in bars],
        "y": [_safe(bar.lane) for bar in bars],
        "text": [f"{bar.label} " for bar in bars],
        "textposition": "middle left",
        "textfont": {"size": 11},
        "hoverinfo": "skip",
        "cliponaxis": False,
    }


def _wide(bar: Bar, drawn: Timeline) -> bool:
    return (bar.end - bar.start) * _WIDEST_LABEL > drawn.end - drawn.start


def _mark_trace(kind: str, marks: list[Mark], *, named: bool) -> dict[str, Any]:
    return {
        "type": "scatter",
        "mode": "markers",
        "name": _safe(look(kind).word),
        "showlegend": named,
        "legendgroup": _safe(look(kind).word),
        "x": [mark.at for mark in marks],
        "y": [_safe(mark.lane) for mark in marks],
        "hovertext": [_safe(f"{mark.lane} · {mark.tip}") for mark in marks],
        "hoverinfo": "text",
        "cliponaxis": False,
        "marker": {
            "symbol": _SYMBOLS.get(kind, "circle"),
            "size": 11,
            "color": _COLOURS[look(kind).tone],
            "line": {"color": "#ffffff", "width": 1},
        },
    }


def _layout(drawn: Timeline, title: str) -> dict[str, Any]:
    room = max((drawn.end - drawn.start) // 40, 1)
    return {
        "title": {"text": _safe(title), "font": {"size": 14}, "x": 0, "xref": "paper", "y": 0.99, "yanchor": "top"},
        "barmode": "overlay",
        "height": 130 + 30 * max(len(drawn.lanes), 2),
        "margin": {"l": 10, "r": 20, "t": 64, "b": 44},
        "font": {"family": _FONT, "size": 12, "color": "#1b1f26"},
        "paper_bgcolor": "#ffffff",
        "plot_bgcolor": "#ffffff",
        "legend": {"orientation": "h", "x": 0, "y": 1, "yanchor": "bottom", "font": {"size": 11}},
        "hovermode": "closest",
        "xaxis": {
            "type": "date",
            "range": [drawn.start - room, drawn.end + room],
            "gridcolor": "#e3e6eb",
            "zeroline": False,
            "tickangle": 0,  # in a narrow window plotly would turn the times and cut them off
            "nticks": 4,  # so that times with fractions of a second still fit beside each other on a phone
        },
        "yaxis": {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [_safe(lane) for lane in reversed(drawn.lanes)],
            "range": [-0.6, len(drawn.lanes) - 0.4],
            "automargin": True,
            "gridcolor": "#eef0f3",
            "ticksuffix": "  ",
        },
    }


def _safe(text: str) -> str:
    """Plotly reads a little HTML in texts; nothing of a run is to be read as such."""
    return html.escape(text, quote=False)
