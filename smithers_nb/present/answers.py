"""What an answer to a question has to look like, and how it is read from what a person typed or chose.

The forms in JupyterLab (`present.widgets.forms`) and on live pages (`workflows.live.forms`) are made from the same fields.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from smithers_nb.errors import ParameterError


class Field(NamedTuple):
    """One answer.

    Attributes:
        choices: What can be chosen, label to value; empty when it is typed.
        read: Turns a label or text into the answer as JSON; None is nothing chosen. Raises `ParameterError` when it does not fit.
        hint: How to fill it in.
        placeholder: An example of it.
        is_long: Whether it may need several lines.
    """

    read: Callable[[str | None], Any]
    choices: Mapping[str, Any] = {}  # of a tuple, so nobody changes it
    hint: str = ""
    placeholder: str = ""
    is_long: bool = True


def field_of(schema: Mapping[str, Any], options: Sequence[str] | None = None) -> Field:
    """Choose the field that fits the JSON schema of an answer, or its options."""
    choices = list(options) if options else schema.get("enum")
    if choices:
        return _choice({str(choice): choice for choice in choices})
    kind = schema.get("type")
    if kind == "boolean":
        return _choice({"Yes": True, "No": False})
    if kind in _NUMBERS:
        return _number(*_NUMBERS[str(kind)])
    if kind == "string":
        return Field(_text)
    if kind == "array" and schema.get("items", {}).get("type") == "string":
        return Field(_lines, hint="One per line.")
    return _json(schema)


def _choice(choices: Mapping[str, Any]) -> Field:
    def read(label: str | None) -> Any:
        if label is None or label not in choices:
            raise ParameterError("choose one of the answers first")
        return choices[label]

    return Field(read, choices)


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


_NUMBERS: Final[dict[str, tuple[Callable[[str], float], str]]] = {"integer": (int, "whole number"), "number": (_finite, "number")}


def _number(convert: Callable[[str], float], name: str) -> Field:
    def read(text: str | None) -> float:
        typed = (text or "").strip()
        try:
            return convert(typed)
        except ValueError:
            raise ParameterError(f"{typed!r} is no {name}" if typed else f"give a {name}") from None

    return Field(read, hint=f"Give a {name}.", placeholder=name, is_long=False)


def _text(text: str | None) -> str:
    if not (text or "").strip():
        raise ParameterError("write an answer first")
    return str(text)


def _lines(text: str | None) -> list[str]:
    return [line.strip() for line in (text or "").splitlines() if line.strip()]


def _json(schema: Mapping[str, Any]) -> Field:
    example = _example(schema)

    def read(text: str | None) -> Any:
        try:
            return orjson.loads(text or "")
        except orjson.JSONDecodeError as error:
            raise ParameterError(f"the answer is not valid JSON: {error}", hint=f"write it like {example}") from None

    return Field(read, hint=f"Write JSON, like {example}", placeholder=example)


def _example(schema: Mapping[str, Any]) -> str:
    """Write down what an answer looks like: its fields and their types."""
    fields = {name: str(part.get("type") or part.get("enum") or "…") for name, part in schema.get("properties", {}).items()}
    return orjson.dumps(fields).decode() if fields else str(schema.get("type") or "JSON")
