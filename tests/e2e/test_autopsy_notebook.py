"""The notebooks run by hand, by papermill from the shell, and through us; whatever happens there is a page to read."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest

from smithers_nb.engine.notebook.executor import as_bytes, execute
from smithers_nb.errors import NotebookError, ParameterError, ReportError, RunNotFailed, RunNotFound, SourceNotFound
from smithers_nb.resources import EXAMPLE_RUN, example_store, resource
from smithers_nb.workflows.autopsy.notebook import run_autopsy_notebook
from smithers_nb.workflows.autopsy.parameters import AutopsyParameters
from smithers_nb.workflows.autopsy.results import VERDICT_MIMETYPE
from smithers_nb.workflows.autopsy.stages import run_autopsy

NOW = 1795181301665
NOTEBOOKS = sorted(resource("notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """Keep what is unpacked out of the user's cache folder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))


def papermill(notebook, output, **parameters):
    """Run papermill as a person does, in a shell of its own."""
    options = [part for name, value in parameters.items() for part in ("-p", name, str(value))]
    command = [str(Path(sys.executable).with_name("papermill")), str(notebook), str(output), *options]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def test_through_us(tmp_path):
    """Notebook, report and row lie in the artifacts folder, and the row is the same as without a notebook."""
    record = run_autopsy_notebook(EXAMPLE_RUN, example_store(), now=NOW, artifacts=tmp_path / "artifacts")
    assert record.notebook == tmp_path / "artifacts" / "autopsy" / f"{EXAMPLE_RUN}.ipynb"
    assert record.report == record.notebook.with_suffix(".html")
    assert record.verdict == run_autopsy(example_store(), EXAMPLE_RUN, now=NOW)
    page = record.report.read_text()
    assert "lines.filter" in page
    assert len(page) < 1_500_000
    assert not re.search(r"""<(?:script|link|img|iframe)\b[^>]*(?:src|href)=""", page)
    executed = nbformat.read(record.notebook, as_version=4)
    mimetypes = {mimetype for cell in executed.cells for output in cell.get("outputs", []) for mimetype in output.get("data", {})}
    assert {"application/vnd.plotly.v1+json", "text/html", VERDICT_MIMETYPE} <= mimetypes
    assert not any(output.output_type in {"error", "stream"} for cell in executed.cells for output in cell.get("outputs", []))


@pytest.mark.slow
def test_by_papermill_from_the_shell(tmp_path):
    """`papermill autopsy.ipynb out.ipynb -p target_run_id … -p source …` gives the same verdict with the plain kernel."""
    done = papermill(
        resource("notebooks/autopsy.ipynb"), tmp_path / "out.ipynb", target_run_id=EXAMPLE_RUN, source=example_store(), now=NOW
    )
    assert done.returncode == 0, done.stderr
    cells = nbformat.read(tmp_path / "out.ipynb", as_version=4).cells
    row = next(output.data[VERDICT_MIMETYPE] for output in cells[-1].outputs if VERDICT_MIMETYPE in output.get("data", {}))
    assert row == run_autopsy(example_store(), EXAMPLE_RUN, now=NOW).as_json()


@pytest.mark.slow
def test_a_wrong_parameter_in_the_shell_is_one_clear_line(tmp_path):
    """A person who forgets the run or mistypes a value reads what is wrong at the end of papermill's output."""
    done = papermill(resource("notebooks/autopsy.ipynb"), tmp_path / "out.ipynb", source=example_store())
    assert done.returncode != 0
    assert "ParameterError: target_run_id: name the run to look at" in done.stderr
    assert "order-sync-013" in done.stderr  # one of the failed runs to choose from


@pytest.mark.slow
def test_the_tour(tmp_path):
    """The first look runs from its first to its last cell; its durable run parks twice and ends well."""
    done = execute(resource("notebooks/tour.ipynb"), tmp_path / "tour.ipynb")
    assert done.shown("application/vnd.plotly.v1+json") is not None
    cells = {cell.id: cell for cell in done.node.cells}
    assert "lines.filter" in cells["autopsy"].outputs[0].data["text/plain"]
    assert "approve" in cells["waits"].outputs[0].data["text/plain"]
    assert "60 runs" in cells["fleet"].outputs[0].data["text/plain"]
    assert {"APPROVE", "FAILED"} <= set(re.findall(r"[A-Z]{5,}", cells["needs"].outputs[0].data["text/plain"]))
    said = {
        name: "".join(output.get("text") or output.data["text/plain"] for output in cells[name].outputs) for name in ("durable", "answer")
    }
    assert "waiting-event" in said["durable"]
    assert re.search(r"waiting-approval.*finished", said["answer"], re.DOTALL)
    assert not [cell.id for cell in done.node.cells if cell.cell_type == "code" and re.search(r"^\s*[!%]", cell.source, re.MULTILINE)]
    assert "numbers checked" in cells["journal"].outputs[0].data["text/plain"]


def test_a_store_that_vanishes_between_stages(tmp_path):
    """When a stage fails, the error names notebook and report, and both tell what had been found until then."""
    store = tmp_path / "smithers.db"
    store.write_bytes(example_store().read_bytes())

    def spoil(_done, _cells, heading):
        if heading.startswith("What failed") and store.exists():
            store.unlink()

    with pytest.raises(NotebookError, match=r"stopped at “What failed, and why”: SourceVanished: .* is gone") as caught:
        run_autopsy_notebook(EXAMPLE_RUN, store, now=NOW, artifacts=tmp_path, progress=spoil)
    assert caught.value.exit_code == 1
    page = caught.value.report.read_text()
    assert "Task failed: normalize" in page
    assert "SourceVanished" in page
    assert "The autopsy itself stopped before its end" in page
    assert str(caught.value.report) in caught.value.hint
    assert caught.value.notebook.exists()


