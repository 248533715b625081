"""Running or saving a notebook is no edit; changing what it does is, and it is said where."""

from __future__ import annotations

import nbformat
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb import __version__
from smithers_nb.engine.journal.schema import events
from smithers_nb.engine.location import Location
from smithers_nb.engine.notebook.source_hash import ENTRY, MODULES, UNAVAILABLE, _imports, changed_parts, mismatches, source_of
from tests.support.durable import Project, effect


@pytest.fixture
def notebook(tmp_path):
    """A notebook of two cells, and a function that writes an edited one."""

    def write(*cells, **changes):
        node = nbformat.v4.new_notebook()
        node.cells = [nbformat.v4.new_code_cell(cell, id=f"cell-{number}") for number, cell in enumerate(cells)]
        for change in changes.values():
            change(node)
        nbformat.write(node, tmp_path / "job.ipynb")
        return tmp_path / "job.ipynb"

    return write


def _outputs(node):
    node.cells[0].outputs = [nbformat.v4.new_output("stream", text="much")]
    node.cells[0].execution_count = 7


def _metadata(node):
    node.metadata["kernelspec"] = {"name": "other", "display_name": "Other"}
    node.cells[1].metadata["collapsed"] = True


def _markdown(node):
    node.cells.insert(0, nbformat.v4.new_markdown_cell("# Title"))


def _empty_cell(node):
    node.cells.append(nbformat.v4.new_code_cell("\n"))


def _ids(node):
    node.cells[0].id = "another"


def _line_ends(node):
    node.cells[0].source = "a = 1\r\nb = 2\n"


@pytest.mark.parametrize("change", [_outputs, _metadata, _markdown, _empty_cell, _ids, _line_ends])
def test_what_is_no_edit(notebook, change):
    """Outputs, counts, metadata, markdown, empty cells, ids and line ends leave the hash as it is."""
    before = source_of(notebook("a = 1\nb = 2", "b")).hash
    assert source_of(notebook("a = 1\nb = 2", "b", change=change)).hash == before
    assert mismatches(before, source_of(notebook("a = 1\nb = 2", "b", change=change))) == ()


@pytest.mark.parametrize("cells", [("a = 1", "b = 3"), ("b = 2", "a = 1"), ("a = 1",), ("a = 1", "b = 2", "c = 3"), ("a = 1b", " = 2")])
def test_what_is_an_edit(notebook, cells):
    """Changed, moved, removed, added and differently divided code is another source."""
    before = source_of(notebook("a = 1", "b = 2"))
    after = source_of(notebook(*cells))
    assert mismatches(before.hash, after) == (ENTRY,)
    assert changed_parts(before.cells, after.cells) or cells[0] == "b = 2"


@given(st.lists(st.text(min_size=1), max_size=4))
def test_any_text_has_a_hash(cells):
    """Reading what is no Python never fails, and gives only names that could be modules."""
    for cell in cells:
        assert all(one.module is not None for one in _imports(cell))


def test_local_modules_count(notebook, tmp_path):
    """Modules beside the notebook, packages, relative and nested imports count; installed ones and their data do not."""
    package = tmp_path / "steps"
    (package / "deep").mkdir(parents=True)
    files = {
        "helper.py": "import json\nfrom steps import load",
        "steps/__init__.py": "",
        "steps/load.py": "from .deep import inner\nfrom . import sibling",
        "steps/sibling.py": "",
        "steps/deep/__init__.py": "",
        "steps/deep/inner.py": "from ..other import x",
        "steps/other.py": "x = 1",
        "unused.py": "",
    }
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    path = notebook("%matplotlib inline\n!ls\nimport pandas, json\nimport helper as h", "def f():\n    from smithers_nb import stage\n")
    found = source_of(path)
    assert set(found.modules) == set(files) - {"unused.py"} | {"smithers_nb"}
    assert found.modules["smithers_nb"] == __version__
    (tmp_path / "steps" / "other.py").write_text("x = 2")
    edited = source_of(path)
    assert mismatches(found.hash, edited) == (MODULES,)
    assert changed_parts(found.modules, edited.modules) == ["steps/other.py"]


def test_modules_of_the_folder_it_runs_in_count(notebook, tmp_path):
    """A notebook elsewhere imports from the folder that its run begins in."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "helper.py").write_text("a = 1")
    path = notebook("import helper")
    assert list(source_of(path, folder).modules) == ["helper.py"]
    assert source_of(path).modules == {}


def test_a_cell_that_is_no_python_still_names_its_modules(notebook, tmp_path):
    """What looks like an import counts where the syntax is not Python's; a module with an error counts by its content."""
    (tmp_path / "helper.py").write_text("def broken(:")
    assert list(source_of(notebook("import helper\n%%odd magic\nfor x in")).modules) == ["helper.py"]


def test_modules_that_import_each_other_end(notebook, tmp_path):
    """A circle of imports is followed once."""
    (tmp_path / "a.py").write_text("import b")
    (tmp_path / "b.py").write_text("import a")
    assert sorted(source_of(notebook("import a")).modules) == ["a.py", "b.py"]


def test_imports_do_not_leave_the_folder(notebook, tmp_path):
    """Dots that lead out of the project find nothing."""
    inner = tmp_path / "job"
    inner.mkdir()
    (tmp_path / "secret.py").write_text("")
    (inner / "helper.py").write_text("from ..secret import x\nfrom .....secret import y")
    notebook("import helper").rename(inner / "job.ipynb")
    assert list(source_of(inner / "job.ipynb").modules) == ["helper.py"]


@pytest.mark.parametrize("content", [None, "", "{}", "no json"])
def test_a_notebook_that_is_gone_or_damaged(tmp_path, content):
    """What cannot be read is told so, and never taken for the same."""
    path = tmp_path / "job.ipynb"
    if content is not None:
        path.write_text(content)
    assert mismatches("a.b", source_of(path)) == (UNAVAILABLE,)


@pytest.mark.slow
def test_an_edited_notebook_pauses_its_run_while_it_waits(tmp_path):
    """Decided after an edit, a run does not go on with other code; accepted by name, it does, and the log says what was accepted."""
    from smithers_nb.engine import control
    from smithers_nb.errors import ControlRefused

    project = Project(Location.of(tmp_path))
    ask = "from smithers_nb import gate\ngate('ok', 'Sure?')"
    run_id = project.submit(ask, effect("before"))
    assert project.execute(run_id).status == "waiting-approval"
    project.notebook(ask, effect("after"))
    control.decide(project.location, run_id, approved=True, by="ann")
    paused = project.execute(run_id)
    assert (paused.status, paused.reason.code) == ("paused", "RESUME_METADATA_MISMATCH")
    assert project.lines() == []
    with pytest.raises(ControlRefused, match=f"{ENTRY} .*step-2") as caught:
        control.resume(project.location, run_id)
    assert caught.value.code == "RESUME_METADATA_MISMATCH"
    control.resume(project.location, run_id, accept_workflow_change=True, here=True)
    assert project.execute(run_id).status == "finished"
    assert project.lines() == ["after"]
    accepted = [row.payload_json for row in project.rows(events, run_id) if row.type == "RunWorkflowChangeAccepted"]
    assert len(accepted) == 1
    assert '"changed":["step-2"]' in accepted[0]
