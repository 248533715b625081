"""Checks the parameters of a run against its notebook before anything starts.

papermill only warns about an unknown name, and runs with the default. Here an unknown name is an error that lists the known ones, and a
value must fit the annotation, the type of the default, or the pydantic model named in the notebook's metadata.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
from pydantic import BaseModel, TypeAdapter, ValidationError

from smithers_nb.engine.notebook.executor import validated
from smithers_nb.errors import ParameterError

if TYPE_CHECKING:
    from smithers_nb.engine.notebook.file import Parameter, RunFile

_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")
_TYPES: Final[dict[str, Any]] = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict, "None": None, "Any": Any}


class Words(str):
    """A value as typed on a command line; how it is parsed depends on its parameter."""

    __slots__ = ()


def checked(notebook: RunFile, given: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Check and convert the parameters of a run.

    Args:
        notebook: The notebook.
        given: Values by name: JSON values, or `Words` of a command line.
        root: The project's folder, from which a notebook's own model is imported.

    Returns:
        JSON values by name; parameters that were not given keep the notebook's defaults.

    Raises:
        ParameterError: A name is unknown, or a value is missing or invalid.
    """
    model = notebook.settings.get("parameters")
    if model is not None:
        found = _model(str(model), root, notebook)
        return _as_model(found, _with_own_spelling(given, found.model_fields))
    if not given:
        return {}
    if notebook.parameters is None:
        raise ParameterError(
            f"{notebook.path.name} takes no parameters: it has no cell tagged `parameters`",
            hint="tag the cell that sets them (in JupyterLab: property inspector, Cell Tags)",
        )
    if notebook.language != "python":
        return {name: _plain(value) for name, value in _with_own_spelling(given, notebook.parameters).items()}
    known = notebook.parameters
    given = _with_own_spelling(given, known)
    return {name: _fitting(_find(name, known, notebook), value) for name, value in given.items()}


def plain_value(text: str) -> Any:
    """Parse a command-line value as papermill does: true, false, none, a number, otherwise text."""
    words: dict[str, Any] = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        number = int(text) if text.lstrip("+-").isdigit() else float(text)
    except ValueError:
        return str(text)
    return number if isinstance(number, int) or abs(number) < float("inf") else str(text)


