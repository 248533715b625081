"""The five lines around the one that threw."""

from __future__ import annotations

import pytest

from smithers_nb.model.verdict import Failure, Link
from smithers_nb.workflows.autopsy.excerpts import source_around

SOURCE = "\n".join(f"line {number}" for number in range(1, 21))


def failure(stack):
    """Make a failure with a stack."""
    return Failure(run_id="r", node_id="n", kind="attempt", chain=(Link(name="TypeError", message="x", stack=stack),))


def test_the_line_that_threw_is_marked():
    """Two lines on each side, numbered, and nothing when the stack names another file or a line that is not there."""
    thrown = failure("TypeError: x\n    at lay (/srv/flows/seats.tsx:12:9)")
    shown = source_around(thrown, SOURCE, "/home/me/copy/seats.tsx")
    assert [line.split() for line in shown] == [[*(["→"] if n == 12 else []), str(n), "│", "line", str(n)] for n in range(10, 15)]
    assert source_around(thrown, SOURCE, "/home/me/other.tsx", None) == ()
    assert source_around(thrown, "line 1", "/srv/flows/seats.tsx") == ()
    assert source_around(failure(""), SOURCE, "/srv/flows/seats.tsx") == ()


@pytest.mark.parametrize("line", [1, 20])
def test_the_ends_of_a_file(line):
    """At its first and last line there are fewer."""
    assert len(source_around(failure(f"E: x\n    at a (/srv/seats.tsx:{line}:9)"), SOURCE, "seats.tsx")) == 3


def test_a_cell_is_found_by_its_line():
    """Of a notebook, the cell that has this line at this place."""
    source = "# %% cell 1\nimport json\n\n# %% cell 2\nx = 1\ny = x + z\nprint(y)\n"
    stack = "NameError  Traceback (most recent call last)\nCell In[2], line 2\n      1 x = 1\n----> 2 y = x + z\n\nNameError: name 'z'"
    assert source_around(failure(stack), source)[1] == "→    2 │ y = x + z"
