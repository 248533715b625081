"""Session logs are runs like any other: by file, folder, pattern and the usual place of a CLI; bad ones are told in a clear line."""

from __future__ import annotations

import gzip
import json

import pytest

from smithers_nb import connect
from smithers_nb.errors import RunNotFailed, SourceNotFound, SourceUnreadable
from smithers_nb.model.rows import ApprovalRow, AttemptRow, EventRow, NodeRow, RunRow, TokenRow
from smithers_nb.present.timeline.layout import timeline
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.sessions.records import read_ends, read_session
from tests.support.sessions import SESSION, api_error, call, codex, event, log, result, said, user, write_document, write_log


@pytest.fixture
def home(tmp_path):
    """A folder of Claude Code: two projects, a subagent, and files that are no sessions."""
    projects = tmp_path / ".claude" / "projects"
    write_log(projects / "-shop" / f"{SESSION}.jsonl", user("hi"), call("a", "Task"), result("a", "ok"), said("done", message="m2"))
    agent = {"isSidechain": True, "agentId": "a1"}
    write_log(projects / "-shop" / SESSION / "subagents" / "agent-a1.jsonl", user("look", **agent), said("seen", **agent))
    write_log(projects / "-till" / "b.jsonl", user("hi"), api_error("API Error: 529 overloaded"))
    write_log(tmp_path / ".claude" / "history.jsonl", {"display": "hi"})
    return tmp_path / ".claude"


@pytest.mark.parametrize("place", ["sessions:{}", "claude:{}", "{}", "sessions:{}/projects/*/*.jsonl", "claude:"])
def test_places(home, monkeypatch, place):
    """The folder of a CLI, a pattern and the usual place hold the same sessions."""
    monkeypatch.setenv("CLAUDE_CONFIG_DIR", str(home))
    with connect(place.format(home)) as project:
        states = project.runs().set_index("run_id").state.to_dict()
    assert {name.rpartition("/")[2]: state for name, state in states.items() if "agent-" not in name} == {
        f"{SESSION}.jsonl": "finished",
        "b.jsonl": "failed",
    }


def test_a_document_counts_where_it_was_named(tmp_path):
    """In a folder only what a CLI calls a session is one; a file or a pattern may have any name, and its messages are counted from 0."""
    chats = tmp_path / ".gemini" / "tmp" / "shop" / "chats"
    chats.mkdir(parents=True)
    said_hi = [{"id": "u", "type": "user", "content": "hi"}, {"id": "g", "type": "gemini", "content": "hello"}]
    for name in ("session-2026.json", "notes.json"):
        write_document(chats / name, said_hi, sessionId=SESSION, projectHash="ab")
    with connect(f"gemini:{tmp_path / '.gemini'}") as project:
        assert [(run_id.rpartition("/")[2], state) for run_id, state in project.runs()[["run_id", "state"]].to_numpy()] == [
            ("session-2026.json", "finished")
        ]
    with connect(chats / "notes.json") as project:
        why = project.run("notes.json").why()
    assert [piece.ref for piece in why.evidence] == ["line:1"]
    assert "counted as messages" in why.summary


def test_a_json_file_that_is_no_session_is_told(tmp_path):
    """It says what the file holds instead."""
    write_document(tmp_path / "package.json", [1], name="shop")
    with pytest.raises(SourceUnreadable, match=r"keys name, unlike those of"):
        connect(tmp_path / "package.json").runs()


def test_a_subagent_is_a_child_run(home):
    """Its own file belongs to the session that started it, which is found by its id."""
    source = open_source(home)
    parents = {row.run_id: row.parent_run_id for row in source.rows(RunRow)}
    assert parents[f"-shop/{SESSION}/subagents/agent-a1.jsonl"] == f"-shop/{SESSION}.jsonl"
    assert parents[f"-shop/{SESSION}.jsonl"] is None
    assert source.run_ids("b.jsonl") == ["-till/b.jsonl"]


def test_failures_of_a_folder(home):
    """They are grouped by signature."""
    with connect(home) as project:
        assert project.signatures()["count"].to_list() == [1]


def test_since_which_version_a_failure_occurs(tmp_path):
    """Versions of the CLI that met it, in the order of time; of many the first and the newest."""
    for month, version in (("10", "2.1.5"), ("11", "2.1.9")):
        path = write_log(tmp_path / f"{version}.jsonl", user("hi"), api_error("API Error: 529 overloaded"))
        path.write_bytes(path.read_bytes().replace(b"2.1.40", version.encode()).replace(b"2026-11", f"2026-{month}".encode()))
    with connect(tmp_path) as project:
        assert project.signatures()["versions"].to_list() == ["Claude Code 2.1.5, Claude Code 2.1.9"]


