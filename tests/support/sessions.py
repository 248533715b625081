"""Small session logs, record by record, as the CLIs write them."""

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


def chat(*records):
    """A chat of Gemini CLI: its head before the records."""
    return [{"sessionId": SESSION, "projectHash": "ab12", "kind": "main", "directories": ["/home/dev/shop"]}, *records]


def gemini(key, words="", *calls, **more):
    """A message of the agent in a chat."""
    return {"id": key, "type": "gemini", "content": words, "model": "gemini-x", "toolCalls": list(calls)} | more


def gemini_call(key, status, answer="", **args):
    """A call in a message of a chat."""
    return {"id": key, "name": "run_shell_command", "args": args, "status": status, "resultDisplay": answer}


def asked(words, key="msg_1", **part):
    """A prompt in an export of OpenCode."""
    return {"info": {"id": key, "role": "user"}, "parts": [{"type": "text", "text": words} | part]}


def answered(*parts, finish="stop", key="msg_2", **info):
    """A message of the agent in an export of OpenCode."""
    told = {"id": key, "role": "assistant", "modelID": "m", "tokens": {"input": 3, "output": 2, "cache": {"read": 1, "write": 0}}}
    return {"info": told | ({"finish": finish} if finish else {}) | info, "parts": list(parts)}


def words(text):
    """Words in a message of OpenCode."""
    return {"type": "text", "text": text}


def used(status, tool="bash", answer="", code=None, key="c1"):
    """A call of a tool with its result in a message of OpenCode."""
    state = {"status": status, "input": {"command": "make"}, "metadata": {"exit": code}}
    return {"type": "tool", "tool": tool, "callID": key, "state": state | {"error" if status == "error" else "output": answer}}


def write_document(path, messages, **head):
    """Write a session that is one JSON document and return its path."""
    path.write_text(json.dumps(head | {"messages": list(messages)}))
    return path
