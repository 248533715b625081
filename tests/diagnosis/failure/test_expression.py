"""The expression that failed, as each engine says it."""

from __future__ import annotations

import time

import pytest

from smithers_nb.diagnosis.failure.expression import failing_access
from smithers_nb.model.verdict import Link


@pytest.mark.parametrize(
    ("message", "names"),
    [
        ("undefined is not an object (evaluating 'a.rows')", ("a", "rows")),
        ("null is not an object (evaluating 'd[\"load-all\"].lines.map')", ("d", "load-all", "lines", "map")),
        ("deps.load.rows.map is not a function", ("deps", "load", "rows", "map")),
        ("Cannot destructure property 'id' of 'ctx.input.order' as it is undefined.", ("ctx", "input", "order", "id")),
        ("Cannot read properties of undefined (reading 'map')", ("map",)),
    ],
)
def test_names(message, names):
    """The names that lead to the missing value are read off the message."""
    access = failing_access([Link(name="TypeError", message=message)])
    assert access is not None
    assert access.all_names == names


def test_keys():
    """What a value was looked up by is a path of its own, and no part of the path of the value."""
    access = failing_access([Link(name="TypeError", message="undefined is not an object (evaluating 'RATE[d.load.status].points')")])
    assert access is not None
    assert access.paths == (("RATE", "points"), ("d", "load", "status"))


def test_no_expression():
    """An error that names no expression has none."""
    assert failing_access([Link(name="Error", message="12 orders do not add up")]) is None


@pytest.mark.parametrize("piece", ["9", "a.", "a[", "x ", "(", "a['"])
def test_long_texts(piece):
    """A message or a line of source that is data costs nothing."""
    text = piece * (100_000 // len(piece))
    started = time.process_time()
    failing_access([Link(name="TypeError", message=text), Link(name="TypeError", message="Cannot read properties of undefined")], text)
    assert time.process_time() - started < 0.1
