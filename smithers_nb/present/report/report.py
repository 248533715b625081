"""An executed notebook as one HTML file that opens anywhere, without a network and without trust in what a run wrote.

`write_report` takes the notebook, finished or stopped half-way, redacts it once more as a whole, and writes the page atomically:
either the whole file is there, or what was there before.
"""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from smithers_nb.artifacts import write_whole
from smithers_nb.errors import ReportError
from smithers_nb.present.html.text import clip, visible
from smithers_nb.redact import redact, redact_value

if TYPE_CHECKING:
    from nbformat import NotebookNode

    from smithers_nb.present.html.markup import Card
    from smithers_nb.present.report.exporter import ReportExporter

_HINTS: Final = {
    errno.ENOSPC: "the disk is full: free some space, or write the report elsewhere",
    errno.EDQUOT: "your quota is used up: free some space, or write the report elsewhere",
    errno.EFBIG: "the file would be larger than allowed here: raise the limit (ulimit -f), or write the report elsewhere",
    errno.EACCES: "you may not write there: choose another folder",
    errno.EPERM: "you may not write there: choose another folder",
    errno.EROFS: "that file system is read-only: choose another folder",
    errno.EISDIR: "that is a folder: name a file",
    errno.ENOTDIR: "a part of that path is a file: choose another folder",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
}

_of_thread: Final = threading.local()
_NO_NOTEBOOK: Final = "execute it again, or name another notebook"


def write_report(notebook: Path | NotebookNode, target: Path, *, title: str = "", subtitle: str = "", lead: Card | None = None) -> Path:
    """Write the report of a notebook.

    Args:
        notebook: The executed notebook, or the path of its file. It may have stopped with an error.
        target: File to write; its folder is made when it is missing.
        title: Heading of the page; without it, the notebook's own first heading.
        subtitle: A line under the heading.
        lead: A card that comes before everything else; without it, a notebook that stopped gets a banner that says where and why.

    Returns:
        `target`.

    Raises:
        ReportError: The notebook cannot be read, or the file cannot be written; nothing half-written is left.
    """
    node = redact_notebook(_read(notebook) if isinstance(notebook, Path) else notebook)
    page = _exporter().page(node, title=title or first_heading(node) or target.stem, subtitle=subtitle, lead=lead.html if lead else None)
    _write(target, page)
    return target


def warm_up() -> None:
    """Import and read what the first report needs; worth calling while a kernel works, because it takes a third of a second."""
    import mistune  # noqa: F401

    from smithers_nb.present.report import exporter

    exporter.warm_up()


def _exporter() -> ReportExporter:
    """Keep one exporter per thread: it has the template compiled, and knows nothing of the pages it wrote."""
    from smithers_nb.present.report.exporter import ReportExporter

    if not hasattr(_of_thread, "exporter"):
        _of_thread.exporter = ReportExporter()
    exporter: ReportExporter = _of_thread.exporter
    return exporter


def redact_notebook(notebook: NotebookNode) -> NotebookNode:
    """Copy a notebook without secrets in sources, outputs and parameters; pictures stay as they are."""
    from nbformat import from_dict

    plain: dict[str, Any] = {**notebook, "metadata": redact_value(notebook.get("metadata", {}))}
    plain["cells"] = [_redacted_cell(cell) for cell in notebook["cells"]]
    return from_dict(plain)


def first_heading(notebook: NotebookNode) -> str:
    """Find the notebook's title: the first top heading of its text."""
    lines = (line for cell in notebook.cells if cell.cell_type == "markdown" for line in str(cell.source).splitlines())
    return next((visible(line[2:].strip()) for line in lines if line.startswith("# ")), "")


def _write(target: Path, page: str) -> None:
    try:
        write_whole(target, page.encode("utf-8", "replace"))
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        hint = _HINTS.get(error.errno or 0, "choose another place for the report")
        raise ReportError(f"the report {target} could not be written: {reason}", hint=hint) from error


def _read(path: Path) -> NotebookNode:
    import nbformat

    try:
        node = nbformat.read(path, as_version=4)
        if not all(isinstance(cell["source"], str) for cell in node.cells):
            raise ReportError(f"the notebook {path} cannot be read: its cells are none", hint=_NO_NOTEBOOK)
    # nbformat checks little before it converts, so that a file of another kind shows itself as a missing key or attribute
    except (OSError, ValueError, AttributeError, KeyError, TypeError, nbformat.ValidationError) as error:
        raise ReportError(f"the notebook {path} cannot be read: {visible(clip(str(error), 200))}", hint=_NO_NOTEBOOK) from error
    return node


def _redacted_cell(cell: Any) -> dict[str, Any]:
    kept = {**cell, "source": redact("".join(cell["source"])), "metadata": redact_value(cell.get("metadata", {}))}
    if cell.get("outputs"):
        kept["outputs"] = [_redacted_output(output) for output in cell["outputs"]]
    return kept


def _redacted_output(output: Any) -> dict[str, Any]:
    kept = {**output}
    if "data" in kept:
        kept["data"] = {
            mimetype: value if mimetype.startswith("image/") else _redacted_data(value) for mimetype, value in kept["data"].items()
        }
    for name in ("text", "ename", "evalue"):
        if name in kept:
            kept[name] = _redacted_data(kept[name])
    if "traceback" in kept:
        kept["traceback"] = redact("\n".join(kept["traceback"])).split("\n")
    return kept


def _redacted_data(value: Any) -> Any:
    """A text kept as a list of lines is redacted as a whole, because a secret may span lines."""
    if isinstance(value, list) and all(isinstance(line, str) for line in value):
        return redact("".join(value))
    return redact_value(value)
