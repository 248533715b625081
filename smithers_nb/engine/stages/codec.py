"""How what a stage returns, or a person answers, becomes a row of JSON and the same value again.

A `Shape` is made from a pydantic model, from any type pydantic knows, or from nothing (`tagged`: JSON with Python's types). `keep`
gives the row that is kept and the value made of it, which a stage returns, so its first run and every later one return the same thing.
Values without a schema need no pydantic, which takes as long to import as a stage takes to be kept.
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

_VALUE: Final = "value"  # field of a row that holds what is no object of named fields
_PROSE: Final = ("title", "description", "examples")  # parts of a JSON schema that change nothing about what fits it
_PROBLEMS: Final = 8
_INSTEAD: Final = "annotate the field with the type that it holds, and give None instead of NaN or infinity"


class Shape:
    """The form of a stage's output or of an answer.

    Attributes:
        name: The model's name, `json` without a schema.
        schema: The type it was made from; None for plain JSON.
    """

    def __init__(self, schema: Any = None) -> None:
        self.schema = schema
        self.name = PLAIN if schema is None else getattr(schema, "__name__", None) or str(schema)
        self._adapter: TypeAdapter[Any] | None = None if schema is None else _adapter_of(schema)

    @classmethod
    def of(cls, function: Callable[..., Any], schema: Any = None) -> Shape:
        """Take the schema that is given, or the pydantic model that a function says it returns."""
        if schema is None:
            returned = _returned(function)
            schema = returned if _is_model(returned) else None
        return cls(schema)

    @property
    def described(self) -> str:
        """The shape in words."""
        return "JSON" if self._adapter is None else f"a {self.name}"

    @cached_property
    def json_schema(self) -> dict[str, Any]:
        """The shape as JSON schema; empty when anything fits or JSON schema has no word for it."""
        if self._adapter is None:
            return {}
        from pydantic.errors import PydanticUserError

        try:
            return self._adapter.json_schema()
        except PydanticUserError:
            return {}

    @cached_property
    def digest(self) -> str:
        """Fingerprint of the shape; wording of titles and descriptions does not count."""
        canonical = orjson.dumps([self.name, _without_prose(self.json_schema)], option=orjson.OPT_SORT_KEYS)
        return hashlib.sha256(canonical).hexdigest()[:16]

    def keep(self, value: Any) -> tuple[dict[str, Any], Any]:
        """Turn a value into its row, and the row into the value that every later execution gets.

        Raises:
            ValueError: It does not fit, or would come back as something else; one line per field says where, and what to do.
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
        except (TypeError, ValueError, PydanticUserError) as error:  # ValueError: pydantic's own, of what it cannot write
            raise ValueError(str(error)) from None
        if b"\\u0000" in text:
            raise ValueError("it: a text in it has a NUL character, which databases do not keep; take it out")
        packed = orjson.loads(text)
        row = packed if self._is_object else {_VALUE: packed}
        try:
            again = self.unpack(row)
        except ValueError as error:
            raise ValueError(f"it could not be read back from JSON: {error}") from None
        self._refuse_another(fitting, again)
        return row, again

    def unpack(self, row: Mapping[str, Any]) -> Any:
        """Turn a row into its value.

        Raises:
            ValueError: It does not fit; one line per field says where.
        """
        if self._adapter is None:
            return from_json(row.get(_VALUE))
        return self.read(dict(row) if self._is_object else row.get(_VALUE))

    def read(self, value: Any) -> Any:
        """Turn plain JSON, such as a person's answer, into a value of this shape.

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
        """Refuse a value that would not come back as it is; fields that a model leaves out of its JSON on purpose do not count."""
        if same(value, again):
            return
        if type(value) is not type(again) and self._is_object:
            given = type(value).__name__
            raise ValueError(f"it: a {given} would come back as a {type(again).__name__}; give `schema={given}`")
        assert self._adapter is not None  # for mypy: plain values are compared where they are packed
        old, new = (self._adapter.dump_python(one, serialize_as_any=True, warnings=False) for one in (value, again))
        if same(old, new):
            return
        both = isinstance(old, dict) and isinstance(new, dict)
        names = [str(name) for name in old if name not in new or not same(old[name], new[name])] if both else ["it"]
        raise ValueError("\n".join(f"{name}: it would come back as something else; {_INSTEAD}" for name in names[:_PROBLEMS]))

    @property
    def _is_object(self) -> bool:
        return _is_model(self.schema) and not issubclass(self.schema, sys.modules["pydantic"].RootModel)


def _adapter_of(schema: Any) -> TypeAdapter[Any]:
    from pydantic import TypeAdapter

    return TypeAdapter(schema)


def _returned(function: Callable[..., Any]) -> Any:
    """Return the type that a function says it returns; what it says of its parameters need not even be imported."""
    try:
        alone = types.SimpleNamespace(__annotations__={"return": getattr(function, "__annotations__", {}).get("return")})
        return typing.get_type_hints(alone, getattr(inspect.unwrap(function), "__globals__", {}))["return"]
    except (NameError, TypeError, AttributeError, SyntaxError, ValueError):  # it says nothing that can be resolved
        return None


def _is_model(schema: Any) -> bool:
    """Return whether it is a finding or a pydantic model; until pydantic is imported to its end, nothing is a model."""
    models = (Finding, getattr(sys.modules.get("pydantic"), "BaseModel", Finding))
    return inspect.isclass(schema) and issubclass(schema, models)


def in_words(error: ValidationError) -> str:
    """Describe what does not fit, one line per field."""
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    lines = [f"{'.'.join(str(part) for part in problem['loc']) or 'it'}: {problem['msg']}" for problem in problems[:_PROBLEMS]]
    return "\n".join([*lines, *([f"and {len(problems) - _PROBLEMS} more"] if len(problems) > _PROBLEMS else [])])


def _without_prose(schema: Any) -> Any:
    if isinstance(schema, dict):  # a field may be called `title`; what describes is text, what is a field is an object
        return {key: _without_prose(part) for key, part in schema.items() if not (key in _PROSE and not isinstance(part, dict))}
    return [_without_prose(part) for part in schema] if isinstance(schema, list) else schema
