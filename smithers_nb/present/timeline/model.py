"""What a drawing of a run consists of, and how too much of it is thinned out.

Bars and marks lie on lanes; `thinned` keeps a drawing readable when a run has hundreds of nodes or thousands of attempts, and says in
`notes` what it left out or joined.
"""

from __future__ import annotations

from collections import Counter
from itertools import groupby
from typing import Final, NamedTuple

from smithers_nb.model.counts import plural
from smithers_nb.model.timestamps import duration, when

MAX_LANES: Final = 40
MAX_BARS: Final = 400
MAX_PER_LANE: Final = 24
RUN_LANE: Final = "run"
_SAID_BY_BARS: Final = frozenset({"failed", "collateral", "reset"})


class Bar(NamedTuple):
    """A stretch of time on a lane; `tries` attempts drawn as one when there are too many."""

    lane: str
    start: int
    end: int
    state: str
    label: str
    tip: str
    tries: int = 1


class Mark(NamedTuple):
    """Something that happened at one moment; `kind` is a state that `states.look` knows."""

    lane: str
    at: int
    kind: str
    tip: str


class Timeline(NamedTuple):
    """A drawing's content. Times are epoch milliseconds; lanes are from top to bottom."""

    lanes: tuple[str, ...]
    bars: tuple[Bar, ...]
    marks: tuple[Mark, ...]
    start: int
    end: int
    notes: tuple[str, ...]

    @property
    def summary(self) -> str:
        """One sentence for whoever does not see the drawing."""
        attempts = sum(bar.tries for bar in self.bars if not bar.state.startswith("waiting"))
        failed = sum(bar.tries for bar in self.bars if bar.state in {"failed", "collateral"})
        span = f", from {when(self.start)} over {duration((self.end - self.start) / 1000)}" if self.bars else ""
        nodes = len({bar.lane for bar in self.bars})
        return f"{plural(attempts, 'attempt')} of {plural(nodes, 'node')}, {failed} failed{span}."


def thinned(lanes: list[str], bars: list[Bar], marks: list[Mark], end: int) -> Timeline:
    """Make a timeline of everything, or of what is most telling when it is too much to be seen."""
    notes: list[str] = []
    start = min([*(bar.start for bar in bars), *(mark.at for mark in marks)], default=end)
    if len(lanes) > MAX_LANES:
        failed = {bar.lane for bar in bars if bar.state == "failed"}
        kept = set(sorted(lanes, key=lambda lane: (lane != RUN_LANE, lane not in failed, lanes.index(lane)))[:MAX_LANES])
        notes.append(f"{len(lanes) - MAX_LANES} of {len(lanes)} nodes are not drawn, {len(failed - kept)} of which failed.")
        lanes = [lane for lane in lanes if lane in kept]
        bars, marks = [bar for bar in bars if bar.lane in kept], [mark for mark in marks if mark.lane in kept]
    if len(bars) > MAX_BARS:
        total = len(bars)
        bars = _merged(bars, max(min(MAX_BARS // max(len(lanes), 1), MAX_PER_LANE), 1), start, end)
        marks = _few([mark for mark in marks if mark.lane == RUN_LANE or mark.kind not in _SAID_BY_BARS])
        notes.append(
            f"{total:,} attempts are drawn as {len(bars)} bars: attempts of a node that follow each other in the same state are one."
        )
    return Timeline(tuple(lanes), tuple(bars), tuple(marks), start, end, tuple(notes))


def _few(marks: list[Mark]) -> list[Mark]:
    """Keep the first marks of each kind on each lane."""
    seen: Counter[tuple[str, str]] = Counter()
    kept = []
    for mark in sorted(marks, key=lambda mark: mark.at):
        seen[mark.lane, mark.kind] += 1
        kept += [mark] if seen[mark.lane, mark.kind] <= MAX_PER_LANE // 4 else []
    return kept


def _merged(bars: list[Bar], per_lane: int, start: int, end: int) -> list[Bar]:
    """Join bars of a lane that follow each other in the same state and begin in the same slice of time."""
    width = max((end - start) // per_lane, 1)
    in_order = sorted(bars, key=lambda bar: (bar.lane, bar.start))
    groups = groupby(in_order, key=lambda bar: (bar.lane, (bar.start - start) // width, bar.state))
    return sorted((_joined(list(group)) for _, group in groups), key=lambda bar: (bar.start, bar.lane))


def _joined(parts: list[Bar]) -> Bar:
    first = parts[0]
    if len(parts) == 1:
        return first._replace(label="")
    end = max(part.end for part in parts)
    tip = f"{len(parts)} attempts {first.state}, from {when(first.start)} to {when(end)}"
    return first._replace(end=end, tries=len(parts), label=f"\u00d7{len(parts)}", tip=tip)
