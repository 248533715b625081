"""A real server that speaks OpenAI's chat completions from a script, a scripted agent CLI, and runs to ask them about."""

from __future__ import annotations

import json
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from smithers_nb.agents.verification.evidence_index import Record
from smithers_nb.resources import example_store
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.snapshot import Snapshot

NOW = 1795181301665
"""When the example store was taken, epoch milliseconds."""

VARIABLES = (
    "AGENT_PROVIDER",
    "AGENT_MODEL",
    "AGENT_TIMEOUT_SECONDS",
    "OPENAI_API_KEY",
    "OPENAI_BASE_URL",
    "CODING_AGENT_CMD",
    "CODING_AGENT_ENV",
)
KEY = "test-key-of-no-known-kind-0815"
ERROR = "null is not an object (evaluating 'd[\"fetch-orders\"].lines.filter')"


@pytest.fixture(autouse=True)
def quiet_environment(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Take settings of whoever runs the tests away, and keep what is unpacked out of their cache folder."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.getbasetemp() / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def fleet() -> Path:
    """The example store: sixty runs of five workflows."""
    return example_store()


@pytest.fixture
def record(fleet: Path) -> Iterator[Record]:
    """The rows of one failed run, with the source of its workflow."""
    source = open_source(fleet)
    workflow = fleet.parent / "workflows" / "order-sync.tsx"
    yield Record(Snapshot(source, "order-sync-013"), source_path=str(workflow), source=workflow.read_text())
    source.close()


@pytest.fixture
def changed(fleet: Path, tmp_path: Path) -> Callable[..., Path]:
    """Copy the example store and run SQL on the copy."""

    def change(sql: str, *values: object) -> Path:
        copy = tmp_path / "changed.db"
        if not copy.exists():
            copy.write_bytes(fleet.read_bytes())
        connection = sqlite3.connect(copy)
        connection.execute(sql, values)
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.close()
        return copy

    return change


@pytest.fixture
def opinion() -> Callable[..., dict[str, Any]]:
    """Write an answer about order-sync-013 that holds, with parts of it changed."""

    def write(**changes: Any) -> dict[str, Any]:
        return {
            "rootCause": "The order source handed over nothing, and the filter in normalize does not expect that.",
            "failureClass": "workflow-bug",
            "confidence": "high",
            "suggestion": "edit-workflow-and-reset",
            "suggestionDetail": "Guard the lines before they are filtered.",
            "commands": [],
            "evidence": [{"ref": "attempt:normalize/0/1", "quote": ERROR, "note": "what was thrown"}],
        } | changes

    return write


@dataclass
class Server:
    """A model's server: what it was asked, and what it answers, one step per request; the last step is repeated.

    A step is the arguments of the final answer, `("tool", name, arguments)`, a status, a text, or bytes to send as they are.
    """

    url: str = ""
    steps: list[Any] = field(default_factory=list)
    requests: list[dict[str, Any]] = field(default_factory=list)
    keys: list[str] = field(default_factory=list)
    sent: int = 0
    let_go: threading.Event = field(default_factory=threading.Event)

    def step(self) -> Any:
        return self.steps[min(len(self.requests), len(self.steps)) - 1]

    @property
    def asked(self) -> str:
        """Everything that was ever sent to it."""
        return json.dumps(self.requests, ensure_ascii=False)


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        server: Server = self.server.script
        server.keys.append(self.headers.get("authorization", ""))
        server.requests.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        step = server.step()
        if step == "hang":
            server.let_go.wait(30)
            return
        if isinstance(step, tuple) and step[0] == "raw":
            self._raw(**step[1])
            return
        status, body = (
            (step, b'{"error": {"message": "no: ' + KEY.encode() + b'"}}') if isinstance(step, int) else (200, _body(step, server))
        )
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        if status == 429:
            self.send_header("retry-after", "0.01")
        self.end_headers()
        self.wfile.write(body)

    def _raw(self, headers: dict[str, str], chunk: bytes = b"", status: int = 200, pause_s: float = 0) -> None:
        """Answer with one chunk for ever, until nobody listens."""
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        server: Server = self.server.script
        with suppress(OSError):
            while chunk and not server.let_go.is_set():
                self.wfile.write(chunk)
                server.sent += len(chunk)
                time.sleep(pause_s)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def _body(step: Any, server: Server) -> bytes:
    if isinstance(step, bytes):
        return step
    tool = ("tool", "final_result", step) if isinstance(step, dict) else step
    message: dict[str, Any] = {"role": "assistant", "content": tool if isinstance(tool, str) else None}
    if not isinstance(tool, str):
        call = {"name": tool[1], "arguments": json.dumps(tool[2])}
        message["tool_calls"] = [{"id": f"c{len(server.requests)}", "type": "function", "function": call}]
    choice = {"index": 0, "message": message, "finish_reason": "tool_calls" if "tool_calls" in message else "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    whole = {"id": "x", "object": "chat.completion", "created": 1, "model": "scripted", "choices": [choice], "usage": usage}
    return json.dumps(whole).encode()


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Server]]:
    """Start a model's server with a script and choose it as the provider."""
    started: list[tuple[ThreadingHTTPServer, Server]] = []

    def start(*steps: Any, timeout_s: float = 20) -> Server:
        http = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        script = Server(f"http://127.0.0.1:{http.server_address[1]}/v1", list(steps))
        http.script = script
        threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
        started.append((http, script))
        chosen = {"AGENT_PROVIDER": "remote_llm", "OPENAI_BASE_URL": script.url, "OPENAI_API_KEY": KEY, "AGENT_MODEL": "scripted-1"}
        for name, value in {**chosen, "AGENT_TIMEOUT_SECONDS": f"{timeout_s}"}.items():
            monkeypatch.setenv(name, value)
        return script

    yield start
    for http, script in started:
        script.let_go.set()
        http.shutdown()
        http.server_close()


@pytest.fixture
def agent_cli(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write an agent CLI in Python and choose it as the provider; `given` is the document that it read."""

    def write(code: str, *, timeout_s: float = 20) -> Path:
        script = tmp_path / "agent cli.py"
        script.write_text(f"import json, os, sys, time\ngiven = json.load(sys.stdin)\n{code}\n")
        monkeypatch.setenv("AGENT_PROVIDER", "codex_exec")
        monkeypatch.setenv("CODING_AGENT_CMD", f"{sys.executable} '{script}'")
        monkeypatch.setenv("AGENT_TIMEOUT_SECONDS", f"{timeout_s}")
        return script

    return write
