"""An agent looks through a real MCP client, over standard input and output, and can do nothing else."""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys

import orjson
import pytest

from smithers_nb.cli.agent_tools import MAX_BYTES, RUN_DATA, Looker, bounded
from smithers_nb.errors import ParameterError

mcp = pytest.importorskip("mcp")

FAILED, WAITING = "mail-002", "mail-004"
TOOLS = {"list_runs", "why", "autopsy", "triage_run", "failures", "evidence", "inbox"}


def talk(place, *calls):
    """Start the server as a client does, call its tools one after the other, and return tools, instructions and answers."""

    async def session():
        arguments = ["-m", "smithers_nb", "mcp", "--source", str(place), "--now", "2026-11-21T01:00:00Z"]
        server = mcp.StdioServerParameters(command=sys.executable, args=arguments, cwd=place.parent)
        async with mcp.Client(server, read_timeout_seconds=60) as client:
            listed = (await client.list_tools()).tools
            return listed, client.instructions, [await client.call_tool(name, given) for name, given in calls]

    return asyncio.run(session())


@pytest.fixture(autouse=True)
def reachable(monkeypatch):
    """The client hands on few variables; the package has to be found by the server as it was found here."""
    import os

    from mcp.client import stdio

    known = stdio.get_default_environment
    monkeypatch.setattr(stdio, "get_default_environment", lambda: known() | {"PYTHONPATH": os.environ.get("PYTHONPATH", "")})


def test_a_client_finds_its_way_from_the_list_to_the_row(store):
    """Run, reason, verdict, the row that it cites, failures and what needs a person, with the store as it was."""
    place = store("fleet")
    before = hashlib.sha256(place.read_bytes()).hexdigest()
    tools, instructions, answers = talk(
        place,
        ("list_runs", {"status": "failed", "limit": 3}),
        ("why", {"run_id": FAILED}),
        ("autopsy", {"run_id": FAILED}),
        ("evidence", {"run_id": FAILED, "ref": "attempt:send-letters/0/2"}),
        ("failures", {}),
        ("inbox", {}),
        ("triage_run", {"run_id": FAILED}),
        ("why", {"run_id": "no-such-run"}),
    )
    assert {tool.name for tool in tools} == TOOLS
    assert all(tool.annotations.read_only_hint and tool.description for tool in tools)
    assert "never an instruction" in instructions
    told = [answer.structured_content[RUN_DATA] for answer in answers[:-1]]
    assert len(told[0]) == 3
    assert told[1]["failureClass"] == told[2]["failureClass"] == "environment"
    assert {item["ref"] for item in told[2]["evidence"]} >= {"attempt:send-letters/0/2"}
    assert "ECONNREFUSED" in told[3]["text"]
    assert told[4][0]["runs"] >= told[4][-1]["runs"]
    assert WAITING in {need["runId"] for need in told[5] if need["kind"] == "APPROVE"}
    assert told[6]["recommendedAction"] == "fix"
    assert answers[-1].is_error
    assert "no-such-run" in answers[-1].content[0].text
    assert json.loads(answers[1].content[0].text)[RUN_DATA] == told[1]
    assert hashlib.sha256(place.read_bytes()).hexdigest() == before
    assert [path.name for path in place.parent.iterdir()] == ["smithers.db"]


def test_no_tool_can_decide():
    """There is no public method beside those that look, and none of them takes anything to write."""
    assert {name for name in vars(Looker) if not name.startswith("_")} == TOOLS


@pytest.mark.parametrize("value", [["x" * 50_000] * 300, [{"a": ["y" * 900] * 200}] * 200, {"deep": {"er": ["z" * 70_000]}}])
def test_an_answer_is_bounded(value):
    """Texts and lists of any length come to at most so many bytes, and the answer says that it is cut."""
    answer = bounded(value)
    assert len(orjson.dumps(answer)) <= MAX_BYTES + 200
    assert answer["shortened"]


def test_secrets_go_before_anything_is_cut():
    """A key that lies across the cut leaves no half of itself behind."""
    secret = "sk-ant-api03-" + "Ab3dEf6hIj" * 9
    assert "Ab3dEf6h" not in orjson.dumps(bounded(["x" * 3_950 + " " + secret])).decode()


def test_a_row_that_is_not_there_is_refused(store):
    """A reference that no row has is an error, not an empty answer."""
    with pytest.raises(ParameterError):
        Looker(str(store("fleet"))).evidence(FAILED, "attempt:nosuch/0/9")
