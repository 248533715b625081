"""The base of everything a diagnosis returns: an immutable dataclass, written as JSON with camelCase names.

pydantic takes longer to import than a small run takes to explain, so it is loaded only to check a finding that is read back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from typing import Any, ClassVar, Self, TypeVar, dataclass_transform

T = TypeVar("T")


@cache
def camel(name: str) -> str:
    """Return the JSON name of a Python attribute: `run_id` is `runId`."""
    head, *tail = name.split("_")
    return head + "".join(word.capitalize() for word in tail)


def described(description: str, *, default: Any = MISSING, default_factory: Any = MISSING) -> Any:
    """Declare a field that has a description; a JSON schema made from the finding shows it."""
    return field(default=default, default_factory=default_factory, metadata={"description": description})


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(described,))
class Finding:
    """Base of a finding: its annotations are its fields, given by name and never changed.

    There are no slots, because a class with slots would have to replace the one that Python is just creating.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid", "alias_generator": camel, "populate_by_name": True}

    def __init_subclass__(cls) -> None:
        """Make every subclass a dataclass."""
        super().__init_subclass__()
        dataclass(frozen=True, kw_only=True)(cls)

    def as_json(self) -> dict[str, Any]:
        """Return plain JSON values under camelCase names; a row of a store becomes a list, the keys of `dict` values stay."""
        return {camel(spec.name): _plain(getattr(self, spec.name)) for spec in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def read(cls, value: Any) -> Self:
        """Check what `as_json` wrote, or the same with the attributes' own names, and return the finding.

        Raises:
            ValueError: It does not fit; a pydantic `ValidationError`, which names each field.
        """
        found: Self = _reader(cls).validate_python(value)  # type: ignore[arg-type]  # a class is hashable
        return found


def with_texts(value: T, change: Callable[[Any], Any]) -> T:
    """Return a finding, a row or a tuple of them with every text and every JSON value in it changed."""
    changed: Any = value
    if isinstance(value, Finding):
        changed = replace(value, **{spec.name: with_texts(getattr(value, spec.name), change) for spec in fields(value)})  # type: ignore[type-var, arg-type]
    elif isinstance(value, tuple):
        items = [with_texts(item, change) for item in value]
        changed = value._make(items) if hasattr(value, "_make") else tuple(items)
    elif value is not None:
        changed = change(value)
    return changed  # type: ignore[no-any-return]


def _plain(value: Any) -> Any:
    if isinstance(value, Finding):
        return value.as_json()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


@cache
def _reader(kind: Any) -> Any:
    from pydantic import TypeAdapter

    return TypeAdapter(kind)
