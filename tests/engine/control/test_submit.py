"""What is checked before a run starts, and what is written down of it."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from smithers_nb.engine.control import submit
from smithers_nb.engine.control.parameters import Words, checked, plain_value
from smithers_nb.engine.control.submit import new_run_id
from smithers_nb.engine.notebook.file import read_notebook
from smithers_nb.errors import ParameterError
from tests.support.history import cell, write_notebook

if TYPE_CHECKING:
    from smithers_nb.engine.location import Location


def test_a_run_is_written_down_with_all_it_needs(location: Location, notebook: Path, runs) -> None:
    """Workflow, path, hash, parameters and limits are in the journal before anything executes."""
    run_id = submit(location, notebook, {"count": 5}, hot=True, post_failure=False, total_timeout_s=9, artifacts="memory://a", hidden=True)
    row = runs.row(run_id)
    config = json.loads(row.config_json)
    assert (row.workflow_name, row.workflow_path, row.status, row.runtime_owner_id) == ("nightly", str(notebook), "waiting-worker", None)
    assert row.workflow_hash
    assert config["rootDir"] == str(location.root)
    assert config["cwd"] == str(Path.cwd())
    assert (config["hot"], config["postFailure"], config["artifacts"], config["hidden"]) == (True, False, "memory://a", True)
    assert config["kernel"] == {"cellTimeoutS": 600.0, "totalTimeoutS": 9}
    (given,) = runs.rows("_smithers_nb_outputs", run_id)
    assert (given.node_id, json.loads(given.row_json)) == ("input", {"count": 5})


def test_ids_sort_by_time_and_name_their_workflow() -> None:
    """A generated id begins with the workflow, made harmless, and later ones sort behind."""
    first = new_run_id("Nightly Report/../x")
    assert re.fullmatch(r"nightly-report-x-[a-z0-9]{8}-[a-z0-9]{6}", first)
    assert new_run_id("").startswith("run-")
    assert first.rsplit("-", 1)[0] <= new_run_id("Nightly Report/../x").rsplit("-", 1)[0]


@pytest.mark.parametrize("run_id", ["", "../../etc", "a b", "-x", "a\nb", "ü", "x" * 129, "$(reboot)", "a;b", "\x00", "\ud800"])
def test_hostile_run_ids_are_refused(location: Location, notebook: Path, run_id: str) -> None:
    """An id that is no plain word is refused, and no journal comes of it."""
    with pytest.raises(ParameterError, match="is not a valid run id"):
        submit(location, notebook, {}, run_id=run_id)
    assert not location.file.exists()


def test_an_id_is_used_once(location: Location, notebook: Path, refused) -> None:
    """A second run of the same id is refused and pointed to resume."""
    submit(location, notebook, {}, run_id="r1")
    assert "resume r1" in refused("RUN_EXISTS", submit, location, notebook, {}, run_id="r1").hint


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[]", "has no nbformat"),
        (b'{"nbformat": 3, "worksheets": []}', "only 4"),
        (b'{"nbformat": 4}', "no list of cells"),
        (b'{"nbformat": 4, "cells": [3]}', "no list of cells"),
        (b'{"nbformat": 4, "cells": []}', "no code"),
        (b'{"nbformat": 4, "cells": [{"cell_type": "code", "source": " \\n"}]}', "no code"),
    ],
)
def test_what_is_no_notebook_is_refused(location: Location, tmp_path: Path, content: bytes, said: str) -> None:
    """Each way not to be a notebook is one line that names the file."""
    file = tmp_path / "bad.ipynb"
    file.write_bytes(content)
    with pytest.raises(ParameterError, match=said) as raised:
        submit(location, file, {})
    assert "bad.ipynb" in str(raised.value)
    assert raised.value.hint


def test_a_missing_notebook_and_a_folder_are_refused(location: Location, tmp_path: Path) -> None:
    """A path without a file is told apart from a folder."""
    for path, said in ((tmp_path / "no.ipynb", "does not exist"), (tmp_path, "is a folder"), (Path("/dev/null"), "is not a regular file")):
        with pytest.raises(ParameterError, match=said):
            submit(location, path, {})


@pytest.mark.parametrize(
    ("name", "typed", "value"),
    [
        ("count", "5", 5),
        ("name", "49315", "49315"),
        ("name", "true", "true"),
        ("name", "none", None),
        ("when", "2", 2.0),
        ("fast", "yes", True),
        ("lines", '["a", "b"]', ["a", "b"]),
        ("size", "7", 7),
        ("size", "none", None),
        ("any", "8", 8),
        ("any", '{"a": 1}', {"a": 1}),
        ("any", "{broken", "{broken"),
    ],
)
def test_words_become_what_a_parameter_takes(notebook: Path, name: str, typed: str, value) -> None:
    """A word of the command line is read by annotation, or by the kind of the default."""
    found = checked(read_notebook(notebook), {name: Words(typed)}, notebook.parent)
    assert found == {name: value}
    assert type(found[name]) is type(value)


@pytest.mark.parametrize(
    ("name", "given", "said"),
    [
        ("count", Words("x"), "valid integer"),
        ("count", 1.5, "valid integer"),
        ("fast", Words("2"), "valid boolean"),
        ("lines", Words("a"), "valid list"),
        ("name", 5, "valid string"),
        ("any", object(), "not a JSON value"),
    ],
)
def test_values_that_do_not_fit_are_refused(notebook: Path, name: str, given, said: str) -> None:
    """A value of the wrong kind is refused; the message names the parameter's problem."""
    with pytest.raises(ParameterError, match=said):
        checked(read_notebook(notebook), {name: given}, notebook.parent)


