"""What a retry-task resets is known before it is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smithers_nb.diagnosis.reset import reset_preview

Make = Callable[..., Any]


def test_only_later_nodes_go_with_the_target(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """A node that started before the target keeps its output; one that started after loses it."""
    rows = [node("first", state="finished"), node("target"), node("after", state="finished")]
    tries = [attempt(name, started_at=at, state="finished") for name, at in (("first", 1), ("target", 2), ("after", 3))]
    preview = reset_preview(snapshot(run(), *rows, *tries), "target")
    assert [(n.node_id, n.why) for n in preview.nodes] == [("target", "target"), ("after", "started after the target")]
    assert [n.node_id for n in preview.loses_output] == ["after"]


def test_later_iterations_go_too(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """Whatever ran in a later round of a loop is reset, also when it started earlier."""
    rows = [node("t"), node("loop", iteration=1, state="finished"), attempt("t", started_at=5), attempt("loop", iteration=1, started_at=1)]
    assert [n.why for n in reset_preview(snapshot(run(), *rows), "t").nodes] == ["target", "later iteration"]


def test_lone_target_says_so(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """When nothing else is touched, the summary says that in words."""
    preview = reset_preview(snapshot(run(), node("t"), attempt("t")), "t")
    assert "only t" in preview.summary


def test_summary_counts_what_runs_again(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """The number of finished nodes that run, and cost, again is part of the line."""
    rows = [node("t"), node("x", state="finished"), attempt("t", started_at=1), attempt("x", started_at=2, state="finished")]
    assert "1 finished" in reset_preview(snapshot(run(), *rows), "t").summary