def _with_own_spelling(given: Mapping[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Rename parameters to the notebook's spelling: Smithers' workflows write `targetRunId` for `target_run_id`.

    Raises:
        ParameterError: A parameter is given in both spellings.
    """
    own = {_snake_case(name): name for name in known}
    spelled: dict[str, Any] = {}
    for name, value in given.items():
        found = name if name in known else own.get(_snake_case(name), name)
        if found in spelled:
            raise ParameterError(f"{found!r} is given twice, also as {name[:60]!r}", hint="leave one of them out")
        spelled[found] = value
    return spelled


def _snake_case(name: str) -> str:
    return "_".join(word.lower() for word in _WORD.findall(name))


def _find(name: str, known: Mapping[str, Parameter], notebook: RunFile) -> Parameter:
    if name in known:
        return known[name]
    close = get_close_matches(name, known, n=1)
    listed = ", ".join(known) or "none"
    raise ParameterError(
        f"{notebook.path.name} has no parameter {name[:60]!r}" + (f"; did you mean {close[0]!r}?" if close else ""),
        hint=f"its parameters are {listed}",
    )


def _fitting(parameter: Parameter, value: Any) -> Any:
    kind = _kind(parameter)
    adapter: TypeAdapter[Any] = TypeAdapter(kind)
    try:
        return _json(_parse_words(adapter, kind, value) if isinstance(value, Words) else adapter.validate_python(value))
    except ValidationError as error:
        asked = ast.unparse(parameter.annotation) if parameter.annotation else f"a value like {parameter.default!r}"
        problem = error.errors()[0]["msg"]
        raise ParameterError(
            f"parameter {parameter.name!r}: {problem[:1].lower()}{problem[1:]}, got {str(value)[:60]!r}", hint=f"it takes {asked}"
        ) from None


def _parse_words(adapter: TypeAdapter[Any], kind: Any, text: Words) -> Any:
    """Parse a command-line value as a type; lists and objects are JSON."""
    if kind is Any:
        return _json_or_text(text)
    for reading in (_json_or_text(text), str(text)):
        try:
            return adapter.validate_python(reading, strict=isinstance(reading, str | bool))
        except ValidationError:
            continue
    return adapter.validate_python(str(text))


def _json_or_text(text: str) -> Any:
    if text[:1] in "[{":
        try:
            return orjson.loads(str(text))
        except orjson.JSONDecodeError:
            return str(text)
    return plain_value(text)


def _kind(parameter: Parameter) -> Any:
    """Return the type of a parameter, from its annotation or its default."""
    kind = _type_of(parameter.annotation) if parameter.annotation is not None else _type_of_default(parameter.default)
    if kind is Any or not parameter.has_literal or parameter.default is not None:
        return kind
    return kind | None  # `source: str = None` accepts None too


def _type_of_default(default: Any) -> Any:
    kind = type(default)
    if kind is int:
        return int | float
    return kind if kind in (bool, float, str, list, dict) else Any


def _type_of(node: ast.expr) -> Any:  # noqa: PLR0911  # one line for each spelling
    """Return the type of a common annotation; `Any` for any other."""
    match node:
        case ast.Constant(value=None):
            return type(None)
        case ast.Constant(value=str(text)):
            return _type_of(ast.parse(text, mode="eval").body) if text.isidentifier() else Any
        case ast.Name(id=name):
            return _TYPES.get(name, Any)
        case ast.Subscript(value=ast.Name(id="Optional"), slice=inner):
            return _either(_type_of(inner), type(None))
        case ast.Subscript(value=ast.Name(id="list" | "List"), slice=inner):
            return list[_type_of(inner)]  # type: ignore[misc]
        case ast.Subscript(value=ast.Name(id="dict" | "Dict")):
            return dict
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _either(_type_of(left), _type_of(right))
    return Any


def _either(one: Any, other: Any) -> Any:
    return Any if Any in (one, other) else one | other


def _as_model(model: type[BaseModel], given: Mapping[str, Any]) -> dict[str, Any]:
    read = {name: _for_field(model, name, value) if isinstance(value, Words) else value for name, value in given.items()}
    return dict(validated(model, read).model_dump(mode="json", exclude_unset=True))


def _for_field(model: type[BaseModel], name: str, text: Words) -> Any:
    """Parse a command-line value for a field of a model; a text field takes it as it is."""
    found = model.model_fields.get(name) or next((field for field in model.model_fields.values() if field.alias == name), None)
    return str(text) if found is not None and found.annotation in (str, str | None) else _json_or_text(text)


def _model(name: str, root: Path, notebook: RunFile) -> type[BaseModel]:
    """Import the model named by a notebook as its kernel would: from its project first, then from installed packages."""
    module, _, attribute = name.partition(":")
    before = list(sys.path)
    sys.path[:0] = [str(root), str(notebook.path.parent)]
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:
        raise ParameterError(
            f"{notebook.path.name} names {name[:80]!r} as the model of its parameters, which cannot be imported: {error}",
            hint="its metadata `smithers_nb.parameters` is MODULE:MODEL",
        ) from error
    finally:
        sys.path[:] = before
    if not (isinstance(found, type) and issubclass(found, BaseModel)):
        raise ParameterError(f"{name[:80]!r} is not a pydantic model", hint="its metadata `smithers_nb.parameters` is MODULE:MODEL")
    return found


def _plain(value: Any) -> Any:
    return _json(_json_or_text(value) if isinstance(value, Words) else value)


def _json(value: Any) -> Any:
    """Return a value as the journal stores it."""
    try:
        return orjson.loads(orjson.dumps(value))
    except (TypeError, orjson.JSONEncodeError) as error:
        raise ParameterError(f"{str(value)[:60]!r} is not a JSON value: {error}", hint="give text, numbers, lists or objects") from None
