"""Notebook files are read as they are, whatever wrote or broke them."""

from __future__ import annotations

import json

import pytest

from smithers_nb.sources.notebooks.document import NotANotebook, parse_notebook, plain
from tests.support.notebooks import code, error, notebook, printed, words


def test_the_third_version_of_the_format_is_read():
    """Worksheets, prompt numbers, `pyerr` and `input` mean what they mean today."""
    cell = {"cell_type": "code", "input": ["a = 1\n", "b"], "prompt_number": 4, "outputs": [{"output_type": "pyerr", "ename": "NameError"}]}
    (found,) = parse_notebook(json.dumps({"nbformat": 3, "worksheets": [{"cells": [cell]}]}).encode()).cells
    assert (found.source, found.count, len(found.errors)) == ("a = 1\nb", 4, 1)


def test_cells_are_numbered_among_the_code_cells():
    """Markdown does not count, and stands beside its cell; a banner of papermill is looked through."""
    banner = words('<span id="papermill-error-cell">Execution using papermill encountered an exception</span>')
    document = parse_notebook(notebook(words("first"), code("a"), words("before"), banner, code("b"), words("after")))
    assert [cell.node_id for cell in document.cells] == ["cell:0", "cell:1"]
    assert (document.cells[1].before, document.cells[1].after) == ("before", "after")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "empty"),
        (b"SQLite format 3\0", "not valid JSON"),
        (b'{"cells": [{"cell_type": "code", "sou', "cut off"),
        (b"[1, 2]", "not of a notebook"),
        (b'{"name": "package.json"}', "has no cells"),
        (b"[" * 100_000, "not valid JSON"),
    ],
)
def test_what_is_no_notebook_is_named(content, told):
    """The message says what the file is instead."""
    with pytest.raises(NotANotebook, match=told):
        parse_notebook(content)


def test_numbers_that_json_does_not_know_are_read():
    """Python writes NaN and half a surrogate pair; old notebooks have them."""
    document = parse_notebook(b'{"cells": [{"cell_type": "code", "source": "x", "metadata": {"a": NaN}, "outputs": []}], "b": "\\ud83d"}')
    assert document.cells[0].source == "x"


@pytest.mark.parametrize("odd", [None, 7, "text", [1], {"cells": 3}])
def test_parts_of_another_type_are_left_out(odd):
    """Hostile metadata, outputs and sources break nothing."""
    cell = {"cell_type": "code", "source": odd, "outputs": odd, "metadata": odd, "execution_count": odd}
    document = parse_notebook(json.dumps({"cells": [cell, odd], "metadata": odd}).encode())
    assert len(document.cells) == 1
    assert document.papermill == {}


def test_colours_and_overwritten_lines_are_taken_out():
    """What a terminal would no longer show is not read as words."""
    assert plain("\x1b[31m 0%\r 50%\r100%\x1b[0m\ndone\r\n") == "100%\ndone\n"


def test_streams_are_joined_by_name():
    """A stream is written in many pieces."""
    (cell,) = parse_notebook(notebook(code("x", 1, printed("a"), printed("no", "stderr"), printed("b"), error()))).cells
    assert (cell.streams("stdout"), cell.streams("stderr")) == ("ab", "no")
