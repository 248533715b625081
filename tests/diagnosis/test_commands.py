"""Printed commands hand exact arguments to the real CLI."""

from __future__ import annotations

import shlex

from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.diagnosis import commands

FLAGS = {
    "retry-task": {"--run-id", "--node-id", "--iteration"},
    "up": {"--run-id", "--resume", "--force", "--input", "--accept-workflow-change"},
    "approve": {"--node", "--iteration", "--note"},
    "deny": {"--node", "--iteration"},
    "human": {"--value"},
    "signal": {"--data", "--correlation"},
    "cancel": set(),
    "rewind": set(),
    "inspect": set(),
    "node": {"--run-id", "--attempts", "--tools", "--iteration"},
    "events": {"--json", "--limit"},
}
"""Verbs and flags that `smithers VERB --help` of 0.32 lists."""

ids = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1).filter(lambda s: not s.startswith("-"))


@given(ids, ids, ids)
def test_every_argument_survives_a_shell(path: str, run_id: str, node_id: str) -> None:
    """Ids and paths full of metacharacters reach the CLI as they are."""
    arguments = shlex.split(commands.retry_task(path, run_id, node_id, 2))
    assert arguments[3] == path
    assert arguments[5] == run_id
    assert arguments[7] == node_id


def test_only_known_verbs_and_flags() -> None:
    """Nothing is printed that Smithers 0.32 does not understand."""
    printed = [
        commands.retry_task("w.tsx", "r", "n", 1),
        commands.resume("w.tsx", "r", force=True, accept_change=True),
        commands.approve("r", "n", 1, note="fine"),
        commands.deny("r", "n", 1),
        commands.answer("human:r:n:0", "true"),
        commands.signal("r", "paid", "order-1"),
        commands.cancel("r"),
        commands.fresh_run("w.tsx", {"a": 1}),
        commands.rewind("r", 3),
        commands.inspect("r"),
        commands.node("r", "n", 1),
        commands.events("r"),
    ]
    for command in printed:
        arguments = shlex.split(command)
        assert tuple(arguments[:2]) == commands.CLI
        assert {a for a in arguments if a.startswith("--")} <= FLAGS[arguments[2]]


def test_input_is_one_json_argument() -> None:
    """A fresh run gets the same input, quotes and all."""
    assert shlex.split(commands.fresh_run("w.tsx", {"note": "it's $HOME"}))[-1] == '{"note": "it\'s $HOME"}'
