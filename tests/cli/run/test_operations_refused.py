"""What commands on runs say to bad input and broken journals: one line, a hint, an exit code, never a traceback."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest
import sqlalchemy as sa

from smithers_nb.cli.app import CANCELLED, DONE, FAILED, USER_ERROR, WAITING
from smithers_nb.cli.options import CommandContext
from smithers_nb.cli.run.smithers_cli import arguments, smithers_cli
from smithers_nb.cli.run_options import where
from smithers_nb.engine.control import submit
from smithers_nb.engine.control.parameters import Words
from smithers_nb.engine.journal import Journal, decisions, store
from smithers_nb.engine.journal.records import Node
from smithers_nb.engine.location import Location
from smithers_nb.model.vocabulary import exit_code
from smithers_nb.workflows.pack.install import installed_workflows, pack
from tests.support.history import cell, write_notebook


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with one run that nobody has begun, and the current folder."""
    (tmp_path / ".smithers_nb").mkdir()
    monkeypatch.chdir(tmp_path)
    notebook = write_notebook(tmp_path / "job.ipynb", cell("n: int = 1", name="parameters", tags=("parameters",)), cell("n", name="work"))
    submit(Location.of(tmp_path), notebook, {}, run_id="r1")
    return tmp_path


REFUSED = [
    (("up", "no.ipynb"), "does not exist"),
    (("up", "."), "is a folder"),
    (("up", "job.ipynb", "-p", "m", "1"), "no parameter 'm'"),
    (("up", "job.ipynb", "-p", "n", "x"), "valid integer"),
    (("up", "job.ipynb", "--input", "{"), "--input is not valid JSON"),
    (("up", "job.ipynb", "--input", "[1]"), "not an object"),
    (("up", "job.ipynb", "--run-id", "../x"), "is not a valid run id"),
    (("up", "job.ipynb", "--run-id", "r1"), "already"),
    (("up", "job.ipynb", "--resume"), "--resume needs the run"),
    (("up", "job.ipynb", "--timeout", "0"), "--timeout"),
    (("up", "job.ipynb", "--force"), "--force is about a run that is there already"),
    (("up", "job.ipynb", "--accept-workflow-change"), "is about a run that is there already"),
    (("up", "job.ipynb", "--serve", "--detach"), "exclude each other"),
    (("up", "job.ipynb", "--kernel", "nobody"), "no kernel 'nobody'"),
    (("up", "job.ipynb", "--run-id", "r1", "--resume", "--kernel", "nobody"), "no kernel 'nobody'"),
    (("resume", "r1", "--cell-timeout", "0"), "--cell-timeout"),
    (("retry-task", "r1", "work", "--kernel", "nobody"), "no node"),
    (("up", "job.ipynb", "--run-id", "r1", "--resume", "-p", "n", "2"), "other parameters"),
    (("up", "job.ipynb", "--database", "mysql://x/y"), "not a supported database"),
    (("workflow", "run", "nope"), "no workflow 'nope'"),
    (("workflow", "run", "../job"), "no workflow"),
    (("workflow", "nope"), "nope"),
    (("resume", "nope"), "no run 'nope'"),
    (("resume", "%"), "no run"),
    (("cancel", "nope"), "no run"),
    (("retry-task", "r1", "nope"), "no node"),
    (("rewind", "r1", "nope"), "no node"),
    (("rewind", "r1", "7", "--yes"), "no frame 7"),
    (("rewind", "r1", "0"), "confirm"),
    (("approve", "r1"), "no decision"),
    (("deny", "r1", "--node", "x\x1b[31m"), "no decision"),
    (("human", "answer", "human:x", "--value", "1"), "no question"),
    (("human", "answer", "human:x", "--value", "eu"), "no question"),
    (("human", "answer", "r1", "--value", "eu"), "asks no question"),
    (("human", "answer", "human:x"), "no answer"),
    (("logs", "nope"), "no run"),
    (("worker", "--concurrency", "0"), "concurrency"),
    (("up", "flow.tsx"), "does not exist"),
]


