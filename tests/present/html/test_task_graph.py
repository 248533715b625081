"""The graph of tasks as rows of boxes: order, what is left out of a large one, and names that are hostile."""

from __future__ import annotations

from smithers_nb.model.verdict import TaskStanding
from smithers_nb.present.html.task_graph import task_graph_card


def task(name, *after, state="finished", **more):
    """One task."""
    return TaskStanding(node_id=name, state=state, after=after, **more)


def test_each_task_stands_below_what_it_waits_for():
    """Also when the graph lists it first; a row that joins several says which."""
    card = task_graph_card([task("join", "a", "b"), task("a"), task("b"), task("c", "join", state="held-up")])
    assert card.text.splitlines()[1:] == ["✔ a finished", "✔ b finished", "  ✔ join finished", "    ‖ c held up"]
    assert "after a, b" in card.html
    assert "4 tasks: 3 finished, 1 held up" in card.text


def test_a_wide_row_keeps_what_went_wrong():
    """Of 60 tasks in a row the failed one is drawn, and the others are counted."""
    tasks = [task(f"t{n}", state="failed" if n == 50 else "finished", decides=n == 50) for n in range(60)]
    html = task_graph_card(tasks).html
    assert html.count("<strong>") == 7
    assert "<strong>t50</strong>" in html
    assert "53 more finished" in html


def test_a_deep_graph_keeps_the_rows_around_the_failure():
    """Of 100 rows some are drawn, the others are counted above and below."""
    tasks = [task(f"t{n}", *([f"t{n - 1}"] if n else []), decides=n == 50) for n in range(100)]
    html = task_graph_card(tasks).html
    assert "<strong>t50</strong>" in html
    assert "… 38 rows left out" in html
    assert html.count("rows left out") == 2


def test_circles_unknown_names_and_markup_are_drawn():
    """A store may say anything."""
    card = task_graph_card([task("a", "b"), task("b", "a"), task("<script>", "nowhere", state="odd")])
    assert "<script>" not in card.html
    assert "? <script> odd" in card.text
