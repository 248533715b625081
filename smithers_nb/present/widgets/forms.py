"""A form for an answer, from the JSON schema of the answer.

Choices, yes or no, numbers, text and lists of text get a control of their own; everything else is written as JSON. Nothing is
preset: an answer that nobody gave must not be one click away.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from smithers_nb.errors import ParameterError

_WIDE: Final = {"width": "auto", "max_width": "46em"}
# Fields are sent when they are left (`continuous_update=False`): sent with every key, the last ones may come after the click.


class Form(NamedTuple):
    """A control and how its answer is read.

    Attributes:
        widget: The ipywidgets control.
        read: Gives the answer as JSON; raises `ParameterError` when it is none.
        hint: How to fill it in.
    """

    widget: Any
    read: Callable[[], Any]
    hint: str = ""


def form_of(schema: Mapping[str, Any], options: Sequence[str] | None = None) -> Form:
    """Choose the control that fits a schema."""
    choices = list(options) if options else schema.get("enum")
    if choices:
        return _choice({str(choice): choice for choice in choices})
    kind = schema.get("type")
    if kind == "array":
        return _lines() if schema.get("items", {}).get("type") == "string" else _json(schema)
    return _FORMS.get(str(kind), _json)(schema)


def _choice(choices: Mapping[str, Any]) -> Form:
    import ipywidgets as widgets

    control = widgets.RadioButtons(options=list(choices), value=None, description="Answer")

    def read() -> Any:
        if control.value is None:
            raise ParameterError("choose one of the answers first")
        return choices[control.value]

    return Form(control, read)


def _number(read_as: Callable[[str], float], name: str) -> Callable[[Mapping[str, Any]], Form]:
    def form(_: Mapping[str, Any]) -> Form:
        import ipywidgets as widgets

        control = widgets.Text(description="Answer", placeholder=name, layout=_WIDE, continuous_update=False)

        def read() -> Any:
            try:
                return read_as(control.value.strip())
            except ValueError:
                raise ParameterError(f"{control.value.strip()!r} is no {name}" if control.value.strip() else f"give a {name}") from None

        return Form(control, read, f"Give a {name}.")

    return form


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def _text(_: Mapping[str, Any]) -> Form:
    import ipywidgets as widgets

    control = widgets.Textarea(description="Answer", layout=_WIDE, continuous_update=False)

    def read() -> str:
        if not control.value.strip():
            raise ParameterError("write an answer first")
        return str(control.value)

    return Form(control, read)


def _lines() -> Form:
    import ipywidgets as widgets

    control = widgets.Textarea(description="Answer", layout=_WIDE, continuous_update=False)
    return Form(control, lambda: [line.strip() for line in control.value.splitlines() if line.strip()], "One per line.")


def _json(schema: Mapping[str, Any]) -> Form:
    import ipywidgets as widgets

    control = widgets.Textarea(
        description="Answer", placeholder=_example(schema), layout=_WIDE | {"height": "8em"}, continuous_update=False
    )

    def read() -> Any:
        try:
            return orjson.loads(control.value)
        except orjson.JSONDecodeError as error:
            raise ParameterError(f"the answer is not valid JSON: {error}", hint=f"write it like {_example(schema)}") from None

    return Form(control, read, f"Write JSON, like {_example(schema)}")


def _example(schema: Mapping[str, Any]) -> str:
    """Write down what an answer looks like: its fields and their types."""
    fields = {name: str(part.get("type") or part.get("enum") or "…") for name, part in schema.get("properties", {}).items()}
    return orjson.dumps(fields).decode() if fields else str(schema.get("type") or "JSON")


_FORMS: Final[dict[str, Callable[[Mapping[str, Any]], Form]]] = {
    "boolean": lambda _: _choice({"Yes": True, "No": False}),
    "integer": _number(int, "whole number"),
    "number": _number(_finite, "number"),
    "string": _text,
}
