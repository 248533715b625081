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

from smithers_nb.present.html.cards import banner, details
from smithers_nb.present.html.markup import Html, escape
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


class Piece(NamedTuple):
    """What one cell adds to the page."""

    body: Html
    code: Html | None = None


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

    def page(self, notebook: NotebookNode, *, title: str, subtitle: str = "", lead: Html | None = None) -> str:
        """Write the page of a notebook whose secrets are redacted already.

        Args:
            notebook: The notebook, executed to its end or not.
            title: Heading of the page.
            subtitle: A line under it.
            lead: Safe HTML that comes before everything else; without it, a stopped notebook gets a banner that says where.
        """
        fragments = Fragments()
        outputs = Outputs(fragments)
        pieces = [_piece(cell, number, outputs, title) for number, cell in _shown_cells(notebook)]
        linked = [Piece(fragments.linked(piece.body), piece.code) for piece in pieces if piece.body or piece.code]
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
                    "pieces": linked,
                    "contents": _contents(fragments.headings),
                    "figures": outputs.figures,
                    "style": Html(css),
                    "scripts": [Html(script) for script in scripts],
                    "policy": policy([css, ""] if with_figures else [css], scripts),
                    "footer": _footer(notebook, with_figures),
                }
            },
        )
        return str(written)


def policy(styles: Sequence[str], scripts: Sequence[str]) -> str:
    """Write the Content-Security-Policy that allows these style sheets and scripts, and nothing else.

    An empty style sheet is what plotly starts from; it fills it through the object model, which no policy restricts.
    """
    allowed = f"img-src data:; style-src {_hashes(styles)}; script-src {_hashes(scripts)}"
    return f"default-src 'none'; {allowed}; base-uri 'none'; form-action 'none'"


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


def _piece(cell: Mapping[str, Any], number: int, outputs: Outputs, title: str) -> Piece:
    source = text_of(cell.get("source", ""))
    if cell["cell_type"] == "markdown":
        return Piece(outputs.markdown(_without_title(source, title)))
    if cell["cell_type"] != "code":
        return Piece(Html(""))
    name = next((words for tag, words in _PARAMETERS.items() if tag in cell["metadata"].get("tags", ())), f"Code of step {number}")
    code = details(name, source, limit=_CODE_LIMIT).html if source.strip() else None
    return Piece(outputs.of_cell(cell.get("outputs", ())), code)


def _without_title(source: str, title: str) -> str:
    """Drop a first line that says what the page's heading says already."""
    first, _, rest = source.lstrip().partition("\n")
    return rest if first.startswith("# ") and first[2:].strip() == title else source


def _stopped(notebook: NotebookNode) -> Html | None:
    """Say at the top where a notebook stopped, when it did."""
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


def _footer(notebook: NotebookNode, with_figures: bool) -> Html:
    from nbconvert import __version__ as nbconvert_version

    from smithers_nb._version import __version__

    language = notebook.metadata.get("language_info", {}).get("version") or platform.python_version()
    parts = [f"smithers-nb {__version__}", f"Python {language}", f"nbconvert {nbconvert_version}"]
    if with_figures:
        parts.append(f"plotly.js {plotly_js_version()} (MIT licence)")
    return escape(" · ".join(parts))


def warm_up() -> None:
    """Read scripts and styles, and hash them, before they are needed."""
    policy([_style()], [_script("plotly-basic.min.js"), _script("report.js")])


def plotly_js_version() -> str:
    """Read the version out of the vendored plotly.js."""
    return _script("plotly-basic.min.js")[:200].partition("minified) v")[2].split()[0]
