"""Hot mode: what has not run yet is what the file says, what has run stays, and what cannot be taken over is told."""

from __future__ import annotations

import json

import pytest

from smithers_nb.engine import control
from smithers_nb.engine.journal.schema import events
from smithers_nb.engine.location import Location
from smithers_nb.engine.notebook.source_hash import source_of
from tests.support.durable import Project, effect

_HEAD = """
import nbformat, time
time.sleep(0.01)  # so that the file's time differs
def saved(change):
    node = nbformat.read("job.ipynb", 4)
    change(node.cells)
    nbformat.write(node, "job.ipynb")
def cell(word, id):
    return nbformat.v4.new_code_cell(f"open('effects', 'a').write('{word} ')", id=id)
"""


@pytest.fixture
def project(tmp_path):
    """An empty project."""
    return Project(Location.of(tmp_path))


def reloads(project, run_id):
    """Read the events of hot mode, type and payload."""
    rows = sorted(project.rows(events, run_id), key=lambda row: row.seq)
    return [(row.type.removeprefix("WorkflowReload") or "ed", json.loads(row.payload_json)) for row in rows if "WorkflowReload" in row.type]


def run(project, change, *cells, **options):
    """Execute a hot run whose first cell edits its own notebook, as somebody beside it would."""
    run_id = project.submit(f"{_HEAD}\n{change}", *cells, hot=True, **options)
    return run_id, project.execute(run_id)


def test_edits_of_what_is_to_come_apply(project):
    """Edited, added, moved and removed cells are executed as the file has them, and the run becomes one of that source."""
    change = """
def change(cells):  # parameters, this, step-2, step-3, step-4
    cells[2].source = "open('effects', 'a').write('edited ')"
    gone = cells.pop(3)
    cells.insert(2, cell('added', 'new'))
    cells[3], cells[4] = cells[4], cells[3]
saved(change)
"""
    run_id, outcome = run(project, change, effect("old"), effect("removed"), effect("last"))
    assert outcome.status == "finished"
    assert project.lines() == ["added", "last", "edited"]
    assert project.states(run_id) == dict.fromkeys(["parameters", "step-1", "new", "step-2", "step-4"], "finished")
    (_, detected), (kind, reloaded) = reloads(project, run_id)
    assert detected["changedFiles"] == ["job.ipynb"]
    assert (kind, reloaded["generation"], reloaded["later"]) == ("ed", 1, [])
    assert set(reloaded["cells"]) == {"new", "step-2", "step-3"}
    assert project.run(run_id).workflow_hash == source_of(project.root / "job.ipynb", project.root).hash
    executed = json.loads(outcome.notebook.read_text())
    assert [cell["id"] for cell in executed["cells"]][-3:] == ["new", "step-4", "step-2"]


def test_what_has_run_stays(project):
    """An edit of a cell that has run applies the next time, and the event says so; nothing runs twice."""
    change = "saved(lambda cells: cells[0].update(source='name = \"edited\"') or cells.insert(0, cell('above', 'above')))"
    run_id, outcome = run(project, change, "open('effects', 'a').write(name + ' ')")
    assert outcome.status == "finished"
    assert project.lines() == ["nobody"]
    assert reloads(project, run_id)[1][1]["later"] == ["above", "parameters"]


def test_a_file_that_is_half_written_is_not_taken_over(project):
    """The old source goes on, and the log says why; once the file is whole again, it applies."""
    first = "open('job.ipynb.whole', 'w').write(open('job.ipynb').read()); open('job.ipynb', 'a').write('{half')"
    second = "import os; os.replace('job.ipynb.whole', 'job.ipynb'); saved(lambda cells: cells[3].update(source=cell('new', 'x').source))"
    run_id, outcome = run(project, first, second, effect("old"))
    assert outcome.status == "finished"
    assert project.lines() == ["new"]
    kinds = [kind for kind, _ in reloads(project, run_id)]
    assert kinds == ["Detected", "Failed", "Detected", "ed"]
    assert reloads(project, run_id)[1][1]["error"]["code"] == "HOT_RELOAD_INVALID_MODULE"


def test_a_cell_that_is_no_python_is_not_taken_over(project):
    """A mistake in an edit does not break the run: the old cell runs, magics are no mistake."""
    change = "saved(lambda cells: cells[2].update(source='%time x = 1\\ndef broken(:'))"
    run_id, outcome = run(project, change, effect("old"))
    assert (outcome.status, project.lines()) == ("finished", ["old"])
    kind, failed = reloads(project, run_id)[1]
    assert kind == "Failed"
    assert failed["error"]["message"].startswith("cell step-2 is not valid Python")
    run_id, outcome = run(project, 'saved(lambda cells: cells[2].update(source=\'%time open("effects", "a").write("magic ")\'))', "1")
    assert (outcome.status, project.lines()) == ("finished", ["old", "magic"])


def test_modules_that_are_imported_stay(project):
    """An edit of a local module is told, with what makes it apply at once."""
    (project.root / "helper.py").write_text("word = 'old'")
    use = "import helper; open('effects', 'a').write(helper.word + ' ')"
    run_id, outcome = run(
        project, "import helper\nopen('helper.py', 'w').write('word = \"new\"')\nsaved(lambda cells: cells[3].update(source='2'))", use, "1"
    )
    assert (outcome.status, project.lines()) == ("finished", ["old"])
    assert reloads(project, run_id)[-1][0] == "Unsafe"
    assert "helper.py" in reloads(project, run_id)[-1][1]["reason"]


def test_without_hot_mode_edits_do_nothing(project):
    """A normal run executes what it began with."""
    run_id = project.submit(f"{_HEAD}\nsaved(lambda cells: cells[2].update(source='1/0'))", effect("old"))
    assert project.execute(run_id).status == "finished"
    assert (project.lines(), reloads(project, run_id)) == (["old"], [])


def test_a_hot_run_goes_on_after_a_gate_with_its_edits(project):
    """Edits made while it ran or waited do not stand in the way of the decision, and finished stages stay."""
    stage = "from smithers_nb import stage, gate\nstage('act', lambda: open('effects', 'a').write('once ') and 1)"
    run_id = project.submit(stage, "gate('ok', 'Sure?')", effect("old"), hot=True)
    assert project.execute(run_id).status == "waiting-approval"
    project.notebook(stage + "\n# edited", "gate('ok', 'Sure?')", effect("new"))
    control.decide(project.location, run_id, approved=True, by="ann")
    assert project.execute(run_id).status == "finished"
    assert project.lines() == ["once", "new"]
    assert reloads(project, run_id)[-1][1]["cells"] == ["step-1", "step-3"]
    assert project.run(run_id).workflow_hash == source_of(project.root / "job.ipynb", project.root).hash


def test_a_changed_schema_fails_the_run(project):
    """A finished stage whose schema was edited in a hot run is refused, and the run says so."""
    code = """
from smithers_nb import stage, gate
from pydantic import BaseModel
class Row(BaseModel):
    n: int{more}
stage('act', lambda: Row(n=1), schema=Row)
"""
    run_id = project.submit(code.format(more=""), "gate('ok', 'Sure?')", hot=True)
    assert project.execute(run_id).status == "waiting-approval"
    project.notebook(code.format(more="\n    m: int = 0"), "gate('ok', 'Sure?')")
    assert project.execute(run_id).status == "failed"
    assert project.error(run_id)["code"] == "SCHEMA_CHANGE_HOT"
