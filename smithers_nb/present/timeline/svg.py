"""The timeline as a still drawing: no script, no style attribute, colours from the theme's classes.

It stands in wherever the live figure cannot: on paper, in mail, where scripts are off. Icons repeat what colours say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from smithers_nb.model.timestamps import when
from smithers_nb.present.html.markup import Html, h, join
from smithers_nb.present.html.states import look

if TYPE_CHECKING:
    from smithers_nb.present.timeline.model import Bar, Mark, Timeline

_WIDTH: Final = 960
_LANE: Final = 26
_TOP: Final = 8
_AXIS: Final = 26
_LETTER: Final = 6.6
_GUTTER: Final = (60, 250)
_LABEL_ROOM: Final = 7
_MARK_ROOM: Final = 14
_TICKS: Final = 7
_STEPS_S: Final = (
    *(1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 43_200),
    *(86_400, 172_800, 604_800, 2_592_000, 31_536_000),
)
_STEPS_MS: Final = (*(1, 2, 5, 10, 20, 50, 100, 200, 500), *(step * 1_000 for step in _STEPS_S))
_SECONDS_MS, _DAY_MS, _YEAR_MS = 5_000, 86_400_000, 31_536_000_000


def timeline_svg(drawn: Timeline, title: str) -> Html:
    """Draw a timeline; title and description are read out by screen readers."""
    gutter = min(max((int(max(map(len, drawn.lanes), default=0) * _LETTER) + 14), _GUTTER[0]), _GUTTER[1])
    bottom = _TOP + _LANE * len(drawn.lanes)
    scale = _Scale(drawn.start, drawn.end, gutter, _WIDTH - 14)
    heights = {lane: _TOP + _LANE * position for position, lane in enumerate(drawn.lanes)}
    legend, legend_height = _legend(drawn, bottom + _AXIS + 6)
    return h(
        "svg",
        h("title", title),
        h("desc", " ".join([drawn.summary, *drawn.notes])),
        join(_ticks(scale, bottom)),
        join(_lane(lane, top, gutter) for lane, top in heights.items()),
        join(_bar(bar, scale, heights[bar.lane]) for bar in drawn.bars),
        join(_mark(mark, scale, heights[mark.lane]) for mark in drawn.marks),
        legend,
        viewBox=f"0 0 {_WIDTH} {bottom + _AXIS + legend_height}",
        role="img",
        aria_label=f"{title}. {drawn.summary}",
        class_="snb-svg",
    )


class _Scale:
    """Epoch milliseconds to positions."""

    def __init__(self, start: int, end: int, left: int, right: int) -> None:
        self.start, self.end, self.left, self.right = start, max(end, start + 1), left, right

    def __call__(self, at: int) -> float:
        return self.left + (at - self.start) * (self.right - self.left) / (self.end - self.start)


def _ticks(scale: _Scale, bottom: int) -> Iterator[Html]:
    span = scale.end - scale.start
    step = next((step for step in _STEPS_MS if span / step <= _TICKS), span // _TICKS)
    for at in range(-(-scale.start // step) * step, scale.end + 1, step):
        x = f"{scale(at):.1f}"
        yield h("line", x1=x, x2=x, y1=str(_TOP), y2=str(bottom), class_="snb-tick")
        yield h("text", _clock(at, span), x=x, y=str(bottom + 16), text_anchor="middle", class_="snb-svg-muted")


def _clock(at: int, span: int) -> str:
    """Write a moment as finely as the drawing's span needs."""
    whole = when(at)
    if len(whole) < len("2026-11-20 12:50:00 UTC"):
        return whole
    if span < _SECONDS_MS:
        return f"{whole[11:19]}.{at % 1_000:03d}"
    if span < _DAY_MS:
        return whole[11:19]
    return whole[5:16] if span < _YEAR_MS else whole[:10]


def _lane(lane: str, top: int, gutter: int) -> Html:
    room = int((gutter - 10) / _LETTER)
    shown = lane if len(lane) <= room else f"{lane[: room - 1]}…"
    baseline = str(top + _LANE)
    return join(
        [
            h("line", x1="0", x2=str(_WIDTH), y1=baseline, y2=baseline, class_="snb-lane"),
            h("text", shown, h("title", lane), x=str(gutter - 8), y=str(top + 17), text_anchor="end"),
        ]
    )


def _bar(bar: Bar, scale: _Scale, top: int) -> Html:
    x, width = scale(bar.start), max(scale(bar.end) - scale(bar.start), 2.5)
    waiting = bar.state.startswith("waiting")
    box = h(
        "rect",
        h("title", f"{bar.lane} · {bar.tip}"),
        x=f"{x:.1f}",
        y=str(top + (9 if waiting else 5)),
        width=f"{width:.1f}",
        height=str(8 if waiting else 16),
        rx="2",
        class_=f"snb-bar snb-{look(bar.state).tone}{' snb-thin' if waiting or bar.state in {'collateral', 'reset'} else ''}",
    )
    room = width - (0 if bar.tries > 1 else _MARK_ROOM)
    if bar.label and room > _LABEL_ROOM * len(bar.label):
        return join([box, h("text", bar.label, x=f"{x + 4:.1f}", y=str(top + 17), class_="snb-on-bar")])
    if bar.label and bar.tries == 1:
        return join([box, h("text", bar.label, x=f"{x - 4:.1f}", y=str(top + 17), text_anchor="end", class_="snb-svg-muted")])
    return box


def _mark(mark: Mark, scale: _Scale, top: int) -> Html:
    seen = look(mark.kind)
    return h(
        "text",
        seen.icon,
        h("title", f"{mark.lane} · {mark.tip}"),
        x=f"{scale(mark.at):.1f}",
        y=str(top + 18),
        text_anchor="middle",
        class_=f"snb-mark snb-{seen.tone}",
    )


def _legend(drawn: Timeline, top: int) -> tuple[Html, int]:
    """Name every state and mark that occurs, in as many lines as it takes."""
    kinds = dict.fromkeys([*(bar.state for bar in drawn.bars), *(mark.kind for mark in drawn.marks)])
    x, line, pieces = 4.0, 0, []
    for kind in kinds:
        seen = look(kind)
        length = (len(seen.word) + 3) * _LETTER + 22
        if x + length > _WIDTH:
            x, line = 4.0, line + 1
        y = top + 18 * line
        thin = " snb-thin" if kind.startswith("waiting") or kind in {"collateral", "reset"} else ""
        pieces += [
            h("rect", x=f"{x:.1f}", y=str(y + 1), width="12", height="10", rx="2", class_=f"snb-bar snb-{seen.tone}{thin}"),
            h("text", f"{seen.icon} {seen.word}", x=f"{x + 18:.1f}", y=str(y + 10), class_="snb-svg-muted"),
        ]
        x += length
    return join(pieces), 18 * (line + 1) + 6
