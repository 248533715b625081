"""Secrets that only a reader of the page would put together: across tags, under headings, in drawings."""

from __future__ import annotations

import base64
import re

import pandas as pd
import pytest
from nbformat import v4

from smithers_nb.present.report.outputs import Outputs
from smithers_nb.present.report.sanitise import Fragments
from smithers_nb.present.report.secrets import redacted_svg

TOKEN = "ghp_" + "0aB1cD2eF3" * 3 + "456789"
FRAME = pd.DataFrame({"user": ["ann", "bob"], "api_key": ["tiger one", "x<y z"], "tokens": [12, 99]})
SVG = '<svg xmlns="http://www.w3.org/2000/svg">{}</svg>'


def clean(markup: str) -> str:
    return str(Fragments().output(markup))


def words(markup: str) -> str:
    return re.sub(r"<[^>]*>", "", markup)


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME.T,
        FRAME.set_index("api_key"),
        FRAME.set_index(["user", "tokens"]),
        pd.concat({"a": FRAME, "b": FRAME}),
        pd.concat({"a": FRAME, "b": FRAME}, axis=1),
    ],
)
def test_a_column_that_names_a_secret_is_redacted(frame: pd.DataFrame) -> None:
    """However a frame is turned, what lies under or beside `api_key` goes, and counts of tokens and names stay."""
    page = clean(frame.to_html())
    assert "tiger" not in page
    assert "x&lt;y" not in page
    assert "api_key" in page
    assert {"ann", "bob", "12", "99"} <= set(re.findall(r"\w+", words(page)))


@pytest.mark.parametrize(
    "markup",
    [
        f"<p>use <b>{TOKEN[:9]}</b><i>{TOKEN[9:]}</i> now</p>",
        '<pre><span>api_key</span> <span>=</span> <span>"tiger77one"</span></pre>',
        "<table><tr><td>password</td><td>tiger77one</td></tr></table>",
        "<dl><dt>Password</dt><dd>tiger77one</dd></dl>",
        "<table><tr><td>id</td><td>password</td><td>at</td></tr><tr><td>1</td><td>tiger77one</td><td>2</td></tr></table>",
    ],
)
def test_markup_does_not_hide_a_secret(markup: str) -> None:
    """A secret in pieces between tags, or beside its name, is one for whoever reads the page."""
    page = words(clean(markup))
    assert "[REDACTED" in page
    assert "tiger77one" not in page
    assert TOKEN[9:] not in page


@pytest.mark.parametrize(
    "markup",
    [
        "<p>the <b>token</b> <i>bucket</i> has 1200 tokens</p>",
        "<table><thead><tr><th>key</th><th>is</th></tr></thead><tbody><tr><td>token</td><td>the one to use</td></tr></tbody></table>",
        "<table><tbody><tr><td>Region</td><td>eu-central-1</td></tr></tbody></table>",
    ],
)
def test_ordinary_markup_stays(markup: str) -> None:
    """A page about tokens and a table that explains options are left as they are."""
    assert clean(markup) == markup


def test_a_drawing_is_redacted() -> None:
    """Words of an SVG go through the same eyes, also in pieces and beside their name."""
    drawing = f"<text>a {TOKEN[:9]}<tspan>{TOKEN[9:]}</tspan></text><text>password</text><text>tiger77one</text><text>kept</text>"
    output = v4.new_output("display_data", data={"image/svg+xml": SVG.format(drawing)})
    packed = re.search(r"base64,([^\"]+)", Outputs(Fragments()).of_cell([output]))
    assert packed is not None
    shown = base64.b64decode(packed[1]).decode()
    assert shown.count("[REDACTED") == 2
    assert TOKEN[9:] not in shown
    assert "tiger77one" not in shown
    assert ">kept<" in shown


@pytest.mark.parametrize(
    "drawing",
    [
        SVG.format(f"<!-- {TOKEN} --><path d='M0 0'/>"),
        SVG.format("<text>never closed"),
        '<!DOCTYPE svg [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>' + SVG.format("<text>&b;</text>"),
    ],
)
def test_a_drawing_that_cannot_be_cleaned_is_left_out(drawing: str) -> None:
    """What matplotlib draws as outlines it also says in a comment; broken drawings and those with entities are not shown either."""
    assert redacted_svg(drawing) is None
    output = v4.new_output("display_data", data={"image/svg+xml": drawing})
    assert "is left out" in Outputs(Fragments()).of_cell([output])


def test_an_ordinary_drawing_is_shown_as_it_is() -> None:
    """Nothing is written anew where nothing has to go."""
    drawing = SVG.format("<!-- 12 tokens --><text x='1'>Tokens</text>")
    assert redacted_svg(drawing) == drawing


def test_a_table_that_plotly_draws_is_redacted() -> None:
    """The live figure has its data in the page."""
    trace = {"type": "table", "header": {"values": ["user", "api_key"]}, "cells": {"values": [["ann"], ["tiger one"]]}}
    outputs = Outputs(Fragments())
    outputs.of_cell([v4.new_output("display_data", data={"application/vnd.plotly.v1+json": {"data": [trace], "layout": {}}})])
    assert "tiger" not in outputs.figures[0]
    assert "ann" in outputs.figures[0]


def test_the_plain_text_of_a_long_table_is_no_way_around() -> None:
    """A table too long to be shown is not told in plain text when one of its columns names a secret."""
    table = FRAME.to_html() + "x" * 2_000_001
    data = {"text/html": table, "text/plain": str(FRAME)}
    assert "tiger" not in Outputs(Fragments()).of_cell([v4.new_output("display_data", data=data)])
