"""How a session ended, which line proves it, whose fault it was: by the kinds of record, for each CLI."""

from __future__ import annotations

import json

import pytest

from smithers_nb import connect
from smithers_nb.model.rows import RunRow
from tests.support.data import DATA
from tests.support.sessions import (
    SESSION,
    answered,
    api_error,
    asked,
    call,
    chat,
    codex,
    event,
    gemini,
    gemini_call,
    item,
    result,
    retry,
    said,
    used,
    user,
    words,
    write_document,
    write_log,
)

SESSIONS = DATA / "sessions"
LABELS = json.loads((SESSIONS / "labels.json").read_text())
REFUSED = "The user doesn't want to proceed with this tool use. To tell you how to proceed, the user said:\nuse pnpm"
STOPPED = "[Request interrupted by user for tool use]"
MISSING = "Agent type 'tidy' not found. Available agents: Bash, kit:tidy"
BEGIN = event("task_started", turn_id="t1")
ASKED = event("user_message", message="add a test")
ANSWER = item("message", role="assistant", content=[{"type": "output_text", "text": "Added."}])
DONE = event("task_complete", turn_id="t1", last_agent_message="Added.")


def output(text):
    """The output of a call of Codex."""
    return item("function_call_output", call_id="c1", output=text)


SHELL = item("function_call", name="shell_command", call_id="c1", arguments='{"command": "make"}')


def notice(status, summary, report=""):
    """What the CLI writes in the person's place once something in the background is over."""
    told = f"<result>{report}</result>" if report else ""
    return user(f"<task-notification><task-id>x</task-id><status>{status}</status><summary>{summary}</summary>{told}</task-notification>")


