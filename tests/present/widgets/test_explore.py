"""Runs are found by words and state, tasks open on a click, and what a person has chosen stays while the rest goes on."""

from __future__ import annotations

from dataclasses import replace

import pytest

pytest.importorskip("ipywidgets", reason="ipywidgets is not installed (the extra `lab`)")

import smithers_nb
from smithers_nb.model.rows import RunRow
from smithers_nb.model.verdict import TaskStanding
from smithers_nb.present.html.cards import note
from smithers_nb.present.widgets.explore import FleetTable, NodeGraph, Tasks
from smithers_nb.present.widgets.watch import Watched, watch_widget
from smithers_nb.resources import example_store
from tests.present.widgets.test_widgets import HOSTILE, NOW, button, page, parts


def run(run_id, state, workflow="sync", error=None):
    """One run; what a test does not say is empty."""
    told = {"run_id": run_id, "workflow": workflow, "status": state, "state": state, "started_at": NOW, "error_message": error}
    return RunRow(**{name: told.get(name) for name in RunRow._fields})


def filters(table):
    return parts(table.box, "Text")[0], parts(table.box, "Dropdown")[0]


def shown(table):
    (html,) = parts(table.box, "HTML")
    return html.value


RUNS = [run("r3", "running"), run("r2", "failed", error=f"disk full {HOSTILE}"), run("r1", "succeeded", workflow="report")]


def test_runs_are_found_by_words_and_by_state():
    """All words have to be there, in any order and case; the state narrows further; the caption counts."""
    table = FleetTable()
    table.show(RUNS)
    find, state = filters(table)
    assert "3 runs, newest first" in shown(table)
    assert [label for label, _ in state.options] == ["any (3)", "running (1)", "failed (1)", "succeeded (1)"]
    find.value = "FULL disk"
    assert "1 of 3 runs" in shown(table)
    assert "r2" in shown(table)
    assert "<script>alert" not in shown(table)
    find.value = ""
    state.value = "succeeded"
    assert ("r1" in shown(table), "r3" in shown(table)) == (True, False)


def test_a_filter_stays_while_runs_go_on():
    """A chosen state is kept when no run is in it any more, and the words as well."""
    table = FleetTable()
    table.show(RUNS)
    find, state = filters(table)
    state.value, find.value = "running", "sync"
    table.show([RUNS[0]._replace(state="failed"), *RUNS[1:]])
    assert (state.value, find.value) == ("running", "sync")
    assert "0 of 3 runs" in shown(table)


def test_of_many_runs_the_newest_are_drawn():
    """A table of thousands says how many it leaves out."""
    table = FleetTable()
    table.show([run(f"n{number}", "succeeded") for number in range(2_000)])
    assert "2000 runs, newest first; the first 100 are shown" in shown(table).replace(",000", "000")
    assert "n99<" in shown(table)
    assert "n100<" not in shown(table)


TASKS = (
    TaskStanding(node_id="fetch", state="finished"),
    TaskStanding(node_id="load", state="failed", after=("fetch",), decides=True),
    TaskStanding(node_id="send", state="held-up", after=("load",)),
)


def test_a_task_opens_on_a_click_and_stays_open():
    """What waits stands below; a click shows the task, new states are painted on the same buttons, a second click closes it."""
    graph = NodeGraph()
    graph.show(Tasks(TASKS, lambda name: note(f"about {name}")))
    buttons = parts(graph.box, "Button")
    assert [one.description for one in buttons] == ["✔ fetch: finished", "✖ load: failed", "‖ send: held up"]
    assert buttons[1].tooltip == "load: failed, after fetch"
    buttons[1].click()
    assert "about load" in page(Live(graph))
    graph.show(Tasks((TASKS[0], replace(TASKS[1], state="finished"), TASKS[2]), lambda name: note(f"now {name}")))
    assert parts(graph.box, "Button") == buttons
    assert buttons[1].description == "✔ load: finished"
    assert "now load" in page(Live(graph))
    buttons[1].click()
    assert "now load" not in page(Live(graph))


class Live:
    """A box by itself, as `page` takes it."""

    def __init__(self, widget):
        self.box = widget.box


def test_of_a_wide_row_the_failed_tasks_are_drawn():
    """Two hundred parallel tasks are not two hundred buttons, and the one that failed is among them."""
    wide = [TaskStanding(node_id=f"t{number}", state="failed" if number == 150 else "finished") for number in range(200)]
    graph = NodeGraph()
    graph.show(Tasks(wide, note))
    buttons = parts(graph.box, "Button")
    assert buttons[0].description == "✖ t150: failed"
    assert len(buttons) < 30
    assert f"{200 - len(buttons)} more finished" in page(Live(graph))


def test_a_watched_run_has_its_graph_in_the_twin_as_well():
    """The saved notebook shows which task waits for which without a widget."""
    live = watch_widget(lambda: Watched(note("state"), (), NOW, over=True, tasks=Tasks(TASKS, note)))
    assert "Which task waits for which" in repr(live)
    assert len(parts(live.box, "Button")) == 1 + len(TASKS)


def test_projects_and_runs_show_them():
    """`project.live()` has the table with filters, `run.live()` the graph of its tasks with the attempts of each."""
    with smithers_nb.connect(example_store()) as project:
        fleet = project.live()
        parts(fleet.box, "Dropdown")[0].value = "failed"
        assert "order-sync-013" in page(fleet)
        assert "newest" in repr(fleet)
        live = project["order-sync-013"].live()
        button(live, "✖ normalize: failed").click()
        assert "Attempts (" in page(live)
        assert "normalize" in repr(live)
