"""Converts Python values to JSON and back, so that every later execution gets exactly what a stage returned.

Plain JSON values are stored as they are. Values that JSON cannot express (tuples, numbers that are not finite, keys that are not text,
times, dataclasses, pydantic models) become an object with the key `$type`, and are rebuilt with the same class. Anything else is refused,
with a hint on what to return instead. Nothing in a row is executed: a class is looked up by name, and only dataclasses, models,
enumerations and named tuples are built.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime as dt
import enum
import importlib
import marshal
import math
import sys
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PosixPath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any, Final, NamedTuple
from zoneinfo import ZoneInfo

import orjson

TYPE: Final = "$type"
"""Key of an object that represents a value JSON cannot express."""

_INSTEAD: Final = "return plain values, or a dataclass or pydantic model of them"
_OF: Final = "of"
_CLASS: Final = "class"
_INT_BITS: Final = 64
_STRICT: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_SUBCLASS


class Unfit(ValueError):
    """A value that cannot be stored; the message says where it is, what it is and what to return instead."""


def to_json(value: Any) -> Any:
    """Convert a value to JSON that `from_json` converts to an equal value of the same type.

    Raises:
        Unfit: It cannot be stored.
    """
    if _is_plain(value):
        return value
    try:
        packed = _packed(value, "it")
        again = from_json(packed)
    except Unfit:
        raise
    except RecursionError:
        raise Unfit("it: it contains itself, or is nested too deeply; return plain values") from None
    except Exception as error:  # a user's class may raise anything here
        raise Unfit(f"it: a {_name(type(value))} cannot be rebuilt ({type(error).__name__}: {error}); {_INSTEAD}") from error
    if not same(value, again):
        raise Unfit(f"it: a {_name(type(value))} would be read back differently; {_INSTEAD}")
    return packed


def from_json(packed: Any) -> Any:
    """Convert JSON from `to_json` to the value.

    Raises:
        ValueError: Its class is gone, or no longer accepts it.
    """
    text = orjson.dumps(packed)
    return _made(packed) if TYPE.encode() in text else orjson.loads(text)


def same(value: Any, other: Any) -> bool:
    """Return whether two values of one type are equal; values that never compare equal, such as NaN, are compared by repr."""
    if type(value) is not type(other):
        return False
    try:
        if bool(value == other):
            return True
    except Exception:  # noqa: BLE001  # comparing arrays or a user's class may do anything
        return repr(value) == repr(other)
    return repr(value) == repr(other)


def _is_plain(value: Any) -> bool:
    """Return whether JSON stores a value unchanged; `marshal` accepts only exact built-in types, not subclasses such as enumerations."""
    try:
        marshal.dumps(value)
        text = orjson.dumps(value, option=_STRICT)
    except (ValueError, TypeError):
        return False
    return b"\\u0000" not in text and TYPE.encode() not in text and bool(orjson.loads(text) == value)


def _made(packed: Any) -> Any:
    if isinstance(packed, list):
        return [_made(part) for part in packed]
    if not isinstance(packed, dict):
        return packed
    kind = packed.get(TYPE)
    if kind is None:
        return {name: _made(part) for name, part in packed.items()}
    if kind not in _KINDS:
        raise ValueError(f"it was stored as {str(kind)[:60]!r}, which this version does not know")
    return _KINDS[kind].made(packed)


def _packed(value: Any, at: str) -> Any:
    """Pack one value; `at` is its path, for error messages."""
    plain = _plain_part(value, at)
    if plain is not _NOT_PLAIN:
        return plain
    kind = next((kind for kind in _KINDS.values() if kind.fits(value)), None)
    if kind is None:
        raise Unfit(f"{at}: {_why(value)}")
    return kind.pack(value, at)


_NOT_PLAIN: Final = object()


def _plain_part(value: Any, at: str) -> Any:  # noqa: PLR0911  # one line for each type
    """Pack a value that JSON can express, including its parts; `_NOT_PLAIN` for any other."""
    if value is None or type(value) is bool:
        return value
    if type(value) is int:
        return value if value.bit_length() < _INT_BITS else _NOT_PLAIN
    if type(value) is float:
        return value if math.isfinite(value) else _NOT_PLAIN
    if type(value) is str:
        return value if _is_text(value) else _NOT_PLAIN
    if type(value) is list:
        return [_packed(part, f"{at}[{number}]") for number, part in enumerate(value)]
    if type(value) is dict and TYPE not in value and all(type(name) is str and _is_text(name) for name in value):
        return {name: _packed(part, f"{at}[{name!r}]") for name, part in value.items()}
    return _NOT_PLAIN


def _is_text(text: str) -> bool:
    """Return whether both databases can store a text: no NUL, and no lone surrogate."""
    return ("\0" not in text and text.isascii()) or not any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text)


class _Kind(NamedTuple):
    """One kind of value: how it is recognised, packed and rebuilt."""

    fits: Callable[[Any], bool]
    pack: Callable[[Any, str], dict[str, Any]]
    made: Callable[[dict[str, Any]], Any]


def _exactly(*classes: type) -> Callable[[Any], bool]:
    return lambda value: type(value) in classes


def _by_text(name: str, cls: type, write: Callable[[Any], str] = str, read: Callable[[str], Any] | None = None) -> dict[str, _Kind]:
    make = read or cls
    return {name: _Kind(_exactly(cls), lambda value, _: {TYPE: name, _OF: write(value)}, lambda packed: make(packed[_OF]))}


def _items(name: str, cls: Any, order: Callable[[Any], Any] = list) -> dict[str, _Kind]:
    def pack(value: Any, at: str) -> dict[str, Any]:
        return {TYPE: name, _OF: [_packed(part, f"{at}[{number}]") for number, part in enumerate(order(value))]}

    return {name: _Kind(_exactly(cls), pack, lambda packed: cls(map(_made, packed[_OF])))}


def _pairs(name: str, cls: Any) -> dict[str, _Kind]:
    def pack(value: Any, at: str) -> dict[str, Any]:
        return {TYPE: name, _OF: [[_packed(key, f"a key of {at}"), _packed(part, f"{at}[{key!r}]")] for key, part in value.items()]}

    return {name: _Kind(_exactly(cls), pack, lambda packed: cls({_made(key): _made(part) for key, part in packed[_OF]}))}


def _read_time(text: str) -> dt.datetime:
    moment, _, zone = text.partition("|")
    at = dt.datetime.fromisoformat(moment)
    return at.astimezone(ZoneInfo(zone)) if zone else at


def _write_time(at: dt.datetime) -> str:
    zone = getattr(at.tzinfo, "key", None)
    return f"{at.isoformat()}|{zone}" if zone else at.isoformat()


def _of_class(
    fits: Callable[[Any], bool], name: str, take: Callable[[Any, str], Any], give: Callable[[type, Any], Any]
) -> dict[str, _Kind]:
    """Return a kind whose class is stored with the value."""

    def pack(value: Any, at: str) -> dict[str, Any]:
        cls = type(value)
        path = f"{cls.__module__}:{cls.__qualname__}"
        if _class(path, strict=False) is not cls:
            raise Unfit(
                f"{at}: the class {cls.__qualname__} cannot be found by its name; define it in a module, or in a cell outside any function"
            )
        return {TYPE: name, _CLASS: path, _OF: take(value, at)}

    return {name: _Kind(fits, pack, lambda packed: give(_class(packed[_CLASS]), packed[_OF]))}


def _class(path: str, *, strict: bool = True) -> Any:
    """Find a class by module and name."""
    module, _, name = path.partition(":")
    found: Any = None
    try:
        found = sys.modules.get(module) or importlib.import_module(module)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError):
        found = None
    if isinstance(found, type) and (
        dataclasses.is_dataclass(found) or issubclass(found, enum.Enum | tuple) or hasattr(found, "model_validate")
    ):
        return found
    if strict:
        raise ValueError(f"its class {path[:200]} is no longer defined before the stage; define it, or compute the output again")
    return None


def _fields(value: Any, at: str) -> dict[str, Any]:
    named = {field.name for field in dataclasses.fields(value)}
    others = sorted(set(getattr(value, "__dict__", {})) - named)
    if others:
        raise Unfit(f"{at}: {_name(type(value))}.{others[0]} is not a field of the dataclass and would be lost; declare it as a field")
    return {name: _packed(getattr(value, name), f"{at}.{name}") for name in named if hasattr(value, name)}


def _dataclass(cls: type, packed: Mapping[str, Any]) -> Any:
    """Build a dataclass with these fields, without `__init__`, which ran when it was first made."""
    made: Any = object.__new__(cls)
    for name, part in packed.items():
        object.__setattr__(made, name, _made(part))
    return made


def _is_pydantic(value: Any) -> bool:
    base = getattr(sys.modules.get("pydantic"), "BaseModel", None)
    return base is not None and isinstance(value, base)


def _dumped(model: Any, at: str) -> Any:
    try:
        again = type(model).model_validate_json(text := model.model_dump_json(by_alias=True, round_trip=True))
    except (ValueError, TypeError) as error:
        raise Unfit(f"{at}: a {_name(type(model))} could not be read back from its JSON ({str(error)[:300]})") from None
    if not same(model, again):
        raise Unfit(
            f"{at}: a {_name(type(model))} is read back from its JSON as something else; annotate its fields with the types of their values"
        )
    return orjson.loads(text)


def _is_numpy(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return (
        numpy is not None
        and type(value).__module__ == "numpy"
        and isinstance(value, numpy.generic | numpy.ndarray)
        and (value.dtype.kind in "biufUmM")
    )


def _numbers(value: Any, at: str) -> dict[str, Any]:
    del at
    plain = value.astype("int64") if value.dtype.kind in "mM" else value
    return {TYPE: "numpy", "dtype": value.dtype.str, "shape": list(value.shape), _OF: _packed(plain.reshape(-1).tolist(), "it")}


def _array(packed: dict[str, Any]) -> Any:
    import numpy as np

    dtype = np.dtype(packed["dtype"])
    flat = np.array(_made(packed[_OF]), dtype="int64" if dtype.kind in "mM" else dtype)
    whole = (flat.astype(dtype) if dtype.kind in "mM" else flat).reshape(packed["shape"])
    return whole if packed["shape"] else whole[()]


def _is_timestamp(value: Any) -> bool:
    pandas = sys.modules.get("pandas")
    return pandas is not None and type(value) is getattr(pandas, "Timestamp", None)


def _timestamp(packed: dict[str, Any]) -> Any:
    import pandas as pd

    moment, _, zone = packed[_OF].partition("|")
    return pd.Timestamp(moment).tz_convert(zone) if zone else pd.Timestamp(moment)


_KINDS: Final[dict[str, _Kind]] = {
    **_items("tuple", tuple),
    **_items("set", set, lambda value: sorted(value, key=repr)),
    **_items("frozenset", frozenset, lambda value: sorted(value, key=repr)),
    **_pairs("dict", dict),
    **_pairs("Counter", Counter),
    **_pairs("OrderedDict", OrderedDict),
    **_by_text("float", float),
    **_by_text("int", int),
    **_by_text("complex", complex),
    **_by_text(
        "str",
        str,
        lambda text: base64.b64encode(text.encode("utf-8", "surrogatepass")).decode(),
        lambda text: base64.b64decode(text).decode("utf-8", "surrogatepass"),
    ),
    **_by_text("bytes", bytes, lambda data: base64.b64encode(data).decode(), base64.b64decode),
    **_by_text("datetime", dt.datetime, _write_time, _read_time),
    **_by_text("date", dt.date, dt.date.isoformat, dt.date.fromisoformat),
    **_by_text("time", dt.time, dt.time.isoformat, dt.time.fromisoformat),
    **_by_text("UUID", uuid.UUID),
    **_by_text("Decimal", Decimal),
    **_by_text("Fraction", Fraction),
    "timedelta": _Kind(
        _exactly(dt.timedelta),
        lambda value, _: {TYPE: "timedelta", _OF: [value.days, value.seconds, value.microseconds]},
        lambda packed: dt.timedelta(*packed[_OF]),
    ),
    "Path": _Kind(
        _exactly(PosixPath, WindowsPath),
        lambda value, at: {TYPE: "Path", _OF: _packed(str(value), at)},
        lambda packed: Path(_made(packed[_OF])),
    ),
    **_by_text("PurePosixPath", PurePosixPath),
    **_by_text("PureWindowsPath", PureWindowsPath),
    "Timestamp": _Kind(_is_timestamp, lambda value, _: {TYPE: "Timestamp", _OF: _write_time(value)}, _timestamp),
    "numpy": _Kind(_is_numpy, _numbers, _array),
    **_of_class(lambda value: isinstance(value, enum.Enum), "enum", lambda value, _: value.name, getattr),
    **_of_class(
        lambda value: isinstance(value, tuple) and hasattr(value, "_fields"),
        "namedtuple",
        lambda value, at: [_packed(part, f"{at}.{name}") for name, part in zip(value._fields, value, strict=True)],
        lambda cls, parts: cls._make(map(_made, parts)),  # type: ignore[attr-defined]
    ),
    **_of_class(_is_pydantic, "model", _dumped, lambda cls, dumped: cls.model_validate_json(orjson.dumps(dumped))),  # type: ignore[attr-defined]
    **_of_class(lambda value: dataclasses.is_dataclass(value) and not isinstance(value, type), "dataclass", _fields, _dataclass),
}

_WAYS_OUT: Final = {
    "DataFrame": "return `frame.to_dict('records')`, or write it to a file (`frame.to_parquet(path)`) and return the path",
    "Series": "return `series.to_list()`, or write it to a file and return the path",
    "Table": "return `table.to_pylist()`, or write it to a file and return the path",
    "ndarray": "return `array.tolist()`, or write it to a file (`numpy.save`) and return the path",
    "defaultdict": "return `dict(value)`",
    "generator": "return `list(value)`",
    "dict_keys": "return `list(value)`",
    "dict_values": "return `list(value)`",
    "dict_items": "return `dict(value)`",
    "map": "return `list(value)`",
    "filter": "return `list(value)`",
    "zip": "return `list(value)`",
    "range": "return `list(value)`",
    "bytearray": "return `bytes(value)`",
    "function": "return what it computes",
    "coroutine": "give `stage` a function that calls `asyncio.run`",
}
"""What to return instead, by name of a class that cannot be stored."""


def _why(value: Any) -> str:
    way = _WAYS_OUT.get(type(value).__name__, _INSTEAD)
    return f"a {_name(type(value))} cannot be stored; {way}"


def _name(cls: type) -> str:
    return cls.__qualname__ if cls.__module__ in ("builtins", "__main__") else f"{cls.__module__}.{cls.__qualname__}"
