"""How a verification command ended, and whether that says something about the work."""

import time

import pytest

from smithers_nb.workflows.smithering.landing.commands import run_command


@pytest.mark.parametrize(
    ("command", "status", "why"),
    [
        ("true", "green", "exit 0"),
        ("echo '3 failed, 2 passed'; exit 1", "red", "exit 1"),
        ("test -f not-there", "red", "exit 1"),
        ("no-such-program", "red", "cannot be found"),
        ("kill -9 $$", "infra", "SIGKILL"),
        ("kill -TERM $$", "infra", "SIGTERM"),
        ("exit 137", "infra", "SIGKILL"),
        ("ulimit -c 0; kill -SEGV $$", "red", "exit"),
        ("echo 'write: No space left on device'; exit 1", "infra", "No space left"),
        ("echo 'connect ECONNRESET 1.2.3.4'; exit 1", "infra", "ECONNRESET"),
        ("echo 'connect ECONNRESET'; echo '1 failed'; exit 1", "red", "exit 1"),
        ("pytest() { exit 3; }; pytest", "infra", "without a test report"),
        ("echo 'src/a.ts(1,2): error TS2304: x'; exit 2 # tsc", "red", "exit 2"),
    ],
)
def test_red_is_what_the_code_did(tmp_path, command, status, why):
    """Green, red and infrastructure are told apart, with the reason in words."""
    result = run_command(command, tmp_path)
    assert result.status == status
    assert why in result.why


def test_the_log_is_never_empty_and_has_no_secret(tmp_path):
    """The log begins with the command and ends with how it ended, and secrets in either are gone."""
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    run_command("true", tmp_path, tmp_path / "quiet.log")
    assert (tmp_path / "quiet.log").read_text().splitlines()[0] == "$ true"
    assert "[green: exit 0" in (tmp_path / "quiet.log").read_text()
    result = run_command(f"echo {token}", tmp_path, tmp_path / "loud.log")
    assert token not in (tmp_path / "loud.log").read_text() + result.output


def test_only_allowed_variables_are_seen(tmp_path, monkeypatch):
    """A command sees what programs need and what was named, and no key of ours."""
    monkeypatch.setenv("OPENAI_API_KEY", "never")
    monkeypatch.setenv("DATABASE_NAME", "test")
    assert run_command("echo [$OPENAI_API_KEY$DATABASE_NAME]", tmp_path).output == "[]\n"
    assert run_command("echo [$OPENAI_API_KEY$DATABASE_NAME]", tmp_path, names={"DATABASE_NAME"}).output == "[test]\n"


def test_time_is_limited_with_everything_that_was_started(tmp_path):
    """A command that hangs is infrastructure, and neither it nor its children go on."""
    began = time.monotonic()
    result = run_command("(sleep 30; touch late) & sleep 30", tmp_path, timeout_s=0.3)
    assert (result.status, result.why) == ("infra", "took longer than 0.3 s")
    assert time.monotonic() - began < 20
    assert not (tmp_path / "late").exists()


def test_a_flood_keeps_its_end(tmp_path):
    """A command that writes megabytes is not ended for it; the end, where reports stand, is kept."""
    result = run_command("yes | head -c 3000000; echo last; exit 1", tmp_path)
    assert result.status == "red"
    assert result.output.endswith("last\n")
    assert len(result.output) < 1_000_000
