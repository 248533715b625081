"""Inputs, outputs and errors as DBOS stores them: portable JSON, or a pickle in base64 that is parsed and never executed."""

from __future__ import annotations

import base64
import binascii
import builtins
from typing import Any, Final

from smithers_nb.sources.dbos.own_errors import own_words
from smithers_nb.sources.dbos.pickles import NotReadable, Thing, plain, read
from smithers_nb.sources.stores.json_text import dump, parse

_RETRIES: Final = "DBOSMaxStepRetriesExceeded"
_QUOTED: Final = frozenset({"KeyError"})
_NUMBERED: Final = frozenset(
    {"OSError", "IOError", "FileNotFoundError", "PermissionError", "FileExistsError", "IsADirectoryError", "NotADirectoryError"}
    | {"ConnectionRefusedError", "ConnectionResetError", "BrokenPipeError", "ConnectionAbortedError", "BlockingIOError", "TimeoutError"}
)
_MAX_LENGTH: Final = 2_000
_MAX_INNER_ERRORS: Final = 5


def value_of(text: Any, serialization: Any) -> Any:
    """Decode a stored value to what JSON can hold; if it cannot be decoded, return the beginning of the stored text."""
    return plain(_decode(text, serialization))


def errors_of(text: Any, serialization: Any) -> list[dict[str, Any]]:
    """Decode a stored error into records `{name, message, details?}`: one, or one per attempt of a step that was retried."""
    if text is None:
        return []
    value = _decode(text, serialization)
    if isinstance(value, Thing) and value.kind == _RETRIES and (attempts := _attempt_errors(value)):
        return attempts
    return [_record(value)]


def _decode(text: Any, serialization: Any) -> Any:
    if not isinstance(text, str | bytes):
        return text
    stored = text if isinstance(text, str) else text.decode("utf-8", "replace")
    if serialization != "py_pickle":
        parsed = parse(stored)
        if parsed is not None or stored == "null":
            return parsed
    try:
        return read(base64.b64decode(stored, validate=True))
    except (NotReadable, binascii.Error, ValueError):
        return stored[:_MAX_LENGTH]


def _record(value: Any) -> dict[str, Any]:
    if isinstance(value, Thing):
        state = plain(value.state)
        record: dict[str, Any] = {"name": value.kind, "message": _message(value)}
        if isinstance(state, dict) and isinstance(code := state.get("dbos_error_code") or state.get("code"), str | int):
            record["details"] = {"errorCode": code}
        return record
    if isinstance(value, dict):  # portable JSON
        record = {"name": str(value.get("name") or "Error"), "message": str(value.get("message") or "")}
        details = {"errorCode": value.get("code"), "data": plain(value.get("data"))}
        known = {name: item for name, item in details.items() if item is not None}
        return record | ({"details": known} if known else {})
    return {"name": "Error", "message": str(plain(value))}


def _attempt_errors(value: Thing) -> list[dict[str, Any]]:
    """Return the error of each attempt from the one that reports too many retries."""
    inner = next((item for item in (*value.args, *value.state.values()) if isinstance(item, list)), [])
    return [_record(error) for error in inner if isinstance(error, Thing)][:_MAX_LENGTH]


def _message(value: Thing) -> str:
    """Return what `str()` of the exception would, as far as its arguments allow."""
    args = [plain(item) for item in value.args]
    if words := own_words(value.kind, args):
        return words
    message = value.state.get("message")
    if isinstance(message, str) and message and (not args or (len(args) > 1 and value.kind not in _NUMBERED)):
        return message  # an exception with several arguments stores its message separately
    if value.kind in _NUMBERED and len(args) > 1:
        path = f": {args[2]!r}" if len(args) > 2 and args[2] is not None else ""  # noqa: PLR2004 - errno, text, path
        return f"[Errno {args[0]}] {args[1]}{path}"
    if len(args) == 1:
        return repr(args[0]) if value.kind in _QUOTED else _text(args[0])
    inner = [error for item in value.args for error in (item if isinstance(item, list) else [item]) if _is_error(error)]
    if inner:
        head = [_text(arg) for arg, item in zip(args, value.args, strict=True) if isinstance(item, str)]
        return ": ".join([*head, "; ".join(f"{error.kind}: {_message(error)}" for error in inner[:_MAX_INNER_ERRORS])])
    listed = ", ".join(map(_text, args))
    return f"{listed} (its arguments; its message is not stored)" if args and not hasattr(builtins, value.kind) else listed


def _is_error(value: Any) -> bool:
    return isinstance(value, Thing) and value.kind.endswith(("Error", "Exception", "Group"))


def _text(value: Any) -> str:
    return value if isinstance(value, str) else dump(value) or ""