LAUNCHED = [user("hi"), call("a", "Agent"), result("a", "Async agent launched successfully."), said("It is on its way.")]
UNASKED = "I could not edit anything: Edit has been auto-denied (prompts unavailable)."
HOOK = said("") | {"type": "system", "subtype": "stop_hook_summary", "preventedContinuation": True, "stopReason": "lint failed"}
BLOCKED = HOOK | {"subtype": "informational", "preventedContinuation": False, "content": "UserPromptSubmit operation blocked by hook: no"}
CLAUDE = {
    "answered": ([user("hi"), said("done")], "finished", None, 2),
    "after retries": ([user("hi"), retry(1), retry(2), said("done")], "finished", None, 4),
    "a failed turn before": ([user("hi"), api_error("API Error: 500 {}"), user("again"), said("ok")], "finished", "agent-flake", 2),
    "overloaded": ([user("hi"), retry(10), api_error('API Error: 529 {"error":{"message":"Overloaded"}}')], "failed", "agent-flake", 3),
    "usage limit": ([user("hi"), api_error("You've hit your session limit · resets 9:50pm")], "failed", "environment", 2),
    "bad model": ([user("hi"), api_error('API Error: 400 {"error":{"message":"Invalid model: x"}}')], "failed", "environment", 2),
    "stopped in a retry": ([user("hi"), retry(1, "your token plan not support model x", 500)], "interrupted", "environment", 2),
    "network lost": ([user("hi"), retry(1, ""), user(STOPPED), user("go on"), said("ok")], "finished", "agent-flake", 2),
    "interrupted": (
        [user("hi"), call("a"), result("a", STOPPED, error=True), user([{"type": "text", "text": STOPPED}])],
        "interrupted",
        None,
        3,
    ),
    "refused, then done": ([user("hi"), call("a"), result("a", REFUSED, error=True), said("ok")], "finished", None, 4),
    "denied by a rule": (
        [user("hi"), call("a"), result("a", "Permission to use Bash with command ls has been denied.", error=True), said("ok")],
        "finished",
        "environment",
        3,
    ),
    "agent misnamed": ([user("hi"), call("a", "Task"), result("a", MISSING, error=True), said("ok")], "finished", "workflow-bug", 3),
    "command misnames": (
        [user("<command-name>/plan</command-name>"), call("a", "Task"), result("a", MISSING, error=True), said("ok")],
        "finished",
        "environment",
        3,
    ),
    "empty-handed subagent": (
        [user("hi"), call("a", "Task"), result("a", [{"type": "text", "text": "Prompt is too long"}]), said("ok")],
        "finished",
        "agent-flake",
        3,
    ),
    "background agent denied its tools": (
        [*LAUNCHED, notice("completed", 'Agent "edit" completed', UNASKED), said("ok")],
        "finished",
        "environment",
        5,
    ),
    "background agent met an error": (
        [*LAUNCHED, notice("completed", 'Agent "edit" completed', "API Error: 529 Overloaded"), said("ok")],
        "finished",
        "agent-flake",
        5,
    ),
    "background agent failed": (
        [*LAUNCHED, notice("failed", 'Agent "edit" failed: out of memory'), said("ok")],
        "finished",
        "agent-flake",
        5,
    ),
    "background agent delivered": (
        [*LAUNCHED, notice("completed", 'Agent "edit" completed', "Two defects."), said("ok")],
        "finished",
        None,
        6,
    ),
    "background command failed": (
        [*LAUNCHED, notice("failed", 'Background command "make" failed with exit code 2'), said("ok")],
        "finished",
        None,
        6,
    ),
    "open call": ([user("hi"), said("look"), call("a")], "cut", None, 3),
    "asks": ([user("hi"), call("a", "AskUserQuestion")], "waiting", None, 2),
    "no answer": ([user("hi"), said("ok"), user("and?")], "cut", None, 3),
    "after a result": ([user("hi"), call("a"), result("a", "x")], "cut", None, 3),
    "local command last": ([user("hi"), said("ok"), user("<command-name>/model</command-name>")], "finished", None, 2),
    "a hook blocks a call": (
        [user("hi"), call("a"), result("a", "PreToolUse:Bash hook error: [guard.sh]: blocked", error=True), said("ok")],
        "finished",
        "environment",
        3,
    ),
    "a hook stops the agent": ([user("hi"), said("ok"), HOOK], "failed", "environment", 3),
    "a hook blocks the prompt": ([user("hi"), BLOCKED], "failed", "environment", 2),
    "refused at the end": (
        [user("hi"), call("a"), result("a", f"{REFUSED.partition(' To tell')[0]} STOP.", error=True)],
        "interrupted",
        None,
        3,
    ),
    "refused with words": ([user("hi"), call("a"), result("a", REFUSED, error=True)], "cut", None, 3),
    "too long a conversation": ([user("hi"), said("ok"), api_error("Prompt is too long")], "failed", "agent-flake", 3),
    "too large an image": (
        [user("hi"), api_error('API Error: 400 {"error":{"message":"image exceeds 5 MB maximum"}}')],
        "failed",
        "agent-flake",
        2,
    ),
    "too long an answer": (
        [user("hi"), api_error("API Error: the response exceeded the 32000 output token maximum.")],
        "failed",
        "agent-flake",
        2,
    ),
    "a budget": ([user("hi"), {"type": "result", "subtype": "error_max_budget_usd", "session_id": SESSION}], "failed", "environment", 2),
    "bug of the CLI": (
        [user("hi"), api_error('API Error: 400 {"error":{"message":"messages.3: tool_use ids were found without tool_result blocks"}}')],
        "failed",
        "agent-flake",
        2,
    ),
    "left": ([user("hi"), call("a"), user("<command-name>/exit</command-name>")], "interrupted", None, 3),
    "headless limit": ([user("hi"), {"type": "result", "subtype": "error_max_turns", "session_id": SESSION}], "failed", "environment", 2),
    "subagent inline": ([user("hi"), said("ok"), call("a") | {"isSidechain": True}], "finished", None, 2),
}
CODEX = {
    "done": ([BEGIN, ASKED, ANSWER, DONE], "finished", None, 5),
    "exit codes are work": ([BEGIN, ASKED, SHELL, output("Exit code: 2\nOutput:\nno such file"), ANSWER, DONE], "finished", None, 7),
    "aborted": (
        [BEGIN, ASKED, SHELL, output("aborted by user after 3s"), event("turn_aborted", reason="interrupted")],
        "interrupted",
        None,
        6,
    ),
    "an error at the end": (
        [
            BEGIN,
            ASKED,
            event("task_complete", error={"message": "You've hit your usage limit.", "codex_error_info": "usage_limit_exceeded"}),
        ],
        "failed",
        "environment",
        4,
    ),
    "a silent limit": (
        [
            BEGIN,
            ASKED,
            event("token_count", rate_limits={"primary": {"used_percent": 100.0, "window_minutes": 300}}),
            event("task_complete"),
        ],
        "failed",
        "environment",
        5,
    ),
    "a budget": ([BEGIN, ASKED, event("turn_aborted", reason="budget_limited")], "failed", "environment", 4),
    "no answer is no failure": ([BEGIN, ASKED, event("task_complete", last_agent_message=None)], "finished", None, 4),
    "open call on a bare machine": (
        [BEGIN, ASKED, SHELL, output("Exit code: 1\nOutput:\n" + "\0".join("has no installed distributions")), SHELL],
        "cut",
        "environment",
        6,
    ),
    "a script without the network": (
        [
            BEGIN,
            ASKED,
            SHELL,
            output("Script completed\nOutput:\n Updating index\nwarning: network error: Could not resolve host: a.b"),
            SHELL,
        ],
        "cut",
        "environment",
        5,
    ),
    "a script that reads of it": (
        [BEGIN, ASKED, SHELL, output("Script completed\nOutput:\n# When it says: Could not resolve host\n"), SHELL],
        "cut",
        None,
        6,
    ),
    "no end": ([BEGIN, ASKED, ANSWER], "cut", None, 4),
    "rolled back": (
        [BEGIN, ASKED, event("turn_aborted", reason="interrupted"), event("thread_rolled_back", num_turns=1), BEGIN, ASKED, ANSWER, DONE],
        "finished",
        None,
        9,
    ),
    "a fix that was none": (
        [
            *(BEGIN, ASKED, event("task_complete", last_agent_message="Fixed the deposit.")),
            *(event("task_started"), event("user_message", message="it still fails with the same error"), ANSWER, DONE),
        ],
        "finished",
        "agent-flake",
        6,
    ),
}
INIT = {"type": "init", "session_id": SESSION, "model": "gemini-x"}
TOLD = {"type": "message", "role": "user", "content": "build it"}
USED = {"type": "tool_use", "tool_name": "activate_skill", "tool_id": "a", "parameters": {}}
UNKNOWN = {"type": "tool_result", "tool_id": "a", "status": "error", "error": {"message": 'Skill "web" not found. Available skills are: '}}
BUILT = {"type": "message", "role": "assistant", "content": "Built.", "delta": True}
OVER = {"type": "result", "status": "success", "stats": {"input": 9, "output_tokens": 2}}
SECOND = INIT | {"session_id": "22222222-2222-4333-8444-555555555555"}
INVALID = json.dumps({"error": {"code": 400, "message": "Request contains an invalid argument.", "status": "INVALID_ARGUMENT"}})
REFUSAL = {
    "type": "result",
    "status": "error",
    "error": {"type": "Error", "message": f"[API Error: {json.dumps({'error': {'message': INVALID, 'code': 400}})}]"},
}
GEMINI = {
    "done": ([INIT, TOLD, BUILT, {"type": "result", "status": "success", "stats": {"input": 9, "output_tokens": 2}}], "finished", None, 4),
    "failed": ([INIT, TOLD, {"type": "result", "status": "error", "error": {"message": "quota exceeded"}}], "failed", "environment", 3),
    "cut after a missing skill": ([TOLD, INIT, TOLD, USED, UNKNOWN, USED], "cut", "environment", 5),
    "cancelled": (
        [INIT, TOLD, {"type": "result", "status": "error", "error": {"type": "FatalCancellationError", "message": "Operation cancelled."}}],
        "interrupted",
        None,
        3,
    ),
    "no result": ([INIT, TOLD, BUILT], "cut", None, 3),
    "a second session that stops": ([INIT, TOLD, BUILT, OVER, TOLD, SECOND, TOLD, USED], "finished", None, 4),
    "a second session after a failed one": ([INIT, TOLD, REFUSAL, SECOND, TOLD, USED], "failed", "agent-flake", 3),
    "a second session that ends": ([INIT, TOLD, REFUSAL, SECOND, TOLD, BUILT, OVER], "finished", "agent-flake", 7),
}
HI = {"id": "u1", "type": "user", "content": [{"text": "build it"}]}
MORE = {"id": "u2", "type": "user", "content": "and now?"}
BUILDING = gemini("g1", "", gemini_call("a", "executing", command="make"))
CHATS = {
    "answered": ([HI, gemini("g1", "", gemini_call("a", "success", "ok", command="make")), gemini("g2", "Built.")], "finished", None, 4),
    "written again": ([HI, BUILDING, gemini("g1", "", gemini_call("a", "success", "ok")), gemini("g2", "Built.")], "finished", None, 5),
    "an open approval": ([HI, gemini("g1", "", gemini_call("a", "awaiting_approval", command="rm x"))], "waiting", None, 3),
    "still in a call": ([HI, BUILDING], "cut", None, 3),
    "refused": ([HI, gemini("g1", "", gemini_call("a", "cancelled", "User did not allow tool call"))], "interrupted", None, 3),
    "cancelled": ([HI, BUILDING, {"id": "n", "type": "info", "content": "Request cancelled."}], "interrupted", None, 4),
    "an error": ([HI, {"id": "n", "type": "error", "content": "[API Error: You have exhausted your quota (429)]"}], "failed", None, 3),
    "rewound": ([HI, gemini("g1", "Built."), MORE, {"id": "n", "type": "error", "content": "x"}, {"$rewindTo": "u2"}], "finished", None, 3),
}
NO_KEY = {"name": "ProviderAuthError", "data": {"message": "Incorrect API key provided", "statusCode": 401}}
STOP = {"name": "MessageAbortedError", "data": {"message": "Aborted"}}
RAN = answered(used("completed", answer="ok", code=0), finish="tool-calls")
FAILED = answered(used("completed", code=2), finish="tool-calls")
NO_LOGIN = "You are not logged into any GitHub hosts. To log in, run: gh auth login"
LOGIN = answered(used("completed", answer=NO_LOGIN, code=1), finish="tool-calls")
EXPORTS = {
    "answered": ([asked("hi"), RAN, answered(words("Built."))], "finished", None, 2),
    "no answer": ([asked("hi")], "cut", None, 0),
    "a dead turn": ([asked("hi"), RAN, answered(finish="")], "cut", None, 2),
    "a dead turn, asked again": ([asked("hi"), answered(finish=""), asked("again"), answered(words("ok"))], "finished", None, 1),
    "stopped at the machine": (
        [asked("hi"), LOGIN, answered(finish="", error=STOP), asked("use ssh"), answered(words("ok"))],
        "finished",
        "environment",
        1,
    ),
    "still in a call": ([asked("hi"), answered(used("running"), finish="")], "cut", None, 1),
    "asks": ([asked("hi"), answered(used("pending", "question"), finish="")], "waiting", None, 1),
    "aborted": ([asked("hi"), RAN, answered(finish="", error=STOP)], "interrupted", None, 2),
    "no key": ([asked("hi"), answered(finish="", error=NO_KEY)], "failed", "environment", 1),
    "refused at the end": (
        [asked("hi"), answered(used("error", answer="The user rejected permission to use this specific tool call."), finish="tool-calls")],
        "interrupted",
        None,
        1,
    ),
    "no room for the answer": (
        [asked("hi"), answered(finish="", error={"name": "MessageOutputLengthError", "data": {}})],
        "failed",
        "agent-flake",
        1,
    ),
    "cut at the limit": ([asked("hi"), answered(words("Once"), finish="length")], "failed", "agent-flake", 1),
    "exit codes are work": (
        [asked("hi"), FAILED, answered(words("x"))],
        "finished",
        None,
        2,
    ),
    "the machine": (
        [asked("hi"), answered(used("completed", answer="bash: go: command not found", code=127), finish="tool-calls")],
        "cut",
        "environment",
        1,
    ),
    "a rule": (
        [
            asked("hi"),
            answered(used("error", answer="The user has specified a rule which prevents you from using this specific tool call.")),
            answered(words("ok")),
        ],
        "finished",
        "environment",
        1,
    ),
    "told to go on": ([asked("hi"), answered(words("ok")), asked("Continue if you have next steps", synthetic=True)], "finished", None, 1),
}


