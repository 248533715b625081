"""Real notebooks of papermill, nbconvert, Airflow, Jupyter, Colab, Databricks and VS Code, against their labels."""

from __future__ import annotations

import json

import pytest

from smithers_nb import connect
from tests.support.data import CORPUS

EXECUTED = CORPUS / "executed"
pytestmark = pytest.mark.skipif(not EXECUTED.is_dir(), reason="the corpus is not beside this checkout")


@pytest.fixture(scope="module")
def answers():
    """Label and explanation of every labelled file."""
    found = []
    for line in (EXECUTED / "labels.jsonl").read_text().splitlines():
        label = json.loads(line)
        with connect(EXECUTED / label["file"]) as project:
            found.append((label, project.run(label["file"]).why()))
    return found


def test_states(answers):
    """At least 95 in 100 are as labelled."""
    wrong = [label["file"] for label, why in answers if why.state not in {label["state"], *label["alt_states"]}]
    assert len(wrong) <= 0.05 * len(answers), wrong


def test_deciding_cells_and_causes(answers):
    """The first quote is of the right cell, and the summary has the cause."""
    broken = [(label, why) for label, why in answers if label["state"] in {"failed", "interrupted"} and label["cell"] is not None]
    cells = [label["file"] for label, why in broken if why.evidence[0].ref not in {f"attempt:cell:{n}/0/1" for n in label["cells_ok"]}]
    causes = [label["file"] for label, why in broken if not any(word.lower() in why.summary.lower() for word in label["cause_any"])]
    assert len(cells) <= 0.05 * len(broken), cells
    assert len(causes) <= 0.1 * len(broken), causes


def test_nothing_false_is_said(answers):
    """What the label forbids is not said, the file's own name apart; no engine is blamed, and no command of Smithers printed."""
    for label, why in answers:
        said = json.dumps(why.as_json(), ensure_ascii=False).replace(label["file"].removesuffix(".ipynb"), "").lower()
        assert not [word for word in label["must_not_say"] if word.lower() in said], label["file"]
        assert why.failure_class != "smithers-bug"
        assert all(line.split()[0] in {"papermill", "smithers-nb"} for line in why.commands)


def test_every_file_is_read():
    """Files without a label are read and explained as well."""
    with connect(EXECUTED) as project:
        rows = project.run_rows()
        assert len(rows) == len(list(EXECUTED.glob("*.ipynb")))
        assert project.problems == []
        assert {row.state for row in rows} == {"failed", "interrupted", "partial", "finished"}