def test_tokens_are_the_last_of_each_message(tmp_path):
    """A message's counts are repeated on each of its records, and Codex repeats a count."""
    records = [user("hi"), said("a", tokens=1), call("c", tokens=9), result("c", "x"), said("b", message="m2", tokens=4)]
    source = open_source(write_log(tmp_path / "s.jsonl", *records))
    assert [row.output_tokens for row in source.rows(TokenRow)] == [13]
    count = event(
        "token_count", info={"total_token_usage": {"output_tokens": 7}, "last_token_usage": {"input_tokens": 3, "output_tokens": 7}}
    )
    source = open_source(write_log(tmp_path / "r.jsonl", *codex(event("task_started"), count, count)))
    assert [row.output_tokens for row in source.rows(TokenRow)] == [7]


@pytest.mark.parametrize("copied_at", ["2026-11-01T05:00:00.000Z", "2026-11-01T06:00:00.100Z"], ids=["old times", "time of the copy"])
@pytest.mark.parametrize("source", [{"subagent": {"thread_spawn": {"parent_thread_id": "p"}}}, "cli"], ids=["subagent", "fork"])
def test_what_a_child_of_codex_repeats_of_its_parent(tmp_path, copied_at, source):
    """Its tokens are counted in the parent's log only, and a subagent's turns are its own."""
    begun = 1_793_512_800  # when the child's log says that it begins
    meta = {
        "type": "session_meta",
        "payload": {"id": "c", "timestamp": "2026-11-01T06:00:00.000Z", "forked_from_id": "p", "source": source},
    }

    def turn(number, started, at):
        usage = {"total_token_usage": {"output_tokens": 7 * number}, "last_token_usage": {"input_tokens": 3, "output_tokens": 7}}
        asked = event("user_message", message=f"ask {number}")
        records = event("task_started", started_at=started), asked, event("token_count", info=usage), event("task_complete")
        return [record | {"timestamp": at} for record in records]

    own = turn(2, begun + 1, "2026-11-01T06:00:05.000Z")
    path = write_log(tmp_path / "r.jsonl", meta, {"type": "session_meta", "payload": {"id": "p"}}, *turn(1, begun - 3_600, copied_at), *own)
    rows = open_source(path)
    assert sum(row.output_tokens for row in rows.rows(TokenRow)) == 7
    assert [row.label for row in rows.rows(NodeRow)] == (["ask 1", "ask 2"] if source == "cli" else ["ask 2"])
    with connect(path) as project:
        assert "session ids" not in project.run("r.jsonl").why().summary


def test_turns_records_and_denials(tmp_path):
    """A turn is a node, a record an event with the number of its line, a denial a decided gate."""
    refused = "The user doesn't want to proceed with this tool use."
    path = write_log(tmp_path / "s.jsonl", user("hi"), said("ok"), user("go"), call("a"), result("a", refused, error=True), said("fine"))
    source = open_source(path)
    assert [(row.node_id, row.label, row.state) for row in source.rows(NodeRow)] == [
        ("turn:1", "hi", "finished"),
        ("turn:2", "go", "finished"),
    ]
    assert [(row.seq, row.node_id) for row in source.rows(EventRow)][-2:] == [(5, "turn:2"), (6, "turn:2")]
    assert [(row.title, row.decided_by) for row in source.rows(ApprovalRow)] == [("line:5", "a person")]


@pytest.mark.parametrize("cli", ["claude", "codex"])
def test_two_ends_say_how_a_long_log_ended(tmp_path, cli):
    """A long log is listed without its middle, in the same state."""
    filler = [user("more"), said("word " * 2_000)]
    records = [*filler * 40, user("last"), api_error("API Error: 500 x")]
    if cli == "codex":
        records = codex(*[event("task_started"), event("agent_message", message="word " * 2_000)] * 40, event("turn_aborted"))
    path = write_log(tmp_path / "s.jsonl", *records)
    whole, ends = read_session(str(path)), read_ends(str(path))
    assert (ends.end.state, ends.end.reason, ends.started, ends.ended) == (whole.end.state, whole.end.reason, whole.started, whole.ended)
    assert len(ends.turns) < len(whole.turns)


