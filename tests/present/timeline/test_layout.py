"""The timeline draws every attempt, live and still, and says when it leaves something out."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.model.rows import AttemptRow, NodeRow
from smithers_nb.present.timeline.layout import timeline
from smithers_nb.present.timeline.model import MAX_LANES
from smithers_nb.present.timeline.plotly_figure import PLOTLY_MIMETYPE, Chart, timeline_figure
from smithers_nb.present.timeline.svg import _clock, timeline_svg


@pytest.fixture
def drawn(sample: SimpleNamespace):
    return timeline(sample.ATTEMPTS, sample.EVENTS, sample.APPROVALS, sample.QUESTIONS, now=sample.T0 + 400_000, collateral=("review",))


def test_every_attempt_is_its_own_bar(drawn) -> None:
    """Retries are bars with idle time between them; only second and later tries carry a number."""
    bars = [bar for bar in drawn.bars if bar.lane == "implement"]
    assert [bar.label for bar in bars] == ["", "2", "3"]
    assert all(first.end < second.start for first, second in pairwise(bars))


def test_waits_last_until_somebody_decides(sample: SimpleNamespace, drawn) -> None:
    """A decided gate waits until its decision, an open one until the run's end, and until now while the run goes on."""
    waits = {bar.lane: bar for bar in drawn.bars if bar.state.startswith("waiting")}
    assert waits["go"].end == sample.T0 + 118_000
    assert waits["publish"].end == sample.T0 + 360_500
    assert waits["ask"].state == "waiting-answer"
    going_on = timeline((), [row for row in sample.EVENTS if row.type != "RunFailed"], sample.APPROVALS, now=sample.T0 + 400_000)
    assert {bar.lane: bar.end for bar in going_on.bars}["publish"] == sample.T0 + 400_000


def test_a_run_that_is_over_is_drawn_to_its_end(sample: SimpleNamespace) -> None:
    """A run of a second stays readable a day later: the drawing ends with what was recorded last."""
    over = timeline([sample.attempt("a", 1, "failed", 0, 1, "boom")], now=sample.T0 + 86_400_000)
    assert over.end == sample.T0 + 1_000


def test_marks_tell_what_else_happened(drawn) -> None:
    """Gates, decisions, questions, failures, collateral and restarts are marked; the first start and heartbeats are not."""
    kinds = {mark.kind for mark in drawn.marks}
    assert kinds == {"restart", "failed", "gate", "approved", "question", "answered", "collateral"}
    assert sum(mark.kind == "restart" for mark in drawn.marks) == 1


def test_lanes_of_cells_show_their_labels(sample: SimpleNamespace) -> None:
    """A cell's id is only a number, so its lane also has its first line; a named node's lane stays as it is."""
    nodes = [NodeRow("r", name, 0, name, "finished", "In [1]: x = 1", 1, None, None) for name in ("cell:0", "load")]
    drawn = timeline([sample.attempt(row.node_id, 1, "finished", 0, 1) for row in nodes], nodes=nodes)
    assert drawn.lanes == ("cell:0 In [1]: x = 1", "load")


def test_iterations_stay_together(sample: SimpleNamespace) -> None:
    """Lanes are in the order in which nodes began, iterations of one node beside each other."""
    rows = [
        sample.attempt("loop", 1, "finished", 0, 1, iteration=0),
        sample.attempt("b", 1, "finished", 2, 3),
        sample.attempt("loop", 1, "finished", 4, 5, iteration=1),
    ]
    assert timeline(rows).lanes == ("loop", "loop #1", "b")


def test_a_long_loop_is_one_lane(sample: SimpleNamespace) -> None:
    """Many iterations of a node share a lane that says how many, and each bar says which one it is."""
    rows = [sample.attempt(f"crawl@@page={i}", 1, "finished", i, i + 0.5) for i in range(200)] + [
        sample.attempt("end", 1, "failed", 300, 301, "x")
    ]
    drawn = timeline(rows)
    assert drawn.lanes == ("crawl (200 iterations)", "end")
    assert drawn.bars[7].tip.startswith("crawl@@page=7 #0, try 1")
    assert drawn.notes == ()