def test_an_unknown_parameter_lists_the_known_ones(notebook: Path) -> None:
    """A misspelt name is refused, with the one that was meant and all that there are."""
    with pytest.raises(ParameterError, match="did you mean 'count'") as raised:
        checked(read_notebook(notebook), {"cuont": 1}, notebook.parent)
    assert "count, name, when, fast, lines, size, any" in raised.value.hint


def test_a_notebook_without_parameters_takes_none(tmp_path: Path) -> None:
    """Without a tagged cell a parameter is refused instead of being injected where nobody reads it."""
    plain = read_notebook(write_notebook(tmp_path / "plain.ipynb", cell("x = 1")))
    assert checked(plain, {}, tmp_path) == {}
    with pytest.raises(ParameterError, match="takes no parameters"):
        checked(plain, {"x": 1}, tmp_path)


def test_other_languages_are_not_judged(tmp_path: Path) -> None:
    """A notebook of another kernel takes what it is given, as papermill does."""
    found = read_notebook(
        write_notebook(tmp_path / "r.ipynb", cell("x <- 1", tags=("parameters",)), kernelspec={"name": "ir", "language": "R"})
    )
    assert checked(found, {"x": Words("2"), "y": "z"}, tmp_path) == {"x": 2, "y": "z"}


def test_a_model_decides_when_the_notebook_names_one(tmp_path: Path) -> None:
    """Parameters are checked by the pydantic model of the metadata, imported from the project."""
    code = "from pydantic import BaseModel\nclass P(BaseModel, extra='forbid'):\n    day: str\n    n: int = 1\n"
    (tmp_path / "models_of_this_test.py").write_text(code)
    settings = {"parameters": "models_of_this_test:P"}
    found = read_notebook(write_notebook(tmp_path / "m.ipynb", cell("day = ''", tags=("parameters",)), settings=settings))
    assert checked(found, {"day": Words("1"), "n": Words("2")}, tmp_path) == {"day": "1", "n": 2}
    for given, said in (({}, "day"), ({"day": "1", "x": 1}, "unknown parameter 'x'")):
        with pytest.raises(ParameterError, match=said):
            checked(found, given, tmp_path)


@pytest.mark.parametrize("model", ["no_such_module:P", "json:loads", "json", "os:path", ":", 7])
def test_a_model_that_is_none_is_refused(tmp_path: Path, model) -> None:
    """Metadata that names no pydantic model is one line."""
    found = read_notebook(write_notebook(tmp_path / "m.ipynb", cell("x = 1", tags=("parameters",)), settings={"parameters": model}))
    with pytest.raises(ParameterError):
        checked(found, {"x": 1}, tmp_path)


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), float("nan")])
def test_limits_are_positive(location: Location, notebook: Path, seconds: float) -> None:
    """A time limit that is none is refused."""
    with pytest.raises(ParameterError, match="timeout"):
        submit(location, notebook, {}, total_timeout_s=seconds)


def test_plain_values_are_those_of_papermill() -> None:
    """Words without a type become what papermill makes of them; numbers that are none stay text."""
    words = ["True", "false", "None", "12", "-3", "1.5", "1e3", "nan", "inf", "--", "²", ""]
    assert [plain_value(word) for word in words[:7]] == [True, False, None, 12, -3, 1.5, 1000.0]
    assert [plain_value(word) for word in words[7:]] == words[7:]


def test_an_artifacts_folder_is_the_one_that_was_meant(location: Location, notebook: Path, runs) -> None:
    """A folder is taken from where the run is submitted, whoever executes it where; a URL stays what it is."""
    meant = [
        json.loads(runs.row(submit(location, notebook, {}, artifacts=name)).config_json)["artifacts"] for name in ("out", "memory://out")
    ]
    assert meant == [str(Path.cwd() / "out"), "memory://out"]


@pytest.mark.parametrize("given", [{"max_rows": 7}, {"maxRows": 7}, {"MaxRows": Words("7")}])
def test_a_parameter_may_be_spelled_as_smithers_does(location, tmp_path, given) -> None:
    """The names of Smithers' workflows fit the notebook's own, from a command line and as JSON."""
    notebook = write_notebook(tmp_path / "caps.ipynb", cell("max_rows: int = 3", tags=("parameters",)), cell("1"))
    assert checked(read_notebook(notebook), given, tmp_path) == {"max_rows": 7}
    model = {"parameters": "smithers_nb.workflows.autopsy.parameters:AutopsyParameters"}
    notebook = write_notebook(tmp_path / "model.ipynb", cell("1"), settings=model)
    found = checked(read_notebook(notebook), {"targetRunId": Words("49315"), "workflowPath": None}, location.root)
    assert (found["target_run_id"], found["workflow_path"]) == ("49315", None)
    with pytest.raises(ParameterError, match="given twice"):
        checked(read_notebook(notebook), {"targetRunId": "a", "target_run_id": "b"}, location.root)
