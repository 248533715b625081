"""Bad input gets one clear line and exit code 4, never a traceback; what a run wrote never reaches a terminal as a command."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

FAILED = "order-sync-013"
FINISHED = "order-sync-004"
READING = ["why", "inspect", "events", "output", "diff", "scores", "failures"]


def complaint(answer) -> str:
    """Check that an answer is one line of error, perhaps a hint, and nothing else; give the line."""
    assert answer.out == ""
    lines = answer.err.splitlines()
    assert lines[0].startswith("smithers-nb: ")
    assert len(lines) == 1 or (len(lines) == 2 and lines[1].startswith("hint: "))
    assert "Traceback" not in answer.err
    return lines[0]


@pytest.mark.parametrize("command", READING)
def test_a_wrong_id(cli, example: Path, command: str) -> None:
    """An id that no run has is named, with the store that was asked."""
    answer = cli(command, "nope", "--source", example)
    assert answer.code == 4
    assert "'nope'" in complaint(answer)
    assert str(example) in answer.err


@pytest.mark.parametrize(
    "wrong", ["../../etc/passwd", "$(reboot)", "'; rm -rf /;'", "<script>alert(1)</script>", "\x1b[31mred", "%", "", "a\nb"]
)
def test_a_hostile_id(cli, example: Path, wrong: str) -> None:
    """Whatever an id holds, it is only looked for, and shown with its control characters made visible."""
    answer = cli("why", "--source", example, "--", wrong)
    assert answer.code == 4
    complaint(answer)
    assert "\x1b" not in answer.err


def test_a_store_named_as_a_run(cli, own_example: Path, tmp_path: Path, monkeypatch) -> None:
    """Who gives a store or a folder where a run belongs is told what reads it, and that command works."""
    monkeypatch.chdir(tmp_path)
    for place in (own_example, own_example.parent):
        answer = cli("why", place)
        assert (answer.code, answer.out) == (4, "")
        assert f"is a {'folder' if place.is_dir() else 'file'}, not a run" in answer.err
        (hint,) = (line for line in answer.err.splitlines() if line.startswith("hint: "))
        assert cli(*shlex.split(hint.partition("smithers-nb ")[2])).code == 0


def test_an_ambiguous_id(cli, example: Path) -> None:
    """A beginning that several runs share lists some of them."""
    answer = cli("why", "order-sync-0", "--source", example)
    assert answer.code == 4
    assert "order-sync-001" in complaint(answer)


def test_a_run_that_did_not_fail(cli, example: Path) -> None:
    """An autopsy of a finished run says that it did not fail."""
    answer = cli("autopsy", FINISHED, "--no-notebook", "--source", example)
    assert answer.code == 4
    assert "did not fail" in complaint(answer)


def test_an_unknown_node(cli, example: Path) -> None:
    """A node that the run does not have is answered with those it has."""
    answer = cli("node", FAILED, "nope", "--source", example)
    assert answer.code == 4
    complaint(answer)
    assert "normalize" in answer.err


def test_a_folder_without_a_store(cli, tmp_path: Path) -> None:
    """A project folder without a store gets one line that says what was searched."""
    answer = cli("ps", "--source", tmp_path)
    assert answer.code == 4
    assert str(tmp_path) in complaint(answer)


@pytest.mark.parametrize("content", [b"", b"not a database", b"SQLite format 3\x00" + b"\xff" * 500])
def test_a_file_that_is_no_store(cli, tmp_path: Path, content: bytes) -> None:
    """Zero bytes, text and garbage are refused by name."""
    location = tmp_path / "smithers.db"
    location.write_bytes(content)
    answer = cli("ps", "--source", location)
    assert answer.code == 4
    assert str(location) in complaint(answer)


def test_an_unknown_kind_of_source(cli) -> None:
    """A URL of a kind that this version cannot open is refused, without its password."""
    answer = cli("ps", "--source", "mysql://user:hunter2@host/db")
    assert answer.code == 4
    complaint(answer)
    assert "hunter2" not in answer.err


@pytest.mark.parametrize(
    "args",
    [
        ["nope"],
        ["inspect"],
        ["why", "a", "b"],
        ["why", "x", "--no-such-option"],
        ["ps", "--limit", "0"],
        ["ps", "--limit", "x"],
        ["ps", "--format", "xml"],
        ["ps", "--now", "yesterday"],
        ["ps", "--now", "9" * 30],
        ["ps", "--now", "1800000000"],
        ["ps", "--now", "20261120"],
        ["failures", "--class", "nonsense"],
        ["ps", "--now", "2026-13-01"],
        ["events", "x", "--since", "soon"],
        ["node", "x"],
        ["output", "x", "y", "--iteration", "-1"],
        ["--nope"],
    ],
)
def test_wrong_usage(cli, args: list[str]) -> None:
    """Wrong arguments end with exit code 4 and one line, with where to read on."""
    answer = cli(*args)
    assert answer.code == 4
    complaint(answer)
    assert "--help" in answer.err


def test_a_misspelt_command(cli) -> None:
    """A command that does not exist is answered with the one that is closest."""
    assert "did you mean 'inspect'?" in complaint(cli("inspct", "x"))


def test_no_arguments_show_help(cli) -> None:
    """Without arguments the help is printed, which is no error."""
    answer = cli()
    assert answer.code == 0
    assert "Find out what went wrong:" in answer.out


def test_a_store_that_vanishes_meanwhile(own_example: Path, capsys) -> None:
    """A store that is deleted after it was opened is one line and exit code 4."""
    from smithers_nb.cli import app
    from smithers_nb.project import Project

    whole = Project.run

    def gone(self, run_id):
        found = whole(self, run_id)
        own_example.unlink()
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Project, "run", gone)
        code = app.main(["why", FAILED, "--source", str(own_example)])
    captured = capsys.readouterr()
    assert code == 4
    assert captured.out == ""
    assert "Traceback" not in captured.err


def test_hostile_data_is_shown_not_obeyed(cli, own_example: Path) -> None:
    """Escape sequences that a run wrote reach no terminal, in any table; JSON keeps them exactly, escaped by JSON."""
    evil = "\x1b]0;owned\x07\x1b[2Jboom\x9b31m\u202e"
    with sqlite3.connect(own_example) as store:
        store.execute("UPDATE _smithers_runs SET workflow_name = ?, error_json = json_object('message', ?)", (evil, evil))
        store.execute("UPDATE _smithers_attempts SET error_json = json_object('message', ?) WHERE error_json IS NOT NULL", (evil,))
        store.execute("UPDATE _smithers_nodes SET label = ?", (evil,))
        store.execute("UPDATE _smithers_approvals SET note = ?", (evil,))
    store.close()
    for args in (
        ["ps"],
        ["why", FAILED],
        ["inspect", FAILED],
        ["inspect", "release-gate-043"],
        ["events", FAILED],
        ["node", FAILED, "normalize"],
        ["failures"],
    ):
        answer = cli(*args, "--source", own_example)
        assert answer.code == 0, answer.err
        assert not set(answer.out) & {"\x1b", "\x07", "\x9b", "\u202e"}, args
    assert cli("ps", "--source", own_example, "-f", "json").json[0]["workflow"] == evil


_EVERYTHING = [
    ["ps"],
    ["why", FAILED],
    ["inspect", FAILED],
    ["events", FAILED],
    ["node", FAILED, "normalize"],
    ["output", FINISHED],
    ["failures"],
    ["autopsy", FAILED, "--no-notebook"],
]


@pytest.mark.parametrize(
    "evil",
    [
        b"caf\xe9 \xff\xfe \xed\xa0\x80",
        b'{"message": "half a pair \\ud800", "cause": {"message": "\\udfff"}}',
        b'{"message": 12345678901234567890123456789, "stack": [null, {}], "cause": []}',
        b"[[[[[[[",
        b'{"message": "' + b"long \xc3\xa9 " * 20_000 + b'"}',
        b"\x00\x01\x02",
    ],
    ids=["no UTF-8", "lone surrogates", "wrong types", "no JSON", "far too long", "binary"],
)
@pytest.mark.parametrize("fmt", ["table", "json", "jsonl"])
@pytest.mark.slow
def test_damaged_text_in_every_column(cli, own_example: Path, evil: bytes, fmt: str) -> None:
    """Text that is no UTF-8, no JSON or far too long, in every column that a run can write, stops no command."""
    with sqlite3.connect(own_example) as store:
        for table, columns in {
            "_smithers_runs": ["workflow_name", "error_json", "config_json"],
            "_smithers_attempts": ["error_json", "response_text", "meta_json"],
            "_smithers_nodes": ["label"],
            "_smithers_approvals": ["note", "request_json"],
        }.items():
            for column in columns:
                store.execute(f"UPDATE {table} SET {column} = CAST(? AS TEXT) WHERE run_id IN (?, ?)", (evil, FAILED, FINISHED))
        store.execute("UPDATE _smithers_events SET payload_json = CAST(? AS TEXT) WHERE run_id = ? AND seq < 9", (evil, FAILED))
    store.close()
    for args in _EVERYTHING:
        answer = cli(*args, "--source", own_example, "--format", fmt)
        assert answer.code == 0, (args, answer.err)
        assert answer.out
        if fmt == "json":
            assert answer.json is not None


@pytest.mark.parametrize("value", ["[" * 500 + "]" * 500, '{"cause":' * 300 + "1" + "}" * 300])
def test_deeply_nested_json(cli, own_example: Path, value: str) -> None:
    """JSON that is nested deeper than it can be written again stays text, in every command."""
    connection = sqlite3.connect(own_example)
    tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    for table in tables:
        for _, column, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
            if column.endswith("_json"):
                connection.execute(f'UPDATE "{table}" SET "{column}" = ?', (value,))
    connection.commit()
    connection.close()
    for command in (*READING, "autopsy"):
        options = ["--no-notebook"] if command == "autopsy" else ["--raw"] if command == "events" else []
        for fmt in ("table", "json"):
            answer = cli(command, FAILED, *options, "--format", fmt, "--source", own_example)
            assert (answer.code, answer.err) == (0, answer.err if fmt == "table" else "")


def test_hostile_ids_are_quoted_in_commands(cli, own_example: Path) -> None:
    """A run id made of shell syntax is one quoted word in every command that is printed."""
    import shlex

    evil = "x'; rm -rf / #$(reboot)"
    with sqlite3.connect(own_example) as store:
        for table in ("_smithers_runs", "_smithers_nodes", "_smithers_attempts", "_smithers_events"):
            store.execute(f"UPDATE {table} SET run_id = ? WHERE run_id = ?", (evil, FAILED))
    store.close()
    why = cli("why", "x'", "--source", own_example, "-f", "json").json
    words = [shlex.split(command) for blocker in why["blockers"] for command in blocker["commands"]]
    assert any(evil in line for line in words)
    assert not [line for line in words if {"rm", "x", "x;"} & set(line)]


def test_secrets_are_not_printed(cli, own_example: Path) -> None:
    """A key in an error is redacted in tables and in JSON."""
    secret = "sk-" + "live-abcdefghijklmnop1234"
    with sqlite3.connect(own_example) as store:
        store.execute("UPDATE _smithers_attempts SET error_json = json_object('message', ?) WHERE error_json <> ''", (f"bad {secret}",))
    store.close()
    for args in (
        ["why", FAILED],
        ["node", FAILED, "normalize"],
        ["node", FAILED, "normalize", "-f", "json"],
        ["failures", "-f", "jsonl"],
        ["inspect", FAILED],
    ):
        assert secret not in cli(*args, "--source", own_example).out


def test_an_unexpected_error_is_one_line(example: Path, capsys) -> None:
    """A bug of ours is one line and exit code 1; `--debug` shows its traceback."""
    from smithers_nb.cli import app
    from smithers_nb.project import Project

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Project, "run", lambda *_: 1 // 0)
        assert app.main(["why", FAILED, "--source", str(example)]) == 1
        assert "unexpected ZeroDivisionError: " in capsys.readouterr().err
        with pytest.raises(ZeroDivisionError):
            app.main(["why", FAILED, "--source", str(example), "--debug"])


def test_arguments_that_are_no_utf8(process, example: Path) -> None:
    """Bytes that are no UTF-8 are refused as what they are."""
    done = process("why", b"\xff\xfe", "--source", str(example))
    assert done.returncode == 4
    assert b"UTF-8" in done.stderr
    assert b"Traceback" not in done.stderr
    done = process("ps", "--source", b"/tmp/\xff\xfe")
    assert done.returncode == 4
    assert b"Traceback" not in done.stderr


def test_a_reader_that_stops_early(example: Path) -> None:
    """`| head -1` ends quietly."""
    start = f"{sys.executable} -c 'import sys; from smithers_nb.cli import main; sys.exit(main())'"
    for args in ("events order-sync-013 --raw --format jsonl", "events order-sync-013 --raw", "ps --all", "--help"):
        store = "" if args == "--help" else f"--source {example}"
        line = f"set -o pipefail; {start} {args} {store} | head -1"
        done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
        assert (done.returncode, done.stderr) == (0, "")
        assert len(done.stdout.splitlines()) == 1


def test_a_closed_standard_input() -> None:
    """Without a standard input there is nothing to classify."""
    code = "import sys; from smithers_nb.cli import main; sys.exit(main(['classify', '--format', 'json']))"
    ended = subprocess.run(f"exec '{sys.executable}' -c \"{code}\" <&-", shell=True, capture_output=True, timeout=60, check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, b"[]\n", b"")


@pytest.mark.parametrize("command", ["why", "inspect", "autopsy"])
def test_a_store_whose_path_is_no_text(process, example: Path, tmp_path: Path, command: str) -> None:
    """A path that holds other bytes than text can be read from, and is valid JSON all the same."""
    folder = os.fsencode(tmp_path) + b"/a\xff"
    Path(os.fsdecode(folder)).mkdir()
    shutil.copyfile(example, folder + b"/smithers.db")
    options = ["--no-notebook"] if command == "autopsy" else []
    ended = process(command, FAILED, *options, "--format", "json", "--source", folder)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert json.loads(ended.stdout)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
@pytest.mark.parametrize("args", ["ps", "ps --format json", f"events {FAILED} --raw --format jsonl"])
def test_a_full_disk_behind_standard_output(example: Path, args: str) -> None:
    """Output that cannot be written is one line and exit code 1, and no bug of ours."""
    code = "import sys; from smithers_nb.cli import main; sys.exit(main())"
    with Path("/dev/full").open("wb") as full:
        words = [sys.executable, "-c", code, *args.split(), "--source", str(example)]
        ended = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, timeout=60, check=False)
    assert ended.returncode == 1
    assert ended.stderr.decode().splitlines() == ["smithers-nb: the output: No space left on device"]


@pytest.mark.parametrize("args", ["ps", "ps --format json", "why order-sync-013", "events order-sync-013 --format jsonl"])
def test_a_closed_standard_output(example: Path, args: str) -> None:
    """Without a standard output a command ends quietly."""
    line = f"{sys.executable} -c 'import sys; from smithers_nb.cli import main; sys.exit(main())' {args} --source {example} >&-"
    done = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0
    assert "smithers-nb:" not in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_is_clean() -> None:
    """An interrupt ends with one line and exit code 2."""
    code = "import sys; from smithers_nb.cli import main; sys.exit(main(['classify']))"
    running = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdin.write(b"boom\n" * 200)
    running.stdin.flush()
    running.stdout.read(1)  # it is at work
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=20)
    assert running.returncode == 2
    assert b"Traceback" not in err


def test_a_terminal_that_cannot_show_it(process, example: Path) -> None:
    """A terminal without UTF-8 gets escapes instead of an error."""
    done = process("ps", "--source", str(example), env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert b"order-sync" in done.stdout


def test_no_colour_when_piped_or_unwanted(process, example: Path) -> None:
    """Piped output has no colour."""
    assert b"\x1b" not in process("why", FAILED, "--source", str(example)).stdout
