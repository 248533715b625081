"""A report is one whole file that holds what was found, and no secret."""

from __future__ import annotations

import base64
import copy
import errno
import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from nbformat import NotebookNode, v4

from smithers_nb.errors import ReportError
from smithers_nb.present.html import cards
from smithers_nb.present.html.cards import note
from smithers_nb.present.html.markup import REPORT_MARK
from smithers_nb.present.html.theme import theme_css
from smithers_nb.present.report.exporter import plotly_js_version
from smithers_nb.present.report.report import redact_notebook, write_report

TOKEN = "ghp_" + "a1B2" * 9


@pytest.fixture(scope="session")
def page(sample: SimpleNamespace, tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_report(sample.harmless(), tmp_path_factory.mktemp("report") / "r.html").read_text(encoding="utf-8")


def report_of(*outputs: object, tmp_path: Path) -> str:
    notebook = v4.new_notebook(cells=[v4.new_code_cell("x", outputs=list(outputs))])
    return write_report(notebook, tmp_path / "r.html").read_text(encoding="utf-8")


def hashes_of(page: str, tag: str) -> set[str]:
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
    return {"'sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() + "'" for text in found}


def test_same_notebook_same_bytes(sample: SimpleNamespace, page: str, tmp_path: Path) -> None:
    """Nothing random and no clock gets into a report."""
    again = write_report(sample.harmless(), tmp_path / "again.html").read_text(encoding="utf-8")
    assert again == page


def test_small_enough_to_mail(page: str) -> None:
    """A report with a live figure is under one and a half megabytes, one without far less."""
    assert len(page.encode()) < 1_500_000


def test_no_figure_no_bundle(tmp_path: Path) -> None:
    """Plotly is only in reports that draw with it."""
    assert len(report_of(v4.new_output("stream", name="stdout", text="x"), tmp_path=tmp_path)) < 60_000


def test_policy_allows_exactly_what_is_inlined(page: str) -> None:
    """Every script and style sheet of the page is allowed by its hash, and nothing by a wildcard."""
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy.group(1).replace("&#39;", "'").split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    assert set(rules["script-src"].split()) == hashes_of(page, "script")
    assert set(rules["style-src"].split()) - {"'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"} == hashes_of(page, "style")
    assert "unsafe" not in policy.group(1)


def test_vendored_plotly_is_the_installed_one() -> None:
    """The bundle in the report draws what the installed plotly writes."""
    from plotly.offline import get_plotlyjs_version

    assert plotly_js_version() == get_plotlyjs_version()


def test_contents_and_headings_are_in_order(page: str) -> None:
    """One first heading, no level skipped, and every entry of the contents leads to its heading."""
    body = page.partition("<body")[2].partition("<script")[0]
    levels = [int(level) for level in re.findall(r"<h([1-6])", body)]
    assert levels == [1, 2, 2, 3, 2, 2]
    targets = re.findall(r'<li class="snb-level-\d"><a href="#([^"]+)"', body)
    assert len(targets) == 5
    assert all(f'id="{target}"' in body for target in targets)
    assert all(f'id="{target}"' in body for target in re.findall(r'href="#([^"]+)"', body))


def test_code_is_folded_and_parameters_are_named(page: str) -> None:
    """Code stands behind a line that can be opened; parameters are called so."""
    assert "<summary>Parameters and their defaults</summary>" in page
    assert page.count("<summary>Code of step") == 6


def test_what_matters_comes_first(tmp_path: Path) -> None:
    """Under a card, sections that it says already or that say nothing are left out, and details come last, closed; without it all stay."""

    def section(title: str, *, tag: str = "", mark: str = "") -> list[NotebookNode]:
        output = v4.new_output("display_data", data={"text/html": f"<p>of {title}</p>"}, metadata={REPORT_MARK: mark} if mark else {})
        heading = v4.new_markdown_cell(f"## {title}", metadata={"tags": [tag]} if tag else {})
        return [heading, v4.new_code_cell("x", outputs=[output])]

    cells = [
        *section("Rows", tag="report-fold"),
        *section("Cause", tag="report-skip"),
        *section("Timeline"),
        *section("Gate", mark="omit"),
    ]
    notebook = v4.new_notebook(cells=cells)
    page = write_report(notebook, tmp_path / "r.html", title="T", lead=note("It broke.")).read_text(encoding="utf-8")
    body = page.partition('<main id="snb-main"')[2]
    assert "of Cause" not in body
    assert "of Gate" not in body
    assert body.index("It broke.") < body.index("of Timeline") < body.index("<summary>Rows</summary>") < body.index("of Rows")
    assert body.index("of Rows") < body.index("Parameters and code of the notebook")
    whole = write_report(notebook, tmp_path / "w.html", title="T").read_text(encoding="utf-8")
    assert all(f"of {title}" in whole for title in ("Rows", "Cause", "Timeline", "Gate"))


def test_a_stopped_notebook_says_where(tmp_path: Path) -> None:
    """What was reached is shown, and a banner at the top names the error and the step."""
    error = v4.new_output("error", ename="ValueError", evalue="\x1b[31mbad\x1b[0m", traceback=["\x1b[31mTrace\x1b[0m line"])
    cells = [
        v4.new_code_cell("a", outputs=[v4.new_output("stream", name="stdout", text="reached")]),
        v4.new_code_cell("b", outputs=[error]),
        v4.new_code_cell("c"),
    ]
    page = write_report(v4.new_notebook(cells=cells), tmp_path / "r.html", title="T").read_text(encoding="utf-8")
    top = page.partition('<main id="snb-main"')[2][:700]
    assert "stopped before its end" in top
    assert "ValueError: bad" in top
    assert "step 2 of 3" in top
    assert "reached" in page
    assert "Trace line" in page


def test_secrets_leave_the_whole_document(tmp_path: Path) -> None:
    """Sources, streams, tables, figures, JSON, tracebacks and parameters lose their secrets; the notebook given stays as it is."""
    outputs = [
        v4.new_output("stream", name="stdout", text=f"a {TOKEN}"),
        v4.new_output("display_data", data={"text/html": f"<p title='{TOKEN}'>{TOKEN}</p>"}),
        v4.new_output("display_data", data={"application/json": {"password": "hunter22", "x": [TOKEN]}}),
        v4.new_output("display_data", data={"application/vnd.plotly.v1+json": {"data": [{"name": TOKEN}], "layout": {"title": TOKEN}}}),
        v4.new_output("execute_result", data={"text/plain": ["DB_PASSWORD=", "hunter22\n"]}),
        v4.new_output("error", ename="E", evalue=TOKEN, traceback=[f"token = '{TOKEN}'"]),
    ]
    cells = [
        v4.new_code_cell(f"t = '{TOKEN}'", outputs=outputs, metadata={"tags": ["injected-parameters"]}),
        v4.new_markdown_cell(f"# {TOKEN}\n{TOKEN}"),
    ]
    notebook = v4.new_notebook(cells=cells, metadata={"papermill": {"parameters": {"api_key": "zz99"}}})
    before = copy.deepcopy(notebook)
    page = write_report(notebook, tmp_path / "r.html", subtitle=TOKEN).read_text(encoding="utf-8")
    assert TOKEN not in page
    assert "hunter22" not in page
    assert notebook == before
    assert "zz99" not in json.dumps(redact_notebook(notebook))


def test_pictures_survive_redaction(tmp_path: Path) -> None:
    """Pictures are shown, with words for whoever does not see them; unreadable ones are named."""
    png = base64.b64encode(b"\x89PNG eyJhbGciOiJI.eyJzdWIiOiJ4").decode()
    page = report_of(
        v4.new_output("display_data", data={"image/png": png, "text/plain": "a plot"}),
        v4.new_output("display_data", data={"image/png": "%"}),
        tmp_path=tmp_path,
    )
    assert f'src="data:image/png;base64,{png}" alt="a plot"' in page


def test_widgets_are_never_embedded(tmp_path: Path) -> None:
    """A live control is replaced by a sentence."""
    data = {"application/vnd.jupyter.widget-view+json": {"model_id": "abc123"}, "text/plain": "IntSlider(value=7)"}
    page = report_of(v4.new_output("display_data", data=data), tmp_path=tmp_path)
    assert "abc123" not in page
    assert "works in the notebook only" in page


def test_numbers_that_json_does_not_know_become_null(tmp_path: Path) -> None:
    """A figure with NaN can still be parsed by a browser."""
    page = report_of(
        v4.new_output("display_data", data={"application/vnd.plotly.v1+json": {"data": [{"y": [float("nan"), 1]}], "layout": {}}}),
        tmp_path=tmp_path,
    )
    block = re.search(r'id="snb-figure-1">(.*?)</script>', page)
    assert block
    assert json.loads(block.group(1))["data"] == [{"y": [None, 1]}]


def test_data_cannot_end_its_block(sample: SimpleNamespace, tmp_path: Path) -> None:
    """Hostile data stays inside its JSON block, and no script of it is on the page."""
    page = write_report(sample.hostile(), tmp_path / "r.html").read_text(encoding="utf-8")
    assert len(re.findall(r"<script", page.partition("<body")[2])) == 4
    assert "\x1b" not in page.partition("<script>")[0]


def test_megabytes_of_output_are_cut(tmp_path: Path) -> None:
    """A cell that printed megabytes makes a readable report that says how much is missing."""
    page = report_of(
        v4.new_output("stream", name="stdout", text="x" * 5_000_000),
        v4.new_output("display_data", data={"text/html": "<p>" + "y" * 3_000_000, "text/plain": "short"}),
        tmp_path=tmp_path,
    )
    assert len(page) < 200_000
    assert "more characters" in page
    assert "short" in page


def test_a_folder_is_made_and_an_old_report_replaced(tmp_path: Path) -> None:
    """Missing folders are made; an existing report is replaced as a whole."""
    target = tmp_path / "a" / "b" / "r.html"
    write_report(v4.new_notebook(), target, title="one")
    write_report(v4.new_notebook(), target, title="two", lead=cards.banner("Lead", "first of all"))
    assert "<h1>two</h1>" in target.read_text(encoding="utf-8")
    assert "first of all" in target.read_text(encoding="utf-8")
    assert list(target.parent.iterdir()) == [target]


@pytest.mark.slow
def test_a_full_disk_leaves_nothing_half_written(tmp_path: Path) -> None:
    """When there is no room the old report stays, nothing is left beside it, and the error says what to do."""
    target = tmp_path / "r.html"
    target.write_text("old")
    code = """
import resource, signal, sys
from pathlib import Path
from nbformat import NotebookNode, v4
from smithers_nb.errors import ReportError
from smithers_nb.present.report.report import write_report
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    write_report(v4.new_notebook(), Path(sys.argv[1]))
except ReportError as error:
    print(error.exit_code, error.hint)
"""
    done = subprocess.run([sys.executable, "-c", code, str(target)], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("1 the file would be larger")
    assert target.read_text() == "old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(("make", "hint"), [(lambda p: p.mkdir(), "folder"), (lambda p: (p.parent / "f").write_text(""), "")])
def test_impossible_places_are_named(tmp_path: Path, make, hint: str) -> None:
    """A target that is a folder, or below a file, gives one error with a hint."""
    target = tmp_path / "there"
    make(target)
    place = target if hint else tmp_path / "f" / "r.html"
    with pytest.raises(ReportError) as caught:
        write_report(v4.new_notebook(), place)
    assert str(place) in str(caught.value)
    assert caught.value.hint


def test_a_full_disk_has_its_own_hint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A device without space is told from other troubles."""

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ReportError, match="No space") as caught:
        write_report(v4.new_notebook(), tmp_path / "r.html")
    assert "free some space" in caught.value.hint
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "not json", "{}", '{"cells": 3}', '["x"]'])
def test_what_is_no_notebook_is_named(tmp_path: Path, content: str) -> None:
    """A file that is no notebook gives one error, not a traceback."""
    path = tmp_path / "n.ipynb"
    path.write_text(content)
    with pytest.raises(ReportError, match="cannot be read"):
        write_report(path, tmp_path / "r.html")


def test_the_theme_stays_inside_its_class() -> None:
    """No rule of the theme touches anything around a card, and colours never come from style attributes."""
    plain = re.sub(r"@media[^{]+\{|\}\s*\}", "}", theme_css())
    selectors = [part.strip() for rule in plain.split("}") if "{" in rule for part in rule.partition("{")[0].split(",")]
    assert len(selectors) > 60
    assert [selector for selector in selectors if not re.search(r"\.snb(?![\w-]*\w*-page)", selector)] == []


def test_pandas_tables_keep_their_words(tmp_path: Path) -> None:
    """A frame's own HTML is shown as a table, without its classes and styles."""
    import pandas as pd

    html = pd.DataFrame({"<b>": ["<i>x</i>"]})._repr_html_()
    page = report_of(v4.new_output("execute_result", data={"text/html": html, "text/plain": "x"}), tmp_path=tmp_path)
    assert "<th>&lt;b&gt;</th>" in page
    assert "&lt;i&gt;x&lt;/i&gt;" in page
    assert "dataframe" not in page
