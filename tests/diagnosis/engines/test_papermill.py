"""The papermill command that runs a notebook again gives it the same parameters."""

from __future__ import annotations

import shlex

import pytest
from click.testing import CliRunner
from papermill import cli

from smithers_nb import connect
from tests.support.notebooks import code, error, failed_run, notebook, write

GIVEN = {
    "year": "2019",
    "flag": True,
    "none": None,
    "ratio": 0.5,
    "text": 'it\'s a "shop" $HOME',
    "list": ["a", 1, {"deep": None}],
    "dash": "--log-output",
}


def why(path):
    """The explanation of one file."""
    with connect(path) as project:
        return project.run(path.name).why()


def test_papermill_reads_the_same_parameters(tmp_path, monkeypatch):
    """Its own command line takes the printed line apart."""
    (line,) = why(write(tmp_path, out=failed_run(**GIVEN)) / "out.ipynb").commands
    seen = {}
    monkeypatch.setattr(cli, "execute_notebook", lambda **told: seen.update(told))
    done = CliRunner().invoke(cli.papermill, shlex.split(line)[1:])
    assert done.exit_code == 0, done.output
    assert (seen["input_path"], seen["output_path"], seen["parameters"]) == ("in.ipynb", "out.ipynb", GIVEN)


def test_a_secret_has_to_be_filled_in(tmp_path):
    """A parameter that is redacted would run with the redacted text."""
    (line,) = why(write(tmp_path, out=failed_run(api_key="sk-proj-" + "a1B2c3D4" * 6)) / "out.ipynb").commands
    assert shlex.split(line)[-3:] == ["-p", "api_key", "…"]


def test_the_folder_of_relative_paths_is_named(tmp_path):
    """Papermill's paths are relative to where it was started: the nearest folder above that has the input."""
    write(tmp_path / "out", out=failed_run())
    assert "relative to the folder in which it was started" in why(tmp_path / "out" / "out.ipynb").advice.detail
    write(tmp_path, **{"in": notebook(code("x"))})
    assert f"Run the commands in {tmp_path}" in why(tmp_path / "out" / "out.ipynb").advice.detail


def test_a_notebook_that_was_run_by_hand_gets_a_copy(tmp_path):
    """What is known of the run is not written over."""
    path = write(tmp_path / "a b", **{"my nb": notebook(code("x", 1, error("OSError", "no")))}) / "my nb.ipynb"
    assert shlex.split(why(path).commands[-1])[-1] in {str(path.with_name("my nb-rerun.ipynb")), "cell:0", str(path)}


def test_databricks_runs_only_there(tmp_path):
    """Papermill cannot execute it, so nothing of the kind is printed."""
    noted = {"application/vnd.databricks.v1+output": {"type": "ipynbError", "errorSummary": "KeyError: 'b'", "data": ""}}
    shown = {"output_type": "display_data", "data": {}, "metadata": noted}
    content = notebook(code("t['b']", 0, shown), **{"application/vnd.databricks.v1+notebook": {}})
    found = why(write(tmp_path, job=content) / "job.ipynb")
    assert found.state == "failed"
    assert not [line for line in found.commands if line.startswith("papermill")]


@pytest.mark.parametrize("name", ["-odd", "a;b", "$(x)"])
def test_names_of_files_are_quoted(tmp_path, name):
    """A file may have any name."""
    path = (
        write(tmp_path, **{name: notebook(code("x", 1, error("CalledProcessError", "returned non-zero exit status 1.")))}) / f"{name}.ipynb"
    )
    for line in why(path).commands:
        assert str(path) in shlex.split(line)
