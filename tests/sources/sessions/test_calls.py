"""What the calls of a session show: whether the last claim is backed, and where it went in circles."""

from __future__ import annotations

import pytest

from smithers_nb import connect
from tests.support.sessions import call, codex, event, item, result, said, user, write_log

EDIT = (call("e", "Edit", file_path="a.py"), result("e", "ok"))
DONE = said("Done: all tests pass.", message="m9")


def ran(command, text="ok", *, error=False):
    """A run of a command and its result."""
    return call("t", "Bash", command=command), result("t", text, error=error)


CLAIMS = {
    "backed": ([*EDIT, *ran("cd shop && pytest -q")], "the last test run (line 4) passed, after the last change of a file"),
    "failed": (
        [*EDIT, *ran("npm run test", "Exit code 1\n2 failed", error=True)],
        "(line 4) failed with exit code 1, after",
    ),
    "changed since": ([*ran("go test ./..."), *EDIT], "(line 2) passed, and files were changed after it (line 4)"),
    "behind a pipe": ([*EDIT, *ran("cargo test 2>&1 | tail -5")], "(line 4) does not show its own exit code"),
    "no run": ([*EDIT, *ran("ls tests")], "the log has changes of files (line 2) and no test run"),
}


def summary(path):
    """What is said of the only session of a file."""
    with connect(path) as project:
        return project.run(path.name).why()


@pytest.mark.parametrize("name", CLAIMS)
def test_a_claim_is_held_against_the_last_test_run(tmp_path, name):
    """How the tests ended, by the exit code that is theirs, and what was changed after them; the class stays what it was."""
    records, told = CLAIMS[name]
    why = summary(write_log(tmp_path / "s.jsonl", user("fix it"), *records, DONE))
    assert told in why.summary
    assert f"The last answer says that the work is done (line {len(records) + 2})" in why.summary
    assert (why.state, why.failure_class) == ("finished", None)


def test_nothing_is_said_where_nothing_was_claimed_or_changed(tmp_path):
    """An answer to a question needs no tests."""
    for records in ([*EDIT, said("Which file?", message="m9")], [DONE]):
        assert "test run" not in summary(write_log(tmp_path / "s.jsonl", user("hi"), *records)).summary


def test_a_call_that_fails_again_and_again(tmp_path):
    """Three failures of one call in a row are told with their lines; a success between them is the end of a row."""
    fails = [record for _ in range(3) for record in ran("make build", "Exit code 2", error=True)]
    why = summary(write_log(tmp_path / "s.jsonl", user("build"), *fails, *ran("make build"), said("It builds.")))
    assert "Failed 3 times in a row (lines 3 to 7): Bash make build." in why.summary
    why = summary(write_log(tmp_path / "s.jsonl", user("build"), *fails[:4], *ran("make build"), *fails[:4], said("It builds.")))
    assert "in a row" not in why.summary


def test_patches_of_codex_are_changes(tmp_path):
    """Codex edits with `apply_patch`, as a tool or in its shell."""
    patch = item("custom_tool_call", name="apply_patch", call_id="p", input="*** Begin Patch")
    done = event("task_complete", last_agent_message="Implemented.")
    records = codex(event("task_started"), event("user_message", message="add it"), patch, done)
    assert "changes of files (line 4) and no test run" in summary(write_log(tmp_path / "rollout-1.jsonl", *records)).summary