def explain(path):
    """Explain the only session of a file."""
    with connect(path) as project:
        return project.run(path.name).why()


def lines(why):
    """Lines that an explanation rests on."""
    return [int(piece.ref.removeprefix("line:")) for piece in why.evidence]


@pytest.mark.parametrize("name", LABELS)
def test_whole_logs(name):
    """Logs with all that the CLIs write around the records: state, class and the line that proves it."""
    why, label = explain(SESSIONS / name), LABELS[name]
    assert (why.state, why.failure_class) == (label["state"], label["failureClass"])
    assert label["line"] in lines(why)


@pytest.mark.parametrize("name", CLAUDE)
def test_claude(tmp_path, name):
    """State, class and the line that proves it."""
    records, state, failure_class, line = CLAUDE[name]
    why = explain(write_log(tmp_path / "session.jsonl", *records))
    assert (why.state, why.failure_class) == (state, failure_class)
    assert line in lines(why)
    assert f"line {line}" in why.summary


@pytest.mark.parametrize("name", CODEX)
def test_codex(tmp_path, name):
    """State, class and the line that proves it."""
    records, state, failure_class, line = CODEX[name]
    why = explain(write_log(tmp_path / "rollout-1.jsonl", *codex(*records)))
    assert (why.state, why.failure_class) == (state, failure_class)
    assert line in lines(why)


