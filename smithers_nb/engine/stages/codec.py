"""Converts stage outputs and answers to rows of JSON and back.

A `Shape` is built from a pydantic model, any type pydantic knows, or nothing (`tagged`: JSON with Python's types). `keep` returns the row
to store and the value read back from it, which is what the stage returns, so that its first run and every later one return the same
thing. Values without a schema do not need pydantic, which takes as long to import as it takes to store a stage.
"""

from __future__ import annotations

import hashlib
import inspect
import sys
import types
import typing
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import orjson

from smithers_nb.engine.stages.tagged import from_json, same, to_json
from smithers_nb.model.finding import Finding

if TYPE_CHECKING:
    from pydantic import TypeAdapter, ValidationError

PLAIN: Final = "json"
"""Name of the shape of a value without a schema."""

_VALUE: Final = "value"  # field for a value that is not an object with named fields
_PROSE: Final = ("title", "description", "examples")  # parts of a JSON schema that do not affect validation
_PROBLEMS: Final = 8
_HINT: Final = "annotate the field with the type of its value, and use None instead of NaN or infinity"


class Shape:
    """The type of a stage's output or of an answer.

    Attributes:
        name: Name of the model; `json` without a schema.
        schema: The type it was built from; None for plain JSON.
    """

    def __init__(self, schema: Any = None) -> None:
        self.schema = schema
        self.name = PLAIN if schema is None else getattr(schema, "__name__", None) or str(schema)
        self._adapter: TypeAdapter[Any] | None = None if schema is None else _adapter_of(schema)

    @classmethod
    def of(cls, function: Callable[..., Any], schema: Any = None) -> Shape:
        """Build a shape from a schema, or from the pydantic model that a function is annotated to return."""
        if schema is None:
            returned = _returned(function)
            schema = returned if _is_model(returned) else None
        return cls(schema)

    @property
    def described(self) -> str:
        """The shape as a phrase for messages."""
        return "JSON" if self._adapter is None else f"a {self.name}"

    @cached_property
    def json_schema(self) -> dict[str, Any]:
        """The shape as a JSON schema; empty when anything fits, or JSON schema cannot express it."""
        if self._adapter is None:
            return {}
        from pydantic.errors import PydanticUserError

        try:
            return self._adapter.json_schema()
        except PydanticUserError:
            return {}

    @cached_property
    def digest(self) -> str:
        """Digest of the shape, without titles and descriptions."""
        canonical = orjson.dumps([self.name, _without_prose(self.json_schema)], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(canonical).hexdigest()[:16]

    def keep(self, value: Any) -> tuple[dict[str, Any], Any]:
        """Return the row of a value, and the value read back from it, which every later execution gets.

        Raises:
            ValueError: The value does not fit, or would be read back as something else; one line per field says where, and what to do.
        """
        if self._adapter is None:
            row = {_VALUE: to_json(value)}
            return row, self.unpack(row)
        from pydantic import ValidationError
        from pydantic.errors import PydanticUserError

        try:
            fitting = self._adapter.validate_python(value)
            text = self._adapter.dump_json(fitting, by_alias=True, round_trip=True)
        except ValidationError as error:
            raise ValueError(in_words(error)) from None
        except (TypeError, ValueError, PydanticUserError) as error:  # ValueError: what pydantic raises when it cannot serialise
            raise ValueError(str(error)) from None
        if b"\\u0000" in text:
            raise ValueError("it: a text in it has a NUL character, which databases cannot store; remove it")
        packed = orjson.loads(text)
        row = packed if self._is_object else {_VALUE: packed}
        try:
            again = self.unpack(row)
        except ValueError as error:
            raise ValueError(f"it could not be read back from JSON: {error}") from None
        self._refuse_another(fitting, again)
        return row, again

    def unpack(self, row: Mapping[str, Any]) -> Any:
        """Return the value of a row.

        Raises:
            ValueError: The row does not fit; one line per field says where.
        """
        if self._adapter is None:
            return from_json(row.get(_VALUE))
        return self.read(dict(row) if self._is_object else row.get(_VALUE))

    def read(self, value: Any) -> Any:
        """Convert plain JSON, such as a person's answer, to a value of this shape.

        Raises:
            ValueError: It does not fit; one line per field says where.
        """
        if self._adapter is None:
            return value
        from pydantic import ValidationError

        try:
            return self._adapter.validate_json(orjson.dumps(value))
        except ValidationError as error:
            raise ValueError(in_words(error)) from None

    def _refuse_another(self, value: Any, again: Any) -> None:
        """Refuse a value that would be read back differently; fields that a model excludes from its JSON do not count."""
        if same(value, again):
            return
        if type(value) is not type(again) and self._is_object:
            given = type(value).__name__
            raise ValueError(f"it: a {given} would come back as a {type(again).__name__}; give `schema={given}`")
        assert self._adapter is not None  # for mypy: plain values are compared in `tagged`
        old, new = (self._adapter.dump_python(one, serialize_as_any=True, warnings=False) for one in (value, again))
        if same(old, new):
            return
        both = isinstance(old, dict) and isinstance(new, dict)
        names = [str(name) for name in old if name not in new or not same(old[name], new[name])] if both else ["it"]
        raise ValueError("\n".join(f"{name}: it would come back as something else; {_HINT}" for name in names[:_PROBLEMS]))

    @property
    def _is_object(self) -> bool:
        return _is_model(self.schema) and not issubclass(self.schema, sys.modules["pydantic"].RootModel)


def _adapter_of(schema: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(schema)


def _returned(function: Callable[..., Any]) -> Any:
    """Return the annotated return type of a function, without resolving the annotations of its parameters."""
    try:
        alone = types.SimpleNamespace(__annotations__={"return": getattr(function, "__annotations__", {}).get("return")})
        return typing.get_type_hints(alone, getattr(inspect.unwrap(function), "__globals__", {}))["return"]
    except (NameError, TypeError, AttributeError, SyntaxError, ValueError):  # the annotation cannot be resolved
        return None


def _is_model(schema: Any) -> bool:
    """Return whether a type is a finding or a pydantic model; if pydantic is not fully imported, nothing is a model."""
    models = (Finding, getattr(sys.modules.get("pydantic"), "BaseModel", Finding))
    return inspect.isclass(schema) and issubclass(schema, models)


def in_words(error: ValidationError) -> str:
    """Return what does not fit, one line per field."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(str(part) for part in problem['loc']) or 'it'}: {problem['msg']}" for problem in problems[:_PROBLEMS]]
    return "\n".join([*lines, *([f"and {len(problems) - _PROBLEMS} more"] if len(problems) > _PROBLEMS else [])])


def _without_prose(schema: Any) -> Any:
    if isinstance(schema, dict):  # a field may be called `title`: a description is text, a field is an object
        return {key: _without_prose(part) for key, part in schema.items() if not (key in _PROSE and not isinstance(part, dict))}
    return [_without_prose(part) for part in schema] if isinstance(schema, list) else schema