def test_a_stage_that_takes_too_long(tmp_path):
    """A notebook that is not done in time still leaves a report that says so."""
    with pytest.raises(NotebookError, match="Timeout") as caught:
        run_autopsy_notebook(EXAMPLE_RUN, example_store(), now=NOW, artifacts=tmp_path, cell_timeout_s=0.05)
    assert "Timeout" in caught.value.report.read_text()


@pytest.mark.parametrize(
    ("run", "options", "error"),
    [
        ("order-sync-001", {}, RunNotFailed),
        ("nothing", {}, RunNotFound),
        (EXAMPLE_RUN, {"source": "/nowhere"}, SourceNotFound),
        (EXAMPLE_RUN, {"provider": "oracle"}, ParameterError),
        (EXAMPLE_RUN, {"now": "soon"}, ParameterError),
    ],
)
def test_what_the_user_got_wrong_starts_no_kernel(tmp_path, run, options, error):
    """A wrong run, place or parameter is refused at once, and nothing is written."""
    with pytest.raises(error):
        run_autopsy_notebook(run, **{"source": example_store(), "now": NOW, "artifacts": tmp_path / "artifacts", **options})
    assert not (tmp_path / "artifacts").exists()


def test_a_hostile_id_stays_in_the_folder(tmp_path):
    """An id full of path and shell characters is one file name in the artifacts folder, and text on the page."""
    import sqlite3

    hostile = "../../../tmp/x; $(touch owned) '\"<script>alert(1)</script>{name}"
    store = tmp_path / "in" / "smithers.db"
    store.parent.mkdir()
    store.write_bytes(example_store().read_bytes())
    connection = sqlite3.connect(store)
    for table in ("_smithers_runs", "_smithers_attempts", "_smithers_nodes", "_smithers_events", "_smithers_frames"):
        connection.execute(f"UPDATE {table} SET run_id = ? WHERE run_id = ?", (hostile, EXAMPLE_RUN))
    connection.commit()
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    artifacts = tmp_path / "artifacts"
    record = run_autopsy_notebook(hostile, store, now=NOW, artifacts=artifacts)
    assert record.verdict.target_run_id == hostile
    assert sorted(path.parent for path in artifacts.rglob("*.*")) == [artifacts / "autopsy"] * 2
    assert "<script>alert(1)" not in record.report.read_text()


def test_a_report_that_cannot_be_written_leaves_nothing_half(tmp_path, monkeypatch):
    """When the disk is full as the report is written, the notebook is there, and no part of a report."""
    import resource as limits

    import smithers_nb.workflows.autopsy.notebook as workflow

    real = workflow._write_report

    def on_a_full_disk(*arguments):
        soft, hard = limits.getrlimit(limits.RLIMIT_FSIZE)
        limits.setrlimit(limits.RLIMIT_FSIZE, (100_000, hard))
        try:
            real(*arguments)
        finally:
            limits.setrlimit(limits.RLIMIT_FSIZE, (soft, hard))

    monkeypatch.setattr(workflow, "_write_report", on_a_full_disk)
    with pytest.raises(ReportError, match="could not be written"):
        run_autopsy_notebook(EXAMPLE_RUN, example_store(), now=NOW, artifacts=tmp_path)
    assert [path.name for path in (tmp_path / "autopsy").iterdir()] == [f"{EXAMPLE_RUN}.ipynb"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_are_thin(path):
    """No outputs, no logic: at most ten lines a cell but for the parameters, a heading before each step, and the plain kernel's name."""
    node = nbformat.read(path, as_version=4)
    nbformat.validate(node)
    assert node.metadata.kernelspec.name == "python3"
    for cell in node.cells:
        assert len(cell.source.splitlines()) <= 10 or "parameters" in cell.metadata.get("tags", ())
        if cell.cell_type == "code":
            assert cell.outputs == []
            assert cell.execution_count is None
    assert node.cells[0].source.startswith("# ")
    assert path.read_bytes() == as_bytes(node)


def test_the_parameters_cell_matches_the_model():
    """The cell that papermill shows to people names exactly the parameters that are accepted, typed and commented."""
    node = nbformat.read(resource("notebooks/autopsy.ipynb"), as_version=4)
    tagged = [cell for cell in node.cells if "parameters" in cell.metadata.get("tags", [])]
    assert len(tagged) == 1
    lines = tagged[0].source.splitlines()
    assert [line.partition(":")[0] for line in lines] == list(AutopsyParameters.model_fields)
    assert all(re.fullmatch(r"\w+: \w+ = .+  # .+", line) for line in lines)


def test_the_kernel_needs_no_jupyter_folder(tmp_path, monkeypatch):
    """Nobody's Jupyter folders are needed or written."""
    for name in ("JUPYTER_DATA_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR", "HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name))
    record = run_autopsy_notebook(EXAMPLE_RUN, example_store(), now=NOW, artifacts=tmp_path / "artifacts")
    assert json.loads(record.notebook.read_text())["metadata"]["kernelspec"]["name"] == "python3"
    assert not list((tmp_path / "home").rglob("kernel*.json"))