@pytest.mark.parametrize("name", GEMINI)
def test_gemini(tmp_path, name):
    """State, class and the line that proves it."""
    records, state, failure_class, line = GEMINI[name]
    why = explain(write_log(tmp_path / "stream.jsonl", *records))
    assert (why.state, why.failure_class) == (state, failure_class)
    assert line in lines(why)


@pytest.mark.parametrize("name", CHATS)
def test_gemini_chats(tmp_path, name):
    """State and the line that proves it; an open approval is one that can be seen."""
    records, state, failure_class, line = CHATS[name]
    why = explain(write_log(tmp_path / "session-1.jsonl", *chat(*records)))
    assert why.state == state
    assert failure_class is None or why.failure_class == failure_class
    assert line in lines(why)


@pytest.mark.parametrize("name", EXPORTS)
def test_opencode(tmp_path, name):
    """State, class and the message that proves it, by its place in the export."""
    messages, state, failure_class, place = EXPORTS[name]
    why = explain(
        write_document(tmp_path / "export.json", messages, info={"id": "ses_1", "version": "1.15.6", "directory": "/home/dev/shop"})
    )
    assert (why.state, why.failure_class) == (state, failure_class)
    assert place in lines(why)
    assert why.advice is None or why.commands == ("opencode --session ses_1",)


