"""What a retry-task resets is known before it is run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from smithers_nb.diagnosis.engines.reset_preview import repeated_effects, reset_preview
from smithers_nb.sources.smithers.source import SmithersSource
from smithers_nb.sources.snapshot import Snapshot

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


def child_of(run: Make, **values: Any) -> Any:
    """Make a child run of node `sub`."""
    return run(**{"run_id": "r:child:sub:0", "parent_run_id": "r", **values})


def reset(snapshot: Any, node_id: str = "sub") -> list[tuple[str, str]]:
    """List what goes with a target as (run, node)."""
    return [(n.run_id, n.node_id) for n in reset_preview(snapshot, node_id).nodes]


def test_a_failed_child_keeps_what_finished_before(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """Of a failed child go the failed node and what started after it, of a finished one everything goes."""
    inside = [
        row
        for name, at, state in (("a", 1, "finished"), ("b", 2, "failed"), ("c", 3, "finished"))
        for row in (
            node(name, run_id="r:child:sub:0", state=state),
            attempt(name, run_id="r:child:sub:0", started_at=at, state=state),
        )
    ]
    rows = [run(), node("sub"), attempt("sub"), *inside]
    assert reset(snapshot(*rows, child_of(run))) == [("r", "sub"), ("r:child:sub:0", "b"), ("r:child:sub:0", "c")]
    assert len(reset(snapshot(*rows, child_of(run, status="finished")))) == 4
    assert reset(snapshot(*rows, child_of(run, status="running"))) == [("r", "sub")]


def test_a_parked_child_is_reset_where_it_is_parked(snapshot: Make, run: Make, node: Make, attempt: Make) -> None:
    """A gate or a timer is asked again; a child that waits without one begins its pending nodes again."""
    rows = [run(), node("sub"), attempt("sub"), child_of(run, status="waiting-approval")]
    gate = node("gate", run_id="r:child:sub:0", state="waiting-approval")
    left = node("left", run_id="r:child:sub:0", state="pending")
    assert reset(snapshot(*rows, gate, left)) == [("r", "sub"), ("r:child:sub:0", "gate")]
    assert reset(snapshot(*rows, left)) == [("r", "sub"), ("r:child:sub:0", "left")]


def test_grandchildren_go_with_their_parents(store: Make) -> None:
    """Three runs deep, as Smithers itself reset them."""
    seen = Snapshot(SmithersSource(store("grandchild")), "42e247d1-4566-4e89-8975-01820d936847")
    run_id = seen.run.run_id
    vat = f"{run_id}:child:run-pricing:0"
    assert [(n.run_id, n.node_id) for n in reset_preview(seen, "load-order").nodes] == [
        (run_id, "load-order"),
        (run_id, "run-pricing"),
        (vat, "run-vat"),
        (f"{vat}:child:run-vat:0", "lookup-rate"),
    ]


def test_journalled_effects_would_be_repeated(store: Make) -> None:
    """A task with a side effect that was begun is named, in a store that Smithers wrote."""
    seen = Snapshot(SmithersSource(store("unsafe-repeat")), "b2facd58")
    assert repeated_effects(seen, reset_preview(seen, "send-letters")) == ("send-letters",)
    harmless = Snapshot(SmithersSource(store("retry-task")), "871637af")
    assert repeated_effects(harmless, reset_preview(harmless, "load-audio")) == ()
