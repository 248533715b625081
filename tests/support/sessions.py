"""Small session logs, record by record, as Claude Code and Codex write them."""

from __future__ import annotations

import json

SESSION = "11111111-2222-4333-8444-555555555555"
_BASE = {"sessionId": SESSION, "version": "2.1.40", "cwd": "/home/dev/shop", "isSidechain": False}


def user(content, **more):
    """A prompt, or what else stands in the name of the user."""
    return _BASE | {"type": "user", "message": {"role": "user", "content": content}} | more


def result(key, text, *, error=False):
    """The result of a tool."""
    return user([{"type": "tool_result", "tool_use_id": key, "content": text, "is_error": error}])


def said(text, *, message="m1", tokens=5, **more):
    """Words of the agent."""
    content = [{"type": "text", "text": text}]
    body = {
        "id": message,
        "role": "assistant",
        "model": "claude-x",
        "content": content,
        "usage": {"input_tokens": 1, "output_tokens": tokens},
    }
    return _BASE | {"type": "assistant", "message": body} | more


def call(key, name="Bash", message="m1", tokens=5, **given):
    """A call of a tool."""
    record = said("", message=message, tokens=tokens)
    record["message"]["content"] = [{"type": "tool_use", "id": key, "name": name, "input": given}]
    return record


def api_error(text, **more):
    """What the CLI answers itself once it has given up."""
    record = said(text, isApiErrorMessage=True, error="unknown", **more)
    record["message"]["model"] = "<synthetic>"
    return record


def retry(attempt, message="Overloaded", status=529):
    """An error that the CLI tries again after."""
    error = {"status": status, "error": {"type": "error", "error": {"type": "overloaded_error", "message": message}}} if message else {}
    return _BASE | {"type": "system", "subtype": "api_error", "error": error, "retryAttempt": attempt, "maxRetries": 10}


def event(kind, **payload):
    """An event of Codex."""
    return {"type": "event_msg", "payload": {"type": kind} | payload}


def item(kind, **payload):
    """An item of a response of Codex."""
    return {"type": "response_item", "payload": {"type": kind} | payload}


def codex(*records):
    """A rollout: its head before the records."""
    meta = {"id": SESSION, "cwd": "/home/dev/shop", "cli_version": "0.150.0"}
    return [{"type": "session_meta", "payload": meta}, *records]


def log(*records):
    """The bytes of a log, one record a second."""
    stamped = ({"timestamp": f"2026-11-01T06:{n // 60:02}:{n % 60:02}.000Z"} | record for n, record in enumerate(records))
    return b"".join(json.dumps(record).encode() + b"\n" for record in stamped)


def write_log(path, *records):
    """Write a log and return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(log(*records))
    return path
