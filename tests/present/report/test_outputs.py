"""Outputs of notebook cells as they are shown in a report."""

from __future__ import annotations

import base64

import pytest
from nbformat import v4

from smithers_nb.present.report.outputs import Outputs
from smithers_nb.present.report.sanitise import Fragments


def page_of(*outputs: object) -> str:
    return Outputs(Fragments()).of_cell(outputs)


def test_streams_of_one_name_are_one_text() -> None:
    """What a cell printed in pieces is one text; what it said on standard error is folded away, and nothing of blanks is shown."""
    out, err = ([v4.new_output("stream", name=name, text=text) for text in texts] for name, texts in (("stdout", "ab"), ("stderr", "cd")))
    page = page_of(*out, *err, v4.new_output("stream", name="stdout", text=" \n"))
    assert page.count("<pre") == 2
    assert ">ab</pre>" in page
    shown, _, folded = page.partition("Messages on standard error")
    assert "cd" not in shown
    assert "cd" in folded


def test_text_may_be_a_list_of_lines() -> None:
    """Notebooks keep texts as lists of lines as well."""
    page = page_of({"output_type": "execute_result", "data": {"text/plain": ["one\n", "two"]}, "metadata": {}})
    assert "one\ntwo" in page


@pytest.mark.parametrize("packed", ["%", "", "abc", "not base64!"])
def test_a_picture_that_cannot_be_read_is_named(packed: str) -> None:
    """In place of a damaged picture stands a sentence, not an empty frame."""
    page = page_of(v4.new_output("display_data", data={"image/png": packed}))
    assert "A picture that cannot be read is left out." in page
    assert "<img" not in page


def test_a_picture_in_lines_is_shown() -> None:
    """Kernels break the text of a picture into lines."""
    packed = base64.encodebytes(b"\x89PNG" * 60).decode()
    assert packed.count("\n") > 1
    page = page_of(v4.new_output("display_data", data={"image/png": packed, "text/plain": "<Figure>"}))
    assert f'src="data:image/png;base64,{"".join(packed.split())}" alt="&lt;Figure&gt;"' in page


@pytest.mark.parametrize("figure", [[], [1], "text", 7, None, {"data": 7}, {"data": {"a": 1}, "layout": []}], ids=repr)
def test_what_is_no_figure_is_shown_as_text(figure: object) -> None:
    """An output that is called a figure of plotly and is none does not end the report."""
    page = page_of(v4.new_output("display_data", data={"application/vnd.plotly.v1+json": figure, "text/plain": "<not a figure>"}))
    assert "&lt;not a figure&gt;" in page


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"text/plain": "IntSlider(value=7)"}, "in the notebook only: IntSlider(value=7)"),
        ({"text/plain": "IntSlider(value=7)", "text/html": "<b>x</b>"}, "in the notebook only."),
        ({}, "in the notebook only."),
    ],
)
def test_a_control_is_told_by_its_words(data: dict[str, str], words: str) -> None:
    """A live control is named by its text, where that is all there is."""
    assert words in page_of(v4.new_output("display_data", data={"application/vnd.jupyter.widget-view+json": {"model_id": "m"}, **data}))