def test_an_attempt_without_end_ends_with_the_next(sample: SimpleNamespace) -> None:
    """An attempt that never ended is drawn until its successor, a running one until now."""
    rows = [sample.attempt("a", 1, "cancelled", 0, None), sample.attempt("a", 2, "in-progress", 10, None)]
    first, second = timeline(rows, now=sample.T0 + 60_000).bars
    assert (first.end, second.end) == (sample.T0 + 10_000, sample.T0 + 60_000)


def test_a_storm_of_retries_is_thinned_and_says_so(sample: SimpleNamespace) -> None:
    """2,000 attempts become a few bars that hold them all, and the note names both numbers."""
    drawn = timeline([sample.attempt("again", i + 1, "failed", i * 30, i * 30 + 25, "boom") for i in range(2_000)])
    assert 20 < len(drawn.bars) <= 60
    assert sum(bar.tries for bar in drawn.bars) == 2_000
    assert len(drawn.marks) < 20
    assert {bar.label[0] for bar in drawn.bars} == {"\u00d7"}
    assert re.search(r"2,000 attempts are drawn as \d+ bars", drawn.notes[0])


def test_many_nodes_keep_those_that_failed(sample: SimpleNamespace) -> None:
    """With too many nodes the failed ones are drawn, and the note counts the others."""
    rows = [sample.attempt(f"n{i}", 1, "finished", i, i + 1) for i in range(100)] + [sample.attempt("bad", 1, "failed", 200, 201, "x")]
    drawn = timeline(rows)
    assert len(drawn.lanes) == MAX_LANES
    assert "bad" in drawn.lanes
    assert "61 of 101 nodes are not drawn, 0 of which failed" in drawn.notes[0]
    assert {bar.lane for bar in drawn.bars} == set(drawn.lanes) >= {mark.lane for mark in drawn.marks}


def test_plotly_accepts_the_figure(sample: SimpleNamespace) -> None:
    """The JSON is valid plotly, and needs only traces that the basic bundle has."""
    chart = timeline_figure(sample.ATTEMPTS, sample.EVENTS, sample.APPROVALS, sample.QUESTIONS)
    assert isinstance(chart, Chart)
    figure = chart.figure()
    assert {trace.type for trace in figure.data} == {"bar", "scatter"}
    assert set(chart._repr_mimebundle_()) == {PLOTLY_MIMETYPE, "text/html", "text/plain"}
    json.dumps(chart.spec, allow_nan=False)


def test_plotly_reads_no_markup_of_a_run(sample: SimpleNamespace) -> None:
    """Names of nodes and messages are escaped for plotly's little HTML."""
    chart = timeline_figure([sample.attempt("<b>x</b>", 1, "failed", 0, 1, "<a href='http://x'>y</a>")])
    assert isinstance(chart, Chart)
    assert "<" not in json.dumps(chart.spec)


def test_the_still_twin_says_the_same(drawn) -> None:
    """The drawing has a title, a description, a bar per attempt and wait, a legend with words, and no style or script."""
    svg = timeline_svg(drawn, "When")
    root = ET.fromstring(svg)
    assert root.get("role") == "img"
    assert [child.text for child in root[:2]] == ["When", drawn.summary]
    assert len([box for box in root.iter("rect") if box.find("title") is not None]) == len(drawn.bars)
    assert "style=" not in svg
    assert "waiting approval" in svg


def test_twin_has_the_table_under_it(sample: SimpleNamespace) -> None:
    """Whoever sees neither drawing has the attempts as a table and the summary as a sentence."""
    chart = timeline_figure(sample.ATTEMPTS)
    assert isinstance(chart, Chart)
    assert "<table" in chart.twin.html
    assert "6 attempts of 4 nodes, 4 failed" in repr(chart)


