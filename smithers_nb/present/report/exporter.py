"""Our nbconvert exporter: one notebook into one page that holds everything it needs.

The template is `templates/report/index.html.j2`. The page's Content-Security-Policy allows exactly the style sheet and the scripts
that are written into it, each by its hash; a script that got in with the data would not run.
"""

from __future__ import annotations

import base64
import hashlib
import platform
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from nbconvert.exporters.templateexporter import TemplateExporter
from traitlets import default

from smithers_nb.model.timestamps import when
from smithers_nb.present.html.cards import banner, details
from smithers_nb.present.html.markup import REPORT_MARK, Card, Html, escape, h, join
from smithers_nb.present.html.text import one_line, without_ansi
from smithers_nb.present.html.theme import minified, theme_css
from smithers_nb.present.report.outputs import Outputs, text_of
from smithers_nb.present.report.sanitise import Fragments, Heading
from smithers_nb.resources import resource

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from jinja2 import Environment
    from nbformat import NotebookNode

_HIDDEN_TAGS = frozenset({"papermill-error-cell-tag", "remove-cell", "remove_cell"})
_PARAMETERS = {"injected-parameters": "Parameters of this run", "parameters": "Parameters and their defaults"}
_CODE_LIMIT = 60_000
_FOLD, _SKIP = "report-fold", "report-skip"
"""Tags of a notebook's cells: detail that comes last and closed, and what the card at the top of a report says already."""


class Section(NamedTuple):
    """A heading of the notebook with what follows it.

    Attributes:
        title: Words of the heading; empty before the first one.
        body: What its cells say and show.
        folded: Detail for whoever asks for it: closed, and after everything else.
    """

    title: str
    body: Html
    folded: bool = False


class ReportExporter(TemplateExporter):  # type: ignore[misc]  # nbconvert is not typed
    """Writes a notebook as one self-contained page."""

    file_extension = ".html"
    output_mimetype = "text/html"

    @default("template_file")  # type: ignore[untyped-decorator]
    def _template_file_default(self) -> str:
        return "index.html.j2"

    @default("template_paths")  # type: ignore[untyped-decorator]
    def _template_paths(self) -> list[str]:
        return [str(resource("templates/report"))]

    def _create_environment(self) -> Environment:
        environment: Environment = super()._create_environment()
        environment.autoescape = True
        return environment

    def page(self, notebook: NotebookNode, *, title: str, subtitle: str = "", lead: Html | None = None, as_of: int | None = None) -> str:
        """Write the page of a notebook whose secrets are redacted already.

        Args:
            notebook: The notebook, executed to its end or not.
            title: Heading of the page.
            subtitle: A line under it.
            lead: Safe HTML that comes before everything else; without it, a stopped notebook gets a banner that says where.
            as_of: Time that it tells about, epoch milliseconds; the footer says it.
        """
        fragments = Fragments()
        outputs = Outputs(fragments)
        cells = _shown_cells(notebook)
        sections = [_section(group, outputs, title) for group in _sections([cell for _, cell in cells], has_lead=lead is not None)]
        linked = [section._replace(body=fragments.linked(section.body)) for section in sections if section.body]
        hidden = {section.title for section in linked if section.folded}
        with_figures = bool(outputs.figures)
        css = _style()
        scripts = [_script("report.js")] if not with_figures else [_script("plotly-basic.min.js"), _script("report.js")]
        written, _ = self.from_notebook_node(
            notebook,
            resources={
                "page": {
                    "title": one_line(title, 240),
                    "subtitle": one_line(subtitle, 400),
                    "lead": lead,
                    "stopped": None if lead else _stopped(notebook),
                    "sections": [section for section in linked if not section.folded],
                    "details": [details(section.title, Card(section.body, "")).html for section in linked if section.folded],
                    "code": [code for number, cell in cells if (code := _code(cell, number))],
                    "contents": [heading for heading in _contents(fragments.headings) if heading.words not in hidden],
                    "figures": outputs.figures,
                    "style": Html(css),
                    "scripts": [Html(script) for script in scripts],
                    "policy": policy([css, ""] if with_figures else [css], scripts),
                    "footer": _footer(notebook, with_figures, as_of),
                }
            },
        )
        return str(written)


def policy(styles: Sequence[str], scripts: Sequence[str], *, forms: str = "'none'") -> str:
    """Write the Content-Security-Policy that allows these style sheets and scripts, and nothing else but forms to where `forms` says.

    An empty style sheet is what plotly starts from; it fills it through the object model, which no policy restricts.
    """
    allowed = f"img-src data:; style-src {_hashes(styles)}; script-src {_hashes(scripts)}"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action {forms}"


def _hashes(texts: Sequence[str]) -> str:
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in texts)


@cache
def _script(name: str) -> str:
    return resource(f"templates/report/{name}").read_text(encoding="utf-8").strip()


@cache
def _style() -> str:
    return theme_css() + minified(resource("templates/report/report.css").read_text(encoding="utf-8"))