@pytest.mark.parametrize(("words", "said"), REFUSED, ids=[" ".join(words).encode("unicode_escape").decode() for words, _ in REFUSED])
@pytest.mark.usefixtures("project")
def test_bad_input_is_one_line(cli, words: tuple[str, ...], said: str) -> None:
    """Every refusal exits with 4, says what is wrong on one line, hints at what to do, and writes nothing to standard output."""
    answer = cli(*words)
    assert answer.code == 4
    first, *hint = answer.err.splitlines()[-2:]
    assert said in f"{first} {hint}"
    assert "hint: " in answer.err
    assert answer.out == ""
    assert "Traceback" not in answer.err
    assert "\x1b[31m" not in answer.err


def test_a_notebook_that_is_no_json(cli, project: Path) -> None:
    """A damaged notebook names its file."""
    (project / "bad.ipynb").write_text('{"cells": [')
    answer = cli("up", "bad.ipynb")
    assert answer.code == 4
    assert "bad.ipynb is not a notebook" in answer.err


@pytest.mark.parametrize("command", [("up", "job.ipynb"), ("resume", "r1"), ("cancel", "r1"), ("logs", "r1"), ("human", "inbox")])
@pytest.mark.parametrize("damage", ["corrupt", "no-database", "folder"])
def test_a_broken_journal_is_one_line(cli, project: Path, command: tuple[str, ...], damage: str) -> None:
    """A journal that cannot be used is named, with what to do, and exit code 1."""
    journal = project / ".smithers_nb" / "journal.db"
    for file in journal.parent.glob("journal.db-*"):
        file.unlink()
    if damage == "corrupt":
        content = journal.read_bytes()
        journal.write_bytes(content[:100] + os.urandom(len(content) - 100))
    elif damage == "no-database":
        journal.write_bytes(b"this is no database at all, but text" * 200)
    else:
        journal.unlink()
        journal.mkdir()
    answer = cli(*command)
    assert answer.code == 1
    assert "journal.db" in answer.err
    assert "hint: " in answer.err
    assert "Traceback" not in answer.err


