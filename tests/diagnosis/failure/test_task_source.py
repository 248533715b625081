"""The part of a workflow's text that belongs to one task."""

from __future__ import annotations

from smithers_nb.diagnosis.failure.task_source import is_declared, needs_of, task_text

WORKFLOW = """const RATES = { eur: 1 };
export default smithers((ctx) => (<Workflow name="w"><Task id="load-page" output={o.a}>{load}</Task><Task
  needs={{ page: "load-page", "old": 'keep' }} id="sum" output={o.b}>{async (d) => d.page.rows[0].sku}</Task></Workflow>));
"""


def test_a_task_among_others_in_one_line():
    """A task's text goes from its element to the next one, attributes before its id included."""
    text = task_text(WORKFLOW, "sum")
    assert "rows[0].sku" in text
    assert "load}" not in text
    assert needs_of(text) == {"page": "load-page", "old": "keep"}


def test_an_unknown_task():
    """A task whose id is made up at run time has no text."""
    assert task_text(WORKFLOW, "close-7") == ""


def test_declared_names():
    """A constant is declared, the parameter of a function is not."""
    assert is_declared("RATES", WORKFLOW)
    assert not is_declared("d", WORKFLOW)