def test_nothing_recorded_is_said() -> None:
    """Without attempts there is an empty card, not an empty figure."""
    assert "attempts" in repr(timeline_figure([]))


TIMES = st.none() | st.integers(-(2**62), 2**62)


@given(st.lists(st.tuples(st.text(max_size=5), st.integers(-1, 3), TIMES, TIMES, st.text(max_size=9)), max_size=6), TIMES)
def test_any_recorded_time_can_be_drawn(
    sample: SimpleNamespace, rows: list[tuple[str, int, int | None, int | None, str]], now: int | None
) -> None:
    """Absurd, missing and reversed times give a drawing, quickly and with few ticks."""
    attempts = [
        sample.attempt(node, 1, state, 0, None, iteration=iteration)._replace(started_at=start, finished_at=end)
        for node, iteration, start, end, state in rows
    ]
    svg = ET.fromstring(timeline_svg(timeline(attempts, now=now), "x"))
    assert len([line for line in svg.iter("line") if line.get("class") == "snb-tick"]) <= 9
    width, height = map(float, svg.get("viewBox").split()[2:])
    for box in svg.iter("rect"):
        assert 0 <= float(box.get("x")) <= float(box.get("x")) + float(box.get("width")) <= width
        assert 0 <= float(box.get("y")) <= float(box.get("y")) + float(box.get("height")) <= height


@pytest.mark.parametrize(
    ("span", "written"),
    [(4_999, "12:50:00.025"), (5_000, "12:50:00"), (86_400_000, "11-20 12:50"), (31_536_000_000, "2026-11-20")],
)
def test_times_are_as_fine_as_the_drawing(span: int, written: str) -> None:
    """The axis shows milliseconds of a second, seconds of a day, days of a year."""
    assert _clock(1_795_179_000_025, span) == written


def test_long_names_are_cut_beside_their_lane(sample: SimpleNamespace) -> None:
    """A name that does not fit beside the drawing is cut, and whole for whoever points at it; a short one is shown whole."""
    svg = ET.fromstring(timeline_svg(timeline([sample.attempt(name, 1, "finished", 0, 1) for name in ("n" * 70, "short")]), "x"))
    long, short = [text for text in svg.iter("text") if text.get("text-anchor") == "end"]
    assert re.fullmatch("n{10,60}\u2026", long.text)
    assert long.find("title").text == "n" * 70
    assert short.text == "short"


def test_what_failed_with_another_is_drawn_thin(drawn) -> None:
    """Collateral and waits are told from failures by more than their colour."""
    classes = {
        box.find("title").text.partition(" ")[0]: box.get("class").split()
        for box in ET.fromstring(timeline_svg(drawn, "x")).iter("rect")
        if len(box)
    }
    assert "snb-thin" in classes["review"]
    assert "snb-thin" in classes["publish"]
    assert "snb-thin" not in classes["implement"]


@pytest.mark.parametrize("name", ["retry-task", "parallel-cause", "prod-rollout"])
def test_real_runs_can_be_drawn(store: Callable[[str], Path], name: str) -> None:
    """Runs that Smithers wrote are drawn with all their attempts."""
    from smithers_nb.sources.locate import open_source

    source = open_source(store(name))
    rows = source.rows(AttemptRow)
    drawn = timeline(rows)
    assert sum(bar.tries for bar in drawn.bars) == sum(row.started_at is not None for row in rows)
    source.close()


def test_drawing_needs_no_heavy_import() -> None:
    """Neither pandas nor plotly is imported to draw from rows."""
    drawn = "import sys, smithers_nb.present.timeline.plotly_figure as f; f.timeline_figure([])"
    code = f"{drawn}; print({{'pandas', 'plotly', 'nbconvert'}} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "set()"
