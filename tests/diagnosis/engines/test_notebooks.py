"""Printed commands hand exact arguments to our own command line, whose own parser takes them."""

from __future__ import annotations

import json
import shlex

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.cli.app import COMMANDS, LazyGroup
from smithers_nb.diagnosis.engines.base import FILL_IN
from smithers_nb.diagnosis.engines.notebooks import WORKER, NotebookCommands
from smithers_nb.redact.names import is_secret_name

OURS = NotebookCommands()

ids = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,20}", fullmatch=True)
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]))


def parsed(line):
    """Return the command that our own parser makes of a line: its name, and its values by parameter."""
    program, *words = shlex.split(line)
    assert program == "smithers-nb"
    name, *rest = words
    command = LazyGroup(name="smithers-nb").get_command(click.Context(click.Group()), name)
    while isinstance(command, click.Group):
        inner, *rest = rest
        command = command.get_command(click.Context(command), inner)
        name = f"{name} {inner}"
    assert command is not None
    context = command.make_context(name, list(rest))
    return name, context.params


def test_every_verb_is_a_command_of_ours():
    """Nothing is printed that our own command line does not have."""
    j = OURS
    lines = [
        j.retry_task("n.ipynb", "r", "sum", 2),
        j.resume("n.ipynb", "r", force=True),
        j.accepting_change(j.resume("n.ipynb", "r")),
        j.accepting_change(j.retry_task("n.ipynb", "r", "sum")),
        j.approve("r", "gate", 1),
        j.deny("r", "gate"),
        j.answer("human:r:who:0", '"eu"'),
        j.cancel("r"),
        j.fresh_run("n.ipynb", {"day": 3}),
        j.rewind("r", 2),
        j.inspect("r"),
        j.node("r", "sum", 1),
        j.events("r"),
        WORKER,
    ]
    assert {parsed(line)[0].partition(" ")[0] for line in lines} <= set(COMMANDS)


@given(ids, ids, st.integers(1, 9))
def test_a_retry_names_its_task(run_id, node_id, iteration):
    """Run, node and round reach the command as they are, also when it has to accept an edit."""
    line = OURS.accepting_change(OURS.retry_task("n.ipynb", run_id, node_id, iteration))
    name, given_ = parsed(line)
    assert (name, given_["run"], given_["node"], given_["iteration"]) == ("retry-task", run_id, node_id, iteration)
    assert not given_["yes"]  # whether something is given up for it is for a person to say
    assert given_["accept_workflow_change"]


@given(ids, ids)
def test_a_gate_is_decided_by_name(run_id, node_id):
    """Run and gate reach `approve` and `deny`."""
    for verb, line in (("approve", OURS.approve(run_id, node_id)), ("deny", OURS.deny(run_id, node_id))):
        name, given_ = parsed(line)
        assert (name, given_["run"], given_["node"], given_["iteration"]) == (verb, run_id, node_id, None)


@pytest.mark.parametrize("node_id", ["-x", "--yes", "-"])
def test_a_cell_named_like_a_flag(node_id):
    """A cell's id may begin with a dash; it is never taken for an option."""
    assert parsed(OURS.retry_task("n", "r", node_id))[1]["node"] == node_id
    assert parsed(OURS.approve("r", node_id))[1]["node"] == node_id
    assert parsed(OURS.node("r", node_id))[0] == "inspect"


@given(
    st.dictionaries(
        st.from_regex(r"[a-z_]{1,8}", fullmatch=True).filter(lambda name: not is_secret_name(name)),
        texts | st.integers() | st.booleans() | st.lists(st.integers()),
        max_size=4,
    )
)
def test_a_fresh_run_gets_the_same_parameters(parameters):
    """Each parameter is one pair: text as it is, anything else as JSON; only names of secrets are left out here."""
    _, given_ = parsed(OURS.fresh_run("n.ipynb", parameters))
    pairs = {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
    assert dict(given_["pairs"]) == pairs


@pytest.mark.parametrize("value", ["0", "hunter2"])
def test_a_password_is_left_for_the_person(value):
    """The value of a parameter named like a password is not printed; the command has a placeholder in its place."""
    _, given_ = parsed(OURS.fresh_run("n.ipynb", {"pw": value, "day": "1"}))
    assert dict(given_["pairs"]) == {"pw": FILL_IN, "day": "1"}


@given(texts)
def test_an_answer_is_one_value(value):
    """Whatever the answer is, it is the value of one option."""
    name, given_ = parsed(OURS.answer("human:r:who:0", value))
    assert (name, given_["request"], given_["value"]) == ("human answer", "human:r:who:0", value)


def test_accepting_a_change_leaves_other_commands_alone():
    """Only what goes on with a run is told to accept an edit, and once."""
    resume = OURS.accepting_change(OURS.resume(None, "r"))
    assert resume == "smithers-nb resume r --accept-workflow-change"
    assert OURS.accepting_change(resume) == resume
    assert OURS.accepting_change(OURS.cancel("r")) == "smithers-nb cancel r"
