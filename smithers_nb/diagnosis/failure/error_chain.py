"""An error record parsed into a chain of causes.

Stores keep errors as JSON of a JavaScript error with `cause`, `lastError` or `errors` inside, sometimes as a bare string and
sometimes as garbage. The chain starts at the outermost error that says something. Wrappers such as `Task failed: X` are left out,
because every failed task has the same one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

import orjson

from smithers_nb.diagnosis.failure.excerpt import shortened
from smithers_nb.diagnosis.failure.stack import causes, group_members, stack_frames
from smithers_nb.diagnosis.text.quotes import excerpt
from smithers_nb.model.verdict import Link
from smithers_nb.redact import redact, redact_value
from smithers_nb.sources.stores.json_text import as_object, loads

WRAPPER_CODES = frozenset({"SESSION_ERROR", "WORKFLOW_EXECUTION_FAILED"})
"""Codes that only say that something else failed (reference: Smithers' scheduler and subflows)."""

_WRAPPER_MESSAGE = re.compile(r"Task failed: |Subflow \S+ failed because child run |child run \S+ ended with status ")
_SAYS_NOTHING = frozenset({"", "undefined", "null", "[object Object]", "Error", "unknown error", "Unknown error"})
_SCRIPT = re.compile(r"^Command 'b(?P<quote>['\"]).*(?P=quote)' (?P<how>returned non-zero exit status -?\d+|died with <.*>)", re.DOTALL)
"""How Python reports a script that it fed to a shell: with the whole script, which says nothing about what went wrong."""

_DOCS_SUFFIX = re.compile(r"\s*See https://smithers\.sh/\S+\s*$")
_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_MAX_DEPTH = 8
_MAX_TEXT = 20_000
_MAX_DETAIL = 2_000
_MAX_OWN_TEXT = 400
_ANSWER_KEYS = ("body", "response", "data", "error", "result", "payload", "json")
_MESSAGE_KEYS = ("message", "detail", "error_description", "reason", "msg", "title", "error")
_NOT_DETAILS = frozenset(
    {"name", "code", "message", "stack", "summary", "docsUrl", "cause", "lastError", "errors", "details", "output", "diagnostics"}
    | {"requestBodyValues", "responseHeaders", "logTail"}
)


class ParsedError(NamedTuple):
    """A parsed error record.

    Attributes:
        chain: Its causes, outermost first.
        details: Scalar fields of all links, the outermost winning: `statusCode`, `path`, `errno`, `childRunId`, ….
    """

    chain: tuple[Link, ...]
    details: dict[str, Any]


@lru_cache(maxsize=64)
def parse_error(record: str | None) -> ParsedError:
    """Parse an error record of a store; text that is not JSON is its own message.

    The attempts of a task mostly fail with the same record, so recent results are cached. Callers must not change them.
    """
    if not record:
        return ParsedError((), {})
    try:
        value = loads(record)
    except orjson.JSONDecodeError:
        return ParsedError((Link(message=clean_message(record)),), {})
    chain: list[Link] = []
    details: dict[str, Any] = {}
    for error in _unfold(value):
        details = {**_details(error), **details}
        link = _link(error)
        if link and not is_wrapper(link):
            chain += [link, *_python_causes(link)]
    return ParsedError(tuple(chain), details)


def _python_causes(link: Link) -> Iterator[Link]:
    """Yield the exceptions that caused a Python error, which only its traceback shows; a stack without author's code is dropped."""
    for thrown in (*causes(link.stack), *group_members(link.stack)):
        stack = thrown.stack if any(frame.is_own for frame in stack_frames(thrown.stack)) else ""
        yield Link(name=thrown.name, code=None, message=clean_message(thrown.message), stack=stack)


def is_group(link: Link) -> bool:
    """Return whether an error is a group of others that happened side by side."""
    return (link.name or "").endswith("ExceptionGroup")


def is_wrapper(link: Link) -> bool:
    """Return whether an error only says that another error happened."""
    return link.code in WRAPPER_CODES and bool(_WRAPPER_MESSAGE.match(link.message))


def says_nothing(message: str) -> bool:
    """Return whether a message carries no information at all."""
    return message.strip() in _SAYS_NOTHING


def clean_message(message: object) -> str:
    """Return a message without secrets and without the link to Smithers' error reference at its end, cut to a maximum length."""
    return _DOCS_SUFFIX.sub("", excerpt(str(message), _MAX_TEXT)).strip()


def _unfold(value: object) -> Iterator[Mapping[str, Any]]:
    """Yield an error and its causes, outermost first."""
    for _ in range(_MAX_DEPTH):
        if isinstance(value, str):
            yield {"message": value}
            return
        if not isinstance(value, dict):
            return
        yield value
        inner = value.get("details")
        child = inner.get("childError") if isinstance(inner, dict) else None
        value = value.get("cause") or value.get("lastError") or _last(value.get("errors")) or child
        if value is None:
            return


def _shorten_stack(stack: str) -> str:
    """Cut the middle out of a long stack: the frame that threw is first in JavaScript and last in Python."""
    return stack if len(stack) <= _MAX_TEXT else f"{stack[: _MAX_TEXT // 2]}\n…\n{stack[-_MAX_TEXT // 2 :]}"


def _last(errors: object) -> object:
    return errors[-1] if isinstance(errors, list) and errors else None


def _link(error: Mapping[str, Any]) -> Link | None:
    message = _SCRIPT.sub(r"the script \g<how>", clean_message(error.get("message") or error.get("summary") or ""))
    message = f"{message}: {issues}" if (issues := _issues(error)) and issues not in message else message
    if (nested := _nested_message(error)) and nested not in message:
        message = f"{message or _own_fields(error)}: {nested}"
    name, code = (str(error[key])[:200] if error.get(key) else None for key in ("name", "code"))
    code = None if _is_exit(error) else code
    if not (message or name):
        message = _own_fields(error)
    if not (message or name or code):
        return None
    stack = _shorten_stack(redact(_ANSI.sub("", str(error.get("stack") or ""))))
    return Link(name=name, code=code, message=message, stack=stack)


def _is_exit(error: Mapping[str, Any]) -> bool:
    """Return whether an error's `code` is an exit code, as Node's `exec` has it; that of `execSync` is its `status`."""
    return isinstance(error.get("code"), int) and str(error.get("message")).startswith("Command failed: ")


def _nested_message(error: Mapping[str, Any], depth: int = 3) -> str:
    """Return what a server answered, which HTTP clients keep inside the error: `response.data.message`, `body.error.message`."""
    for key in _ANSWER_KEYS:
        inner = error.get(key)
        inner = as_object(inner) if isinstance(inner, str) and inner.startswith("{") and key != "responseBody" else inner
        if not isinstance(inner, Mapping):
            continue
        words = next((inner[name] for name in _MESSAGE_KEYS if isinstance(inner.get(name), str) and inner[name]), "")
        if message := clean_message(words) if words else _nested_message(inner, depth - 1) if depth else "":
            return excerpt(message, _MAX_OWN_TEXT)
    return ""


def _own_fields(error: Mapping[str, Any]) -> str:
    """Return the fields of a thrown object that is not an Error, as JSON."""
    own = {key: value for key, value in error.items() if key not in _NOT_DETAILS and isinstance(value, str | int | float)}
    return excerpt(orjson.dumps(redact_value(own)).decode("utf-8", "replace"), _MAX_OWN_TEXT) if own else ""


def _issues(error: Mapping[str, Any]) -> str:
    """Return the fields that a schema rejected, which are recorded only in the details (`issues` of a Zod error)."""
    inner = error.get("details")
    issues = inner.get("issues") if isinstance(inner, dict) else None
    listed = [issue for issue in issues if isinstance(issue, dict)] if isinstance(issues, list) else []
    return "; ".join(f"{'.'.join(map(str, issue.get('path') or []))}: {issue.get('message')}" for issue in listed[:5])


def _details(error: Mapping[str, Any]) -> dict[str, Any]:
    """Return the scalar fields of an error and of its `details` object, and what a child process printed."""
    inner = error.get("details")
    fields = {**error, **inner} if isinstance(inner, dict) else error
    scalars = {
        key: excerpt(value, _MAX_DETAIL) if isinstance(value, str) else value
        for key, value in redact_value({key: value for key, value in fields.items() if not isinstance(value, dict | list)}).items()
        if key not in _NOT_DETAILS and isinstance(value, str | int | float | bool) and value != ""
    }
    for stream in ("stderr", "stdout"):
        printed = fields.get(stream)
        if isinstance(printed, str) and len(printed) > _MAX_DETAIL:
            scalars[stream] = shortened(redact(printed), head=_MAX_DETAIL // 4, tail=_MAX_DETAIL // 2, middle=_MAX_DETAIL)
        elif text := _buffer_text(printed):
            scalars[stream] = redact(text)[-_MAX_DETAIL:]
    exit_code = {"exitCode": error["code"]} if _is_exit(error) else {}
    return {**scalars, **exit_code, **_log_tail(fields)}


def _buffer_text(value: object) -> str:
    """Decode a Node Buffer that was serialised as {"0": 47, …} or {"type": "Buffer", "data": […]}."""
    if not isinstance(value, dict):
        return ""
    numbers = value.get("data") if value.get("type") == "Buffer" else list(value.values())
    if not isinstance(numbers, list) or not all(isinstance(n, int) and 0 <= n < 256 for n in numbers):  # noqa: PLR2004 - bytes
        return ""
    return bytes(numbers).decode("utf-8", "replace").strip()


def _log_tail(fields: Mapping[str, Any]) -> dict[str, str]:
    tail = fields.get("logTail")
    return {"logTail": redact(tail)[-_MAX_DETAIL:]} if isinstance(tail, str) and tail else {}
