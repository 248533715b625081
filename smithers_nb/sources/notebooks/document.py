"""A notebook file as code cells with what stands around them, whatever version of the format wrote it.

Gets bytes and gives a `Document`. Nothing is validated: every part may be missing or of another type, as in files that other programs
and people have edited. nbformat, which validates and converts, takes ten times longer than reading a folder of runs may.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

import orjson

_BOM: Final = b"\xef\xbb\xbf"
_COMMENT: Final = re.compile(r"#(?!!)|//|--\s|;")
_ANSI: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?")
DATABRICKS: Final = "application/vnd.databricks.v1+notebook"
"""Key of the metadata of a notebook that Databricks exported."""

_DATABRICKS_OUTPUT: Final = "application/vnd.databricks.v1+output"
_ERRORS: Final = frozenset({"error", "pyerr"})
Json = Mapping[str, Any]

_NOTHING: Final[Json] = {}
_PAPERMILL_BANNER: Final = "papermill-error-cell"


class NotANotebook(ValueError):
    """The bytes are not a notebook; the message says what they are instead."""


@dataclass(eq=False, slots=True)
class Cell:
    """One code cell; there are many, so what costs time is looked up when it is asked for.

    Attributes:
        index: Its number among the code cells, from 0, as in `cell:3`.
        source: Its code.
        count: Execution count; None where it was never given or was stripped.
        outputs: Its outputs as they are stored.
        metadata: Its metadata.
        papermill: What papermill noted of it; empty without papermill.
        execution: The times of the kernel's messages that nbclient or JupyterLab noted.
        errors: Its outputs that are errors, in the form of this format's version.
        is_empty: Nothing in it can run: no code, or comments only.
        databricks_errors: What Databricks noted of errors; an empty one is none.
        around: All cells of the file, and its place among them.
    """

    index: int
    source: str
    count: int | None
    outputs: tuple[Json, ...]
    metadata: Json
    papermill: Json = field(default_factory=lambda: _NOTHING)
    execution: Json = field(default_factory=lambda: _NOTHING)
    errors: tuple[Json, ...] = ()
    is_empty: bool = False
    databricks_errors: tuple[Json, ...] = ()
    around: tuple[Sequence[Json], int] = ((), 0)

    @property
    def node_id(self) -> str:
        """Its name as a node of the run."""
        return f"cell:{self.index}"

    @property
    def tags(self) -> frozenset[str]:
        """Its tags."""
        tags = self.metadata.get("tags")
        return frozenset(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else frozenset()

    @property
    def before(self) -> str:
        """Markdown right before it, without the banners that papermill puts there."""
        return _words(*self.around, -1)

    @property
    def after(self) -> str:
        """Markdown right after it."""
        return _words(*self.around, 1)

    @property
    def is_blamed(self) -> bool:
        """The banner that papermill puts before the cell whose error output made it fail stands right before it."""
        raw, place = self.around
        return place > 0 and _PAPERMILL_BANNER in text_of(raw[place - 1].get("source"))

    def streams(self, name: str | None = None) -> str:
        """Return what it printed, on one stream or on both, without colours and without what a progress bar overwrote."""
        texts = (
            text_of(output.get("text"))
            for output in self.outputs
            if output.get("output_type") == "stream" and name in (None, output.get("name") or output.get("stream"))
        )
        return plain("".join(texts))

    def displayed(self) -> Iterator[str]:
        """Yield the plain text of what it displayed."""
        for output in self.outputs:
            if output.get("output_type") in {"display_data", "execute_result", "pyout"}:
                data = mapping(output.get("data"))
                yield plain(text_of(data.get("text/plain") if data else output.get("text")))


@dataclass(frozen=True)
class Document:
    """A notebook.

    Attributes:
        metadata: Metadata of the notebook.
        cells: Its code cells, in the order of the file.
    """

    metadata: Json
    cells: tuple[Cell, ...] = field(default=())

    @cached_property
    def papermill(self) -> Json:
        """What papermill noted of the run."""
        return mapping(self.metadata.get("papermill"))

    @cached_property
    def work(self) -> tuple[Cell, ...]:
        """The code cells that hold something to run."""
        return tuple(cell for cell in self.cells if not cell.is_empty)

    @cached_property
    def has_outputs(self) -> bool:
        """A cell has an output."""
        return any(cell.outputs for cell in self.cells)

    @cached_property
    def is_stripped(self) -> bool:
        """Outputs are there but no execution count is, so that a missing count says nothing."""
        return self.has_outputs and all(cell.count is None for cell in self.cells)


def parse_notebook(content: bytes) -> Document:
    """Read a notebook.

    Raises:
        NotANotebook: It is not valid JSON, or JSON of something else.
    """
    value = _json(content)
    if not isinstance(value, dict):
        raise NotANotebook("it is JSON, but not of a notebook")
    raw = value.get("cells")
    if not isinstance(raw, list):
        sheets = value.get("worksheets")
        if not isinstance(sheets, list):
            raise NotANotebook("it is JSON, but not of a notebook: it has no cells")
        raw = [cell for sheet in sheets for cell in mapping(sheet).get("cells") or () if isinstance(sheet, dict)]
    metadata = mapping(value.get("metadata"))
    return Document(metadata, tuple(_cells([mapping(cell) for cell in raw], databricks=DATABRICKS in metadata)))


def _cells(raw: list[Json], *, databricks: bool) -> Iterator[Cell]:
    index = 0
    for place, cell in enumerate(raw):
        if cell.get("cell_type") != "code":
            continue
        source = text_of(cell["source"] if "source" in cell else cell.get("input"))
        count = cell["execution_count"] if "execution_count" in cell else cell.get("prompt_number")
        listed = cell.get("outputs")
        outputs = tuple([output for output in listed if isinstance(output, dict)]) if listed and isinstance(listed, list) else ()
        metadata = mapping(cell.get("metadata"))
        papermill, execution = metadata.get("papermill"), metadata.get("execution")
        errors = tuple([output for output in outputs if output.get("output_type") in _ERRORS]) if outputs else ()
        yield Cell(
            index,
            source,
            count if isinstance(count, int) and not isinstance(count, bool) else None,
            outputs,
            metadata,
            papermill if isinstance(papermill, dict) else {},
            execution if isinstance(execution, dict) else {},
            errors,
            _is_empty(source),
            _databricks_errors(outputs) if databricks else (),
            (raw, place),
        )
        index += 1


def _is_empty(source: str) -> bool:
    """Return whether a cell holds no code, or comments only."""
    first = source.lstrip()
    if first and not _COMMENT.match(first):
        return False
    return all(not line or _COMMENT.match(line) for line in map(str.strip, source.splitlines()))


def _databricks_errors(outputs: Iterable[Json]) -> tuple[Json, ...]:
    noted = [mapping(mapping(output.get("metadata")).get(_DATABRICKS_OUTPUT)) for output in outputs]
    return tuple(one for one in noted if one.get("type") == "ipynbError" and (one.get("errorSummary") or one.get("data")))


def _words(raw: Sequence[Json], place: int, step: int) -> str:
    """Return the markdown cell that stands before or after a code cell; a banner of papermill is looked through."""
    place += step
    while 0 <= place < len(raw) and raw[place].get("cell_type") != "code":
        text = text_of(raw[place].get("source"))
        if _PAPERMILL_BANNER not in text:
            return text
        place += step
    return ""


def _json(content: bytes) -> Any:
    content = content.removeprefix(_BOM)
    if not content.strip():
        raise NotANotebook("it is empty")
    try:
        return orjson.loads(content)
    except orjson.JSONDecodeError as error:
        told = str(error)
    try:  # NaN and half a surrogate pair, which Python writes and no standard allows
        return json.loads(content.decode("utf-8", "replace"), strict=False)
    except (ValueError, RecursionError):
        cut = content.lstrip()[:1] == b"{" and content.rstrip()[-1:] != b"}"
        raise NotANotebook(f"it is cut off: {told}" if cut else f"it is not valid JSON: {told}") from None


def mapping(value: Any) -> Json:
    """Return a JSON object, an empty one for anything else."""
    return value if isinstance(value, dict) else _NOTHING


def text_of(value: Any) -> str:
    """Return a text that notebooks keep whole or as a list of lines."""
    if isinstance(value, str):
        return value
    if not isinstance(value, list):
        return ""
    try:
        return "".join(value)
    except TypeError:
        return "".join(line for line in value if isinstance(line, str))


def plain(text: str) -> str:
    """Take colours out of a text, and in each line what was overwritten."""
    text = _ANSI.sub("", text) if "\x1b" in text else text
    if "\r" not in text:
        return text
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in text.split("\n"))
