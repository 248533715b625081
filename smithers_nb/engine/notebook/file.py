"""A notebook as a file, before anything of it is executed: is it one, and what does it take?

Read as JSON and as Python syntax, never run: what `up` refuses, it refuses at once and without a kernel.
"""

from __future__ import annotations

import ast
import io
import tokenize
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from smithers_nb.errors import ParameterError

_MAX_BYTES: Final = 200_000_000
_TAG: Final = "parameters"
_CELL_TYPES: Final = ("code", "markdown", "raw")


@dataclass(frozen=True)
class Parameter:
    """One name that a notebook takes.

    Attributes:
        annotation: Its type as written; None when none is.
        default: Its default, when that is a literal; None otherwise.
        has_literal: Whether the default is a literal.
        meaning: The comment beside it.
    """

    name: str
    annotation: ast.expr | None
    default: Any
    has_literal: bool
    meaning: str = ""


@dataclass(frozen=True)
class RunFile:
    """What is known about a notebook without running it.

    Attributes:
        path: Its file, absolute.
        settings: The metadata `smithers_nb`: `workflow`, `title`, `hidden`, `parameters`, `nodes`.
        language: Language of its kernel; `python` when it names none.
        parameters: The names of its `parameters` cell; None when it has no such cell.
    """

    path: Path
    settings: dict[str, Any] = field(default_factory=dict)
    language: str = "python"
    parameters: dict[str, Parameter] | None = None

    @property
    def workflow(self) -> str:
        """Name of the workflow, from the metadata or else the file name."""
        named = self.settings.get("workflow")
        return named if isinstance(named, str) and named.strip() else self.path.stem


def read_notebook(path: str | Path) -> RunFile:
    """Read and validate a notebook without running it.

    Raises:
        ParameterError: It does not exist, cannot be read, is not a notebook of nbformat 4, or has no code.
    """
    file = Path(path).expanduser().absolute()
    document = _document(file)
    cells = document["cells"]
    if not any(cell.get("cell_type") == "code" and _source(cell).strip() for cell in cells):
        raise ParameterError(f"{file} has no code to execute", hint="give a notebook with at least one code cell")
    metadata = _mapping(document.get("metadata"))
    language = _language(metadata)
    tagged = next((cell for cell in cells if cell.get("cell_type") == "code" and _TAG in _tags(cell)), None)
    found = None if tagged is None else _parameters(_source(tagged)) if language == "python" else {}
    return RunFile(file, _mapping(metadata.get("smithers_nb")), language, found)


def code_cells(path: str | Path) -> dict[str, str]:
    """Read the code of a notebook: source by cell id, or by `cell-N` where cells have no ids.

    Raises:
        ParameterError: It does not exist or is not a notebook.
    """
    cells = [cell for cell in _document(Path(path).expanduser().absolute())["cells"] if cell.get("cell_type") == "code"]
    return {str(cell.get("id") or f"cell-{number}"): _source(cell) for number, cell in enumerate(cells, 1)}


def _document(file: Path) -> dict[str, Any]:
    try:
        if not file.is_file():
            kind = "is a folder" if file.is_dir() else "is not a regular file" if file.exists() else "does not exist"
            raise ParameterError(f"{file} {kind}", hint="give a notebook, such as notebooks/autopsy.ipynb")
        if file.stat().st_size > _MAX_BYTES:
            raise ParameterError(f"{file} is larger than {_MAX_BYTES // 1_000_000} MB", hint="clear its outputs")
        document = orjson.loads(file.read_bytes())
    except orjson.JSONDecodeError as error:
        raise ParameterError(f"{file} is not a notebook: not JSON ({error})", hint="give a file that Jupyter has saved") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ParameterError(f"{file} cannot be read: {reason}", hint="check its name and permissions") from None
    if not isinstance(document, dict) or "nbformat" not in document:
        raise ParameterError(f"{file} is not a notebook: it has no nbformat", hint="give a file that Jupyter has saved")
    if document["nbformat"] != 4:  # noqa: PLR2004  # the format that papermill executes
        shown = str(document["nbformat"])[:20]
        raise ParameterError(
            f"{file} has nbformat {shown}; only 4 can be executed", hint="open it in Jupyter and save it: that converts it"
        )
    cells = document.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise ParameterError(f"{file} is not a notebook: it has no list of cells", hint="give a file that Jupyter has saved")
    for number, cell in enumerate(cells, 1):
        problem = _problem_of(cell)
        if problem:
            raise ParameterError(
                f"{file} is not a valid notebook: cell {number} {problem}", hint="open it in Jupyter and save it, or fix it by hand"
            )
    return document


def _problem_of(cell: dict[str, Any]) -> str | None:
    """Return what prevents a cell from being executed; None when nothing does. Missing parts that can be filled in are accepted."""
    kind, source = cell.get("cell_type"), cell.get("source")
    if kind not in _CELL_TYPES:
        return "has no type" if kind is None else f"is of type {str(kind)[:20]!r}, not one of {', '.join(_CELL_TYPES)}"
    if source is None:
        return "has no source"
    if not isinstance(source, str) and not (isinstance(source, list) and all(isinstance(line, str) for line in source)):
        return "has a source that is not text"
    if not isinstance(cell.get("metadata", {}), dict):
        return "has metadata that is not an object"
    outputs = cell.get("outputs", [])
    if not isinstance(outputs, list) or not all(isinstance(output, dict) and "output_type" in output for output in outputs):
        return "has outputs that are not a list of outputs"
    return None


def _parameters(source: str) -> dict[str, Parameter]:
    """Read the parameters of a `parameters` cell; only plain assignments count."""
    try:
        body = ast.parse(source).body
    except (SyntaxError, ValueError):  # line magics, or an error that its execution will report
        return {}
    comments = _comments(source)
    found = {}
    for line in body:
        target = line.target if isinstance(line, ast.AnnAssign) else line.targets[0] if isinstance(line, ast.Assign) else None
        if isinstance(target, ast.Name) and isinstance(line, ast.Assign | ast.AnnAssign):
            annotation = line.annotation if isinstance(line, ast.AnnAssign) else None
            value, literal = _literal(line.value)
            found[target.id] = Parameter(target.id, annotation, value, literal, comments.get(line.end_lineno or 0, ""))
    return found


def _literal(value: ast.expr | None) -> tuple[Any, bool]:
    try:
        return (None, False) if value is None else (ast.literal_eval(value), True)
    except (ValueError, TypeError, SyntaxError, RecursionError):
        return None, False


def _comments(source: str) -> dict[int, str]:
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return {}
    return {token.start[0]: token.string.lstrip("# ").strip() for token in tokens if token.type == tokenize.COMMENT}


def _language(metadata: dict[str, Any]) -> str:
    kernel, language = _mapping(metadata.get("kernelspec")), _mapping(metadata.get("language_info"))
    return str(kernel.get("language") or language.get("name") or "python").lower()


def _tags(cell: dict[str, Any]) -> list[Any]:
    tags = _mapping(cell.get("metadata")).get("tags")
    return tags if isinstance(tags, list) else []


def _source(cell: dict[str, Any]) -> str:
    source = cell.get("source", "")
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
