"""A look at this machine for what an error names."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from smithers_nb.diagnosis.classify.probes import probe
from smithers_nb.model.verdict import Failure, Link, Observation


def failure(message: str, code: str | None = None, **details: object) -> Failure:
    return Failure(run_id="r", kind="attempt", chain=(Link(message=message, code=code),), details=details)


def only(found: tuple[Observation, ...]) -> Observation:
    (observation,) = found
    return observation


@pytest.mark.parametrize(
    "message",
    [
        "/bin/sh: 1: no-such-tool: not found",
        "bash: line 1: no-such-tool: command not found",
        "zsh: command not found: no-such-tool",
        "spawn no-such-tool ENOENT",
        "claude-code: cli_installed=fail: no-such-tool not found on PATH",
        'Executable not found in $PATH: "no-such-tool"',
    ],
)
def test_missing_command_is_looked_for(message: str) -> None:
    """However a shell or a runtime words it, the command is looked for on PATH."""
    found = probe(failure(message))[0]
    assert (found.about, found.subject, found.confirms) == ("command", "no-such-tool", True)
    assert found.text == "now, on this machine: no-such-tool is not on PATH"


def test_command_that_is_there_now_speaks_against_the_error() -> None:
    """What was missing may have been installed since."""
    found = only(probe(failure("sh: command not found")))
    assert found.confirms is False


@pytest.mark.parametrize(
    "message",
    [
        "OpenAI API key is missing. Pass it using the 'apiKey' parameter or the NB_TEST_API_KEY environment variable.",
        "NB_TEST_API_KEY is not set",
        "Missing NB_TEST_API_KEY",
        "undefined process.env.NB_TEST_API_KEY",
    ],
)
def test_variable_is_only_said_to_be_set_or_not(monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    """The value of a variable never leaves it."""
    monkeypatch.delenv("NB_TEST_API_KEY", raising=False)
    assert only(probe(failure(message))).confirms is True
    monkeypatch.setenv("NB_TEST_API_KEY", "s3cret-value")
    found = only(probe(failure(message)))
    assert found.confirms is False
    assert "s3cret" not in str(found.as_json())


def test_error_codes_are_no_variables() -> None:
    """Upper case words with underscores are mostly codes."""
    assert probe(failure("AGENT_CONFIG_INVALID: MODEL_NOT_FOUND", "AGENT_CONFIG_INVALID")) == ()


def test_missing_path_is_looked_at(tmp_path: Path) -> None:
    """A path that an ENOENT names is asked for its existence."""
    gone = tmp_path / "it's gone.csv"
    found = only(probe(failure(f'ENOENT: no such file or directory, open "{gone}"', "ENOENT", path=str(gone)), root=str(tmp_path)))
    assert (found.subject, found.confirms, found.meaningful) == (str(gone), True, True)
    gone.write_text("x")
    assert only(probe(failure("ENOENT", "ENOENT", path=str(gone)))).confirms is False


def test_permissions_are_told(tmp_path: Path) -> None:
    """A script that may not be executed is told from one that is missing; one relative to the run's folder is found there."""
    script = tmp_path / "bin" / "deploy.sh"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o644)
    found = only(probe(failure("EACCES: permission denied, posix_spawn './bin/deploy.sh'", "EACCES"), root=str(tmp_path)))
    assert "not executable" in found.text
    assert found.confirms is True


def test_contents_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file is asked for its rights, not for what is in it, and nothing is started."""

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError

    secret = tmp_path / "secret.env"
    secret.write_text("TOKEN=1")
    for owner, name in ((Path, "open"), (Path, "read_text"), (Path, "read_bytes"), (os, "open"), (os, "listdir"), (os, "posix_spawn")):
        monkeypatch.setattr(owner, name, refuse)
    monkeypatch.setattr("subprocess.Popen", refuse)
    assert only(probe(failure(f"EACCES: permission denied, open '{secret}'"))).about == "path"


@pytest.mark.parametrize("name", ["../../etc/passwd", "//server/share/x", "a\0b", "x" * 5000, "plain"])
def test_only_plain_paths_are_followed(tmp_path: Path, name: str) -> None:
    """A relative path may not leave the run's folder, and shares are not touched, for that could reach a network."""
    assert probe(failure("ENOENT", "ENOENT", path=name), root=str(tmp_path)) == ()


def test_full_disk_is_measured(tmp_path: Path) -> None:
    """The space of the place that the error names, or of the nearest folder above it."""
    found = [o for o in probe(failure("ENOSPC: no space left on device, write", "ENOSPC"), root=str(tmp_path)) if o.about == "disk"]
    assert only(tuple(found)).text.endswith("GiB free")


@pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="the kernel's table of ports is asked")
def test_port_is_looked_up_without_a_connection() -> None:
    """A port in use is told from the kernel's own table, with the opposite meaning for a refused connection."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert only(probe(failure(f"EADDRINUSE: address already in use 127.0.0.1:{port}"))).confirms is True
        assert only(probe(failure(f"connect ECONNREFUSED 127.0.0.1:{port}"))).confirms is False
    assert only(probe(failure(f"connect ECONNREFUSED 127.0.0.1:{port}"))).confirms is True


def test_repository_is_looked_for_above_the_run(tmp_path: Path) -> None:
    """A project may lie below the root of its repository."""
    project = tmp_path / "a" / "b"
    project.mkdir(parents=True)
    lost = failure("fatal: not a git repository (or any of the parent directories): .git")
    assert only(probe(lost, root=str(project))).confirms is True
    (tmp_path / ".git").mkdir()
    assert only(probe(lost, root=str(project))).confirms is False


def test_elsewhere_it_means_little(tmp_path: Path) -> None:
    """Without the run's folder on this machine, the store was probably written on another one."""
    assert only(probe(failure("no-such-tool: command not found"), root=str(tmp_path / "not-here"))).meaningful is False


def test_off_is_off() -> None:
    """Who does not want a look gets none."""
    assert probe(failure("no-such-tool: command not found"), enabled=False) == ()


def test_a_flood_of_names_is_cut() -> None:
    """An error may name thousands of things; a handful is looked at."""
    message = "\n".join(f"tool-{k}: command not found" for k in range(1000))
    assert len(probe(failure(message))) == 5
