"""Printed commands hand exact arguments to the real CLI."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from smithers_nb.diagnosis.engines.base import FILL_IN
from smithers_nb.diagnosis.engines.smithers import SmithersCommands

smithers = SmithersCommands()

FLAGS = {
    "retry-task": {"--run-id", "--node-id", "--iteration", "--accept-workflow-change"},
    "up": {"--run-id", "--resume", "--force", "--input", "--accept-workflow-change"},
    "approve": {"--node", "--iteration"},
    "deny": {"--node", "--iteration"},
    "human": {"--value"},
    "signal": {"--data", "--correlation"},
    "cancel": set(),
    "rewind": {"--yes"},
    "inspect": set(),
    "node": {"--run-id", "--attempts", "--tools", "--iteration"},
    "events": {"--json", "--limit"},
}
"""Verbs and flags that `smithers VERB --help` of 0.32 lists."""

ids = st.text(st.characters(exclude_characters="\0…", exclude_categories=["Cs"]), min_size=1).filter(lambda s: not s.startswith("-"))


@given(ids, ids, ids)
def test_every_argument_survives_a_shell(path: str, run_id: str, node_id: str) -> None:
    """Ids and paths full of metacharacters reach the CLI as they are."""
    arguments = shlex.split(smithers.retry_task(path, run_id, node_id, 2))
    assert arguments[3] == path
    assert arguments[5] == run_id
    assert arguments[7] == node_id


def test_only_known_verbs_and_flags() -> None:
    """Nothing is printed that Smithers 0.32 does not understand."""
    printed = [
        smithers.retry_task("w.tsx", "r", "n", 1),
        smithers.accepting_change(smithers.retry_task("w.tsx", "r", "n")),
        smithers.accepting_change(smithers.resume("w.tsx", "r", force=True)),
        smithers.approve("r", "n", 1),
        smithers.deny("r", "n", 1),
        smithers.answer("human:r:n:0", "true"),
        smithers.signal("r", "paid", "order-1"),
        smithers.cancel("r"),
        smithers.fresh_run("w.tsx", {"a": 1}),
        smithers.rewind("r", 3),
        smithers.inspect("r"),
        smithers.node("r", "n", 1),
        smithers.events("r"),
    ]
    for command in printed:
        arguments = shlex.split(command)
        assert tuple(arguments[:2]) == smithers.program
        assert {a for a in arguments if a.startswith("--")} <= FLAGS[arguments[2]]


def test_input_is_one_json_argument() -> None:
    """A fresh run gets the same input, quotes and all."""
    assert shlex.split(smithers.fresh_run("w.tsx", {"note": "it's $HOME"}))[-1] == '{"note": "it\'s $HOME"}'


dashed = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"])).map("-{}".format)


@given(dashed, dashed)
@example("-Dsn", "-*")  # a name that speaks of a secret, before an option in quotes
@example("-BEARER", "-")
@example("-SECURESTRING", "-*")
def test_ids_like_flags_are_values(run_id: str, node_id: str) -> None:
    """An id that starts with a dash is joined to its flag, so that it is never taken for one."""
    arguments = shlex.split(smithers.retry_task("w.tsx", run_id, node_id))
    assert arguments[4:] == [f"--run-id={run_id}", f"--node-id={node_id}"]


def called(command: str) -> dict[str, Any]:
    """Read the one call that a command sends to the MCP server."""
    printf, form, text, pipe, *cli = shlex.split(command)
    assert (printf, form, pipe, tuple(cli)) == ("printf", "%s\\n", "|", (*smithers.program, "--mcp"))
    call: dict[str, Any] = json.loads(text)
    assert call["method"] == "tools/call"
    assert call["params"]["name"] == "resolve_approval"
    return dict(call["params"]["arguments"])


def test_a_gate_of_a_run_named_like_a_flag_is_decided_in_json() -> None:
    """`approve` and `deny` take the run as an argument, which may not start with a dash."""
    gate = {"runId": "-r", "nodeId": "-n", "iteration": 0}
    assert called(smithers.approve("-r", "-n")) == {"action": "approve", **gate}
    assert called(smithers.deny("-r", "-n")) == {"action": "deny", **gate}
    assert shlex.split(smithers.approve("r", "-n"))[2:] == ["approve", "r", "--node=-n"]


@given(ids, ids, ids)
def test_a_choice_is_one_json_call(run_id: str, node_id: str, key: str) -> None:
    """What the choice is reaches the engine as it is; the note of `approve` would leave it empty."""
    assert called(smithers.choose(run_id, node_id, 2, {"selected": key}))["decision"] == {"selected": key}


def test_a_second_gate_of_a_task_is_found_by_the_cli() -> None:
    """Its negative iteration is refused as a flag."""
    assert "--iteration" not in smithers.approve("r", "n", -15)
    assert "iteration" not in called(smithers.choose("r", "n", -15, {"selected": "a"}))


def test_what_a_person_must_fill_in_is_no_json() -> None:
    """Pasted as it stands the line is refused, and nothing is delivered."""
    data = shlex.split(smithers.signal("r", "paid"))[-1]
    call = shlex.split(smithers.choose("r", "n", 0, {"selected": FILL_IN}))[2]
    for text in (data, call):
        with pytest.raises(json.JSONDecodeError):
            json.loads(text)


def test_only_what_continues_a_run_accepts_a_change() -> None:
    """Resume and retry-task get the switch once; a fresh run and the rest stay as they are."""
    again = smithers.accepting_change(smithers.retry_task("w x.tsx", "r", "n"))
    assert smithers.accepting_change(again) == again
    assert shlex.split(again)[-1] == "--accept-workflow-change"
    for other in (smithers.fresh_run("w.tsx", {}), smithers.cancel("r"), smithers.inspect("r"), smithers.approve("r", "n")):
        assert smithers.accepting_change(other) == other