def _shown_cells(notebook: NotebookNode) -> list[tuple[int, Mapping[str, Any]]]:
    """Number code cells by their place among all code cells, and leave out what is meant for nobody."""
    numbered, code = [], 0
    for cell in notebook.cells:
        code += cell.cell_type == "code"
        if not _HIDDEN_TAGS & set(cell.metadata.get("tags", ())):
            numbered.append((code, cell))
    return numbered


def _sections(cells: Sequence[Mapping[str, Any]], *, has_lead: bool) -> list[list[Mapping[str, Any]]]:
    """Part cells at their headings; where a card leads, what it says already and what has nothing to say are left out."""
    groups: list[list[Mapping[str, Any]]] = [[]]
    for cell in cells:
        if cell["cell_type"] == "markdown" and text_of(cell.get("source", "")).lstrip().startswith("#"):
            groups.append([])
        groups[-1].append(cell)
    return [group for group in groups if group and not (has_lead and (_SKIP in _tags(group) or _says_nothing(group)))]


def _says_nothing(cells: Sequence[Mapping[str, Any]]) -> bool:
    """Whether every output of these cells, of at least one, is marked as one that has nothing to say."""
    marks = [output.get("metadata", {}).get(REPORT_MARK) for cell in cells for output in cell.get("outputs", ())]
    return bool(marks) and set(marks) == {"omit"}


def _tags(cells: Sequence[Mapping[str, Any]]) -> set[str]:
    return {tag for cell in cells for tag in cell["metadata"].get("tags", ())}


def _section(cells: Sequence[Mapping[str, Any]], outputs: Outputs, title: str) -> Section:
    folded = _FOLD in _tags(cells)
    first = text_of(cells[0].get("source", "")).lstrip() if cells[0]["cell_type"] == "markdown" else ""
    heading = first.partition("\n")[0].lstrip("#").strip() if first.startswith("#") else ""
    pieces = []
    for cell in cells:
        source = text_of(cell.get("source", ""))
        if cell["cell_type"] == "markdown":
            inner = source.lstrip().partition("\n")[2] if folded and cell is cells[0] else _without_title(source, title)
            pieces.append(outputs.markdown(inner))
        elif cell["cell_type"] == "code":
            pieces.append(outputs.of_cell(cell.get("outputs", ())))
    return Section(heading, join(h("div", piece, class_="snb-cell") for piece in pieces if piece), folded and bool(heading))


def _code(cell: Mapping[str, Any], number: int) -> Html | None:
    source = text_of(cell.get("source", ""))
    if cell["cell_type"] != "code" or not source.strip():
        return None
    name = next((words for tag, words in _PARAMETERS.items() if tag in _tags([cell])), f"Code of step {number}")
    return details(name, source, limit=_CODE_LIMIT).html


def _without_title(source: str, title: str) -> str:
    """Drop a first line that says what the page's heading says already."""
    first, _, rest = source.lstrip().partition("\n")
    return rest if first.startswith("# ") and first[2:].strip() == title else source


def _stopped(notebook: NotebookNode) -> Html | None:
    """State at the top where a notebook stopped, when it did."""
    code = [cell for cell in notebook.cells if cell.cell_type == "code" and not _HIDDEN_TAGS & set(cell.metadata.get("tags", ()))]
    for position, cell in enumerate(code, 1):
        error = next((output for output in cell.outputs if output.output_type == "error"), None)
        if error is not None:
            reason = f"{error.get('ename', 'Error')}: {without_ansi(error.get('evalue', ''))}"
            facts = {"Stopped at": f"step {position} of {len(code)}", "Not reached": len(code) - position}
            return banner("The notebook stopped before its end", reason, facts=facts, hint="What it had found by then follows.").html
    return None


def _contents(headings: list[Heading]) -> list[Heading]:
    return [heading for heading in headings if heading.level <= 3 and heading.words]  # noqa: PLR2004  # deeper ones are detail


def _footer(notebook: NotebookNode, with_figures: bool, as_of: int | None) -> Html:
    from nbconvert import __version__ as nbconvert_version

    from smithers_nb._version import __version__

    language = notebook.metadata.get("language_info", {}).get("version") or platform.python_version()
    ended = str(notebook.metadata.get("papermill", {}).get("end_time") or "")[:19].replace("T", " ")
    parts = [f"made {ended} UTC"] if ended else [f"as of {when(as_of)}"] if as_of is not None else []
    parts += [f"smithers-nb {__version__}", f"Python {language}", f"nbconvert {nbconvert_version}"]
    if with_figures:
        parts.append(f"plotly.js {plotly_js_version()} (MIT licence)")
    return escape(" · ".join(parts))


def warm_up() -> None:
    """Read scripts and styles, and hash them, before they are needed."""
    policy([_style()], [_script("plotly-basic.min.js"), _script("report.js")])


def plotly_js_version() -> str:
    """Read the version out of the vendored plotly.js."""
    return _script("plotly-basic.min.js")[:200].partition("minified) v")[2].split()[0]