def test_a_read_only_journal_is_one_line(project: Path) -> None:
    """A journal that may not be written is told as such; root runs the command without the right to write everything."""
    command = [sys.executable, "-c", "import sys; from smithers_nb.cli import main; sys.exit(main())", "cancel", "r1"]
    if os.geteuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("root may write everything, and there is no setpriv to take that away")
        command = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search", *command]
    kept = [project / ".smithers_nb", *(project / ".smithers_nb").iterdir()]
    for path in kept:
        path.chmod(0o500 if path.is_dir() else 0o400)
    try:
        answer = subprocess.run(command, cwd=project, capture_output=True, text=True, timeout=60, check=False)
    finally:
        for path in kept:
            path.chmod(0o700)
    assert answer.returncode == 1, answer.stderr
    assert "permission" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_locked_journal_is_one_line(cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that another process holds for long is told as such, after waiting."""
    monkeypatch.setattr("smithers_nb.engine.journal.store._BUSY_S", 0.2)
    holder = sqlite3.connect(project / ".smithers_nb" / "journal.db", isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        answer = cli("cancel", "r1")
    finally:
        holder.close()
    assert answer.code == 1
    assert "locked" in answer.err
    assert "another process keeps it locked" in answer.err


@pytest.mark.usefixtures("project")
def test_a_full_disk_is_one_line(cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal that cannot grow says that there is no room."""
    real = store._engine

    def small(location: Location) -> sa.Engine:  # a real database that may have no more pages than it has
        engine = real(location)
        sa.event.listen(engine, "connect", lambda connection, _: connection.execute("PRAGMA max_page_count = 1"))
        return engine

    monkeypatch.setattr(store, "_engine", small)
    answer = cli("cancel", "r1", "--by", "x" * 2_000_000)
    assert answer.code == 1
    assert "full" in answer.err
    assert "free some space" in answer.err


@pytest.mark.parametrize("line", ["logs x", "cancel x", "approve x", "resume x", "rewind x", "retry-task x y", "human answer q --value 1"])
def test_asking_makes_no_project(cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str) -> None:
    """Where no notebook has been run, a command about a run says so and leaves no folder that later commands would take for a project."""
    monkeypatch.chdir(tmp_path)
    answer = cli(*line.split())
    assert (answer.code, "no notebook has been run in" in answer.err) == (4, True)
    assert cli("human", "inbox", "--format", "json").json == []
    assert list(tmp_path.iterdir()) == []


def test_init_in_a_folder_of_a_project(cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deep in a project `init` installs into the project that `up` uses; a folder that is named becomes one of its own."""
    (project / ".smithers_nb").mkdir(exist_ok=True)
    (below := project / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(below)
    cli("init")
    assert (project / ".smithers_nb" / "workflows" / "post-failure.ipynb").is_file()
    assert list(below.iterdir()) == []
    cli("init", ".")
    assert (below / ".smithers_nb" / "workflows" / "post-failure.ipynb").is_file()


def test_init_installs_once_and_keeps_edits(cli, project: Path) -> None:
    """A second `init` changes nothing; an edited workflow stays, unless it is forced; an older one of ours is renewed."""
    location = Location.of(project)
    first = {Path(row["file"]).name: row["done"] for row in cli("init", "--format", "json").json["files"]}
    assert first == {**{f"{entry.id}.ipynb": "installed" for entry in pack()}, ".gitignore": "installed"}
    assert {row["done"] for row in cli("init", "--format", "json").json["files"]} == {"unchanged"}
    edited, older = location.workflows / "release-check.ipynb", location.workflows / "post-failure.ipynb"
    whole = edited.read_bytes()
    edited.write_text(json.dumps({**json.loads(whole), "mine": 1}))
    kept = {Path(row["file"]).name: row["done"] for row in cli("init", "--format", "json").json["files"]}
    assert kept == {"release-check.ipynb": "kept", "post-failure.ipynb": "unchanged"}
    assert b"mine" in edited.read_bytes()
    assert "--force" in cli("init").out
    forced = {Path(row["file"]).name: row["done"] for row in cli("init", "--force", "--format", "json").json["files"]}
    assert forced["release-check.ipynb"] == "replaced"
    assert edited.read_bytes() == whole
    older.write_bytes(b"older")
    manifest = location.workflows / ".installed.json"
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"post-failure.ipynb": sha256(b"older").hexdigest()}))
    assert {row["done"] for row in cli("init", "--format", "json").json["files"]} == {"unchanged", "renewed"}
    manifest.write_text("{broken")
    edited.write_bytes(b"{}")
    assert {Path(row["file"]).name: row["done"] for row in cli("init", "--format", "json").json["files"]}["release-check.ipynb"] == "kept"


def test_workflow_list_hides_the_systems_own(cli, project: Path) -> None:
    """`workflow list` shows what people run; `--system` also what the system runs; a damaged file is listed with its problem."""
    assert "smithers-nb init" in cli("workflow", "list").err
    cli("init")
    listed = cli("workflow", "list", "--format", "json").json
    assert [(row["id"], row["parameters"]) for row in listed] == [("release-check", ["release", "source", "since_hours", "artifacts"])]
    assert {row["id"] for row in cli("workflow", "list", "--system", "--format", "json").json} == {"release-check", "post-failure"}
    (project / ".smithers_nb" / "workflows" / "bad.ipynb").write_text("{")
    assert "cannot be run" in cli("workflow", "list").out
    assert [found.id for found in installed_workflows(Location.of(project))] == ["bad", "release-check"]


def test_parameters_come_from_a_file_too(cli, project: Path) -> None:
    """A YAML file is read; `-p` goes before it; anything but an object is refused."""
    file = project / "p.yaml"
    file.write_text("n: 1\nm: 2\n")
    assert "no parameter 'm'" in cli("up", "job.ipynb", "--parameters-file", file).err
    for text, said in (("- 1\n", "not an object"), ("a: [", "neither YAML nor JSON"), ("1: 2\n", "not an object")):
        file.write_text(text)
        answer = cli("up", "job.ipynb", "--parameters-file", file)
        assert (answer.code, said in answer.err) == (4, True)


def test_smithers_gets_its_own_flags(tmp_path: Path) -> None:
    """Our options become those of `smithers up`, parameters one JSON object."""
    options = {"run_id": "r1", "resume": True, "detach": True, "hot": False, "force": True, "accept_workflow_change": True}
    words = arguments(tmp_path / "w.tsx", {"n": Words("2"), "day": Words("x y")}, options | {"no_post_failure": True, "serve": False})
    assert words[:4] == ["up", str(tmp_path / "w.tsx"), "--input", '{"n":2,"day":"x y"}']
    assert words[4:8] == ["--run-id", "r1", "--resume", "true"]
    assert set(words[8:]) == {"--detach", "--force", "--accept-workflow-change", "--no-post-failure"}


def test_a_smithers_workflow_goes_to_its_own_cli(process, tmp_path: Path) -> None:
    """`up FILE.tsx` calls the project's Smithers CLI with the file and passes its exit code on."""
    binaries = tmp_path / "node_modules" / ".bin"
    binaries.mkdir(parents=True)
    program = binaries / "smithers"
    program.write_text(f"#!{sys.executable}\nimport sys\nprint(sys.argv[1:])\nsys.exit(3)\n")
    program.chmod(0o755)
    (tmp_path / "flow.tsx").write_text("export default null\n")
    environment = {"PATH": str(Path(shutil.which("env") or "/usr/bin/env").parent)}
    answer = process("up", "flow.tsx", "-p", "n", "1", cwd=tmp_path, env=environment)
    assert answer.returncode == 3
    assert answer.stdout.decode().strip() == str(["up", "flow.tsx", "--input", '{"n":1}'])
    program.unlink()
    missing = process("up", "flow.tsx", cwd=tmp_path, env=environment)
    assert missing.returncode == 4
    assert b"npm install" in missing.stderr
    assert smithers_cli(tmp_path / "flow.tsx") is None or shutil.which("bunx") or shutil.which("smithers")


def test_exit_codes_are_a_table() -> None:
    """Every status of a run has its exit code: 0 finished, 1 failed, 2 cancelled, 3 for whatever waits."""
    codes = [exit_code(status) for status in ("finished", "failed", "cancelled", "waiting-approval", "waiting-event", "paused")]
    assert codes == [DONE, FAILED, CANCELLED, WAITING, WAITING, WAITING] == [0, 1, 2, 3, 3, 3]
    assert USER_ERROR == 4


@pytest.mark.parametrize(
    ("url", "variable", "options"),
    [
        (None, None, ""),
        ("postgresql://ann@db/runs", None, " --database postgresql://ann@db/runs"),
        ("postgresql://ann@db/runs", "postgres://ann@db/runs", ""),
        ("postgresql://ann:secret@db/runs", None, ' --database "$SMITHERS_NB_DATABASE"'),
        ("postgresql://db/runs?password=secret", None, ' --database "$SMITHERS_NB_DATABASE"'),
    ],
)
def test_follow_up_commands_find_the_same_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url, variable, options: str) -> None:
    """What is printed as the next command names the database when it has to, and never a password."""
    monkeypatch.delenv("SMITHERS_NB_DATABASE", raising=False)
    if variable:
        monkeypatch.setenv("SMITHERS_NB_DATABASE", variable)
    location = Location.of(tmp_path, database=url)
    assert where(CommandContext(), location) == options
    assert where(CommandContext(source="a b"), location) == f" --source 'a b'{options}"


def test_a_signal_that_ends_the_smithers_cli_is_passed_on(cli, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A killed program exits as a shell reports it, 128 and the number of the signal, and not with what is left of minus nine."""
    program = project / "bin" / "smithers"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    (project / "flow.tsx").write_text("")
    monkeypatch.setattr("smithers_nb.cli.run.smithers_cli.smithers_cli", lambda _: [str(program)])
    assert cli("up", "flow.tsx", "--no-post-failure").code == 137
    refused = cli("up", "flow.tsx", "--cell-timeout", "3")
    assert (refused.code, "--cell-timeout is for notebooks" in refused.err) == (4, True)


def test_what_was_decided_before_stands_beside_what_is_asked_now(cli, project: Path) -> None:
    """Whoever is asked again reads in the terminal what was approved, by whom, and what is different."""
    with Journal.open(project) as journal:
        gate = Node("r1", "pay")
        for amount in (10, 1_000_000):
            with journal.writing("r1") as connection:
                decisions.request_approval(connection, gate, title=f"Pay {amount} EUR?", details={"amount": amount})
                if amount == 10:
                    decisions.decide(connection, gate, approved=True, by="ann")
    shown = cli("human", "inbox").out
    assert "Asked again: ann said “approved”" in shown
    assert [line.split(maxsplit=1)[1] for line in shown.splitlines() if line.startswith(("Before", "Now"))] == [
        "title: Pay 10 EUR?",
        "title: Pay 1000000 EUR?",
        "details.amount: 10",
        "details.amount: 1000000",
    ]
    (row,) = json.loads(cli("human", "inbox", "--format", "json").out)
    assert (row["earlier"]["said"], row["details"]) == ("approved", {"amount": 1_000_000})
