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
    why = summary(write_log(tmp_path / "s.jsonl", user("build"), *fails, said("It does not build.", message="m9")))
    assert "Failed 3 times in a row (lines 3 to 7), which took 5.0 s and at least 6 tokens: Bash make build." in why.summary
    why = summary(write_log(tmp_path / "s.jsonl", user("build"), *fails[:4], *ran("make build"), *fails[:4], said("It builds.")))
    assert "in a row" not in why.summary


def test_patches_of_codex_are_changes(tmp_path):
    """Codex edits with `apply_patch`, as a tool or in its shell."""
    patch = item("custom_tool_call", name="apply_patch", call_id="p", input="*** Begin Patch")
    done = event("task_complete", last_agent_message="Implemented.")
    records = codex(event("task_started"), event("user_message", message="add it"), patch, done)
    assert "changes of files (line 4) and no test run" in summary(write_log(tmp_path / "rollout-1.jsonl", *records)).summary


def test_other_words_are_another_failure(tmp_path):
    """A command that fails with another error each time is progress, and no circle."""
    fails = [record for name in ("alpha", "beta", "gamma") for record in ran("make build", f"Exit code 2: undefined {name}", error=True)]
    assert "in a row" not in summary(write_log(tmp_path / "s.jsonl", user("build"), *fails, said("It is hard."))).summary


def test_what_a_stop_leaves_behind(tmp_path):
    """Files changed since the last commit, and what runs in the background until something ends it; a refused edit changed nothing."""
    server = (call("p", "Bash", command="npm run dev"), result("p", "Command running in background with ID: b1f2."))
    refused = (call("r", "Write", file_path="no.py"), result("r", "The user doesn't want to proceed with this tool use.", error=True))
    stop = user("[Request interrupted by user]")
    later = (call("g", "Edit", file_path="b.py"), result("g", "ok"))
    why = summary(
        write_log(tmp_path / "s.jsonl", user("go"), *EDIT, *ran("git add -A && git commit -m x"), *server, *later, *refused, stop)
    )
    assert "Left behind, changed since the last commit in the log: b.py (line 8)." in why.summary
    assert "Started in the background, with no end in the log: npm run dev (line 6)." in why.summary
    ended = call("k", "KillShell", shell_id="b1f2"), result("k", "killed")
    assert "background" not in summary(write_log(tmp_path / "t.jsonl", user("go"), *server, *ended, stop)).summary
    half = summary(write_log(tmp_path / "u.jsonl", user("go"), EDIT[0])).summary
    assert "The log does not say whether its last change of a file was written (line 2)." in half


def test_a_slow_command_of_codex_is_not_left_running(tmp_path):
    """A process counts once it was seen running again; its exit, or a patch's files, are read from the output and the call."""
    begin = (event("task_started"), event("user_message", message="go"))
    running = "Wall time: 1.0 seconds\nProcess running with session ID 41"
    slow = (
        item("function_call", name="exec_command", call_id="a", arguments="{}"),
        item("function_call_output", call_id="a", output=running),
    )
    look = (
        item("function_call", name="write_stdin", call_id="b", arguments='{"session_id":41}'),
        item("function_call_output", call_id="b", output=running),
    )
    patch = "*** Begin Patch\n*** Update File: a.py\n*** Add File: b.py\n"
    edit = (
        item("custom_tool_call", name="apply_patch", call_id="p", input=patch),
        item("custom_tool_call_output", call_id="p", output="ok"),
    )
    stop = event("turn_aborted", reason="interrupted")
    first = summary(write_log(tmp_path / "rollout-1.jsonl", *codex(*begin, *slow, *edit, stop))).summary
    assert "background" not in first
    assert "a.py (line 6), b.py (line 6)" in first
    assert (
        "with no end in the log: {} (line 4)"
        in summary(write_log(tmp_path / "rollout-2.jsonl", *codex(*begin, *slow, *look, stop))).summary
    )


def test_how_many_subagents_delivered(tmp_path):
    """One that is only launched delivers with its notice; one that ends in an error delivers nothing."""
    launched = call("a", "Task"), result("a", "Async agent launched successfully.")
    empty = call("b", "Task"), result("b", "Prompt is too long")
    notice = user("<task-notification><task-id>x</task-id><status>completed</status></task-notification>")
    path = write_log(tmp_path / "s.jsonl", user("go"), *launched, *empty, said("ok"), notice, said("done"))
    assert "1 of 2 subagents delivered a result." in summary(path).summary