def test_what_to_do_is_the_command_of_that_cli(tmp_path):
    """A session is resumed by its own program; a finished one needs nothing."""
    failed = write_log(tmp_path / "a.jsonl", *CLAUDE["overloaded"][0])
    assert explain(failed).commands == (f"claude --resume {SESSION}",)
    assert "/home/dev/shop" in explain(failed).advice.detail
    assert explain(write_log(tmp_path / "b.jsonl", *codex(BEGIN, ASKED))).commands == (f"codex resume {SESSION}",)
    assert explain(write_log(tmp_path / "c.jsonl", *CLAUDE["answered"][0])).advice is None


@pytest.mark.slow
def test_the_last_failed_turn_decides_in_every_answer(tmp_path):
    """`why`, the autopsy and the list of failures say the same of a session with several failed turns."""
    first, last = api_error("API Error: 529 overloaded"), api_error('API Error: 400 {"error":{"message":"Invalid model: x"}}')
    path = write_log(tmp_path / "s.jsonl", user("hi"), first, user("hi"), last)
    with connect(path) as project:
        run = project.run("s.jsonl")
        verdict = run.autopsy()
        assert run.why().failure_class == verdict.failure_class == "environment"
        assert "Invalid model" in verdict.root_cause.partition(". ")[0]
        assert verdict.suggestion == "fix-environment"
        assert list(project.failures.failure_class) == ["agent-flake", "environment"]


@pytest.mark.parametrize("name", ["bug of the CLI", "a hook stops the agent", "overloaded", "bad model"])
def test_a_list_of_failures_says_the_same(tmp_path, name):
    """Class and signature of a failed session are those that `why` has, so that it is found again by them."""
    with connect(write_log(tmp_path / "s.jsonl", *CLAUDE[name][0])) as project:
        why = project.run("s.jsonl").why()
        (row,) = project.failure_rows()
    assert (row.failure_class, row.signature) == (why.failure_class, why.failure.signatures[0])


def test_the_first_sentence_says_whose_fault_it_is_and_what_comes_next(tmp_path):
    """What happened, why, where it stands, and what to do; of a limit also when it resets."""
    limit = "You've hit your weekly limit · resets Oct 9, 10am (Europe/Berlin)"
    why = explain(write_log(tmp_path / "a.jsonl", user("hi"), api_error(limit)))
    assert why.summary == (
        f"The last turn failed, because a usage limit of the account is reached: {limit} (line 2); "
        "it can be resumed once the limit resets or is raised."
    )
    assert "Wait until the limit resets (Oct 9, 10am (Europe/Berlin))" in why.advice.detail
    old = explain(write_log(tmp_path / "b.jsonl", user("hi"), api_error("Claude AI usage limit reached|1760000000")))
    assert "(2025-10-09 08:53:20 UTC)" in old.advice.detail
    went_on = explain(write_log(tmp_path / "c.jsonl", *CLAUDE["denied by a rule"][0]))
    assert went_on.summary.startswith(
        "It finished: the last turn was answered (line 4). On the way a permission rule or a hook denied a call"
    )
    waits = explain(write_log(tmp_path / "d.jsonl", *CLAUDE["stopped in a retry"][0]))
    assert waits.summary.startswith("The log ends while the CLI waited for retry 1 of 10, because the provider refuses the account")