def test_a_line_of_ten_megabytes(tmp_path):
    """Its end is found behind it, and no more than its beginning is kept."""
    path = write_log(tmp_path / "s.jsonl", user("hi"), call("a"), result("a", "x" * 10_000_000, error=True))
    assert read_ends(str(path)).end.reason == read_session(str(path)).end.reason == "after-result"


def test_a_torn_last_line(tmp_path):
    """It is being written: the answer says so, and what stands before counts."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(log(user("hi"), said("ok")) + b'{"type": "user", "mess')
    with connect(path) as project:
        why = project.run("s.jsonl").why()
    assert why.state == "finished"
    assert "Its last line is torn (line 3)" in why.summary


def test_a_log_that_grows_is_read_again(tmp_path):
    """What was appended changes the answer of a source that is open."""
    path = write_log(tmp_path / "s.jsonl", user("hi"))
    source = open_source(path)
    assert source.rows(RunRow)[0].state == "cut"
    with path.open("ab") as file:
        file.write(log(said("ok")))
    assert source.rows(RunRow)[0].state == "finished"


def test_two_sessions_in_one_file_and_clocks_that_run_backwards(tmp_path):
    """The last turn in the file decides, and the answer says that there are two."""
    other = user("hello", sessionId="other", timestamp="2020-01-01T00:00:00Z")
    path = write_log(tmp_path / "s.jsonl", user("hi"), said("ok"), other, said("yes", sessionId="other"))
    with connect(path) as project:
        why = project.run("s.jsonl").why()
    assert why.state == "finished"
    assert "2 session ids" in why.summary


def test_unknown_records_are_counted(tmp_path):
    """A type of a newer version changes nothing and is no error."""
    path = write_log(tmp_path / "s.jsonl", user("hi"), {"type": "hologram", "sessionId": SESSION}, {"uuid": "x"}, said("ok"))
    session = read_session(str(path))
    assert session.end.state == "finished"
    assert session.about.unknown == {"hologram": 1, "without a type": 1}


def test_a_compressed_log(tmp_path):
    """Old rollouts may be compressed."""
    path = tmp_path / "rollout-1.jsonl.gz"
    path.write_bytes(gzip.compress(log(*codex(event("task_started"), event("turn_aborted", reason="interrupted")))))
    assert open_source(path).rows(RunRow)[0].state == "interrupted"


def test_a_resumed_session_is_not_a_restart_of_the_engine(tmp_path):
    """A session that its CLI resumed has an event of its own type, which the timeline shows as that."""
    killed = [user("hi"), call("a", "Bash"), user("Continue from where you left off.", isMeta=True), said("done", message="m2")]
    source = open_source(write_log(tmp_path / "s.jsonl", *killed))
    events = source.rows(EventRow)
    assert [(event.seq, event.type, event.category) for event in events if "Resumed" in event.type] == [(3, "SessionResumed", "run")]
    marks = timeline(source.rows(AttemptRow), events).marks
    assert [mark.tip.split(" · ")[0] for mark in marks if mark.kind == "restart"] == ["session resumed"]


def test_a_refused_autopsy_names_the_file(tmp_path):
    """The id of a session is only a file name, so the command that is offered has the whole path."""
    path = write_log(tmp_path / "my logs" / "s.jsonl", user("hi"), said("done"))
    with connect(path) as project, pytest.raises(RunNotFailed) as caught:
        project.run("s.jsonl").autopsy()
    assert f"`smithers-nb why '{path}'`" in caught.value.hint


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "it is empty"),
        (b"\x00\xff\n\n", "its lines are not JSON objects"),
        (json.dumps({"question": "q", "answer": "a"}).encode(), "its records have the keys answer, question"),
    ],
)
def test_not_a_session(tmp_path, content, words):
    """A clear line says what the file is instead."""
    path = tmp_path / "s.jsonl"
    path.write_bytes(content)
    with pytest.raises(SourceUnreadable, match=f"not a session log: {words}"):
        open_source(path)


def test_a_folder_with_logs_right_in_it_is_a_place(tmp_path):
    """It needs no scheme; a folder of other files of that kind is none."""
    logs, data = tmp_path / "logs", tmp_path / "data"
    write_log(logs / "a.jsonl", user("hi"), said("ok"))
    write_log(data / "rows.jsonl", {"price": 3})
    with connect(logs) as project:
        assert project.source.run_ids() == ["a.jsonl"]
    with pytest.raises(SourceNotFound):
        connect(data).source.run_ids()