def test_of_several_sessions_the_told_one_is_resumed(tmp_path):
    """Where a later one stops, the command names the one that ended."""
    why = explain(write_log(tmp_path / "stream.jsonl", INIT, TOLD, REFUSAL, SECOND, TOLD, USED))
    assert why.commands == (f"gemini --resume {SESSION}",)


def test_secrets_are_not_shown(tmp_path):
    """A key in an error is taken out before anything is cut."""
    key = "sk-ant-" + "api03-" + "a1B2" * 12
    why = explain(write_log(tmp_path / "s.jsonl", user(f"use {key}"), api_error(f"API Error: 401 invalid api key {key}")))
    assert "a1B2a1B2" not in str(why.as_json())


def test_several_sessions_in_one_file(tmp_path):
    """The newest session with a recorded end is told, and where the one after it stops; a list of sessions says the same."""
    path = write_log(tmp_path / "stream.jsonl", INIT, TOLD, *[BUILT] * 3000, OVER, TOLD, SECOND, TOLD, *[BUILT] * 3000, USED)
    why = explain(path)
    assert "It finished: the last turn was answered (line 3003)." in why.summary
    assert "the one that begins at line 3005 has none: the log stops in a call of activate_skill (line 6007)." in why.summary
    with connect(path) as project:
        assert [run.state for run in project.source.rows(RunRow)] == ["finished"]


def test_where_a_person_had_to_ask_again(tmp_path):
    """After a turn that failed or died without a word, the next prompt is a person's help; a subagent's notice is none."""
    notice = user("<task-notification><status>completed</status></task-notification>")
    path = write_log(tmp_path / "s.jsonl", user("hi"), api_error("API Error: 529 overloaded"), notice, user("again"), said("ok"))
    assert "A person had to ask again after a turn that failed: line 4." in explain(path).summary


def test_a_neighbour_that_failed_is_no_failure_of_its_own(tmp_path):
    """Calls that fail because one beside them did are told as that, and are no row of failures."""
    beside = [record for n in range(4) for record in (call(f"c{n}", "Edit"), result(f"c{n}", "Sibling tool call errored", error=True))]
    first = call("a", "Edit"), result("a", "File has been modified since read", error=True)
    summary = explain(write_log(tmp_path / "s.jsonl", user("hi"), *first, *beside, said("ok"))).summary
    assert "4 calls failed only because another call of the same message did (line 5)." in summary
    assert "in a row" not in summary


def test_what_was_left_out_is_told(tmp_path):
    """Lines that are not JSON, and records of a type that this version does not know, are named with their number."""
    path = write_log(tmp_path / "s.jsonl", user("hi"), user("x") | {"type": "hologram"}, said("ok"))
    path.write_bytes(path.read_bytes().replace(b"\n", b"\n{half\n", 1))
    summary = explain(path).summary
    assert "Not valid JSON, and so left out: line 2." in summary
    assert "Records of types that are not known to this version were left out: 1 (`hologram`)." in summary


@pytest.mark.slow
def test_an_autopsy_tells_lines_and_what_changed_since(tmp_path):
    """It rests on the lines of the log, and names the version of the CLI that came in between; the place opens again."""
    begun = [user("hi") | {"timestamp": "2026-10-01T06:00:00.000Z"}, said("ok")]
    write_log(tmp_path / "a.jsonl", *begun)
    write_log(
        tmp_path / "b.jsonl", user("hi"), call("e", "Edit", file_path="a.py"), result("e", "ok"), api_error("API Error: 529 Overloaded")
    )
    path = tmp_path / "b.jsonl"
    path.write_bytes(path.read_bytes().replace(b"2.1.40", b"2.1.90").replace(b"2026-11", b"2026-12"))
    with connect(f"sessions:{tmp_path}") as project:
        verdict = project.run("b.jsonl").autopsy()
        location = project.source.location
    assert [piece.ref for piece in verdict.evidence] == ["line:4"]
    assert "changed since the last commit in the log: a.py (line 2)" in verdict.root_cause
    assert [(change.what, change.before, change.after) for change in verdict.changed_since] == [
        ("version of the agent CLI", "2.1.40", "2.1.90")
    ]
    with connect(location) as project:
        assert project.source.run_ids() == ["a.jsonl", "b.jsonl"]
