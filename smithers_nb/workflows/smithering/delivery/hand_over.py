"""The hand-over of a branch: pushed and offered as a pull request only if that was asked for, and only behind `gate:delivery`."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

from smithers_nb.redact import redact
from smithers_nb.workflows.smithering.landing.git import attempt, commit_of
from smithers_nb.workflows.smithering.results.delivery import Delivery
from smithers_nb.workflows.smithering.results.spec import Setup

if TYPE_CHECKING:
    from smithers_nb.workflows.smithering.work import Work

_TIMEOUT_S: Final = 300
_QUOTED: Final = 300


def hand_over(work: Work, branch: str) -> Delivery:
    """Hand a branch over; what could not be pushed is said and stays where it is."""
    commit = commit_of(work.repo, f"refs/heads/{branch}") or ""
    merged = attempt(work.repo, "merge-base", "--is-ancestor", commit, f"refs/heads/{work.parameters.base_branch}").code == 0
    said, url, as_asked = [f"branch {branch} at {commit[:12]}"], None, True
    remote = work.parameters.push
    if remote:
        done = attempt(
            work.repo, "-c", "protocol.file.allow=user", "push", "--no-verify", remote, f"refs/heads/{branch}:refs/heads/{branch}"
        )
        as_asked = done.code == 0
        if not as_asked:
            again = f"once that is put right: git -C {shlex.quote(str(work.repo))} push {shlex.quote(redact(remote))} {branch}"
            said.append(f"not pushed to {redact(remote)}: {_why(done.errors)}; {again}")
        else:
            said.append(f"pushed to {redact(remote)}")
            if work.parameters.pull_request:
                url, told = _pull_request(work, branch)
                said.append(told)
                as_asked = url is not None
    return Delivery(summary="; ".join(said), branch=branch, commit=commit, pr_url=url, merged_to_main=merged, as_asked=as_asked)


def _why(errors: str) -> str:
    """Return what a remote said, else what git said, in one line."""
    lines = [" ".join(line.split()) for line in errors.splitlines()]
    found = [line.removeprefix("remote: ") for line in lines if line.startswith("remote: ") and line != "remote:"] or lines
    return redact("; ".join(line for line in found if line))[-_QUOTED:]


def _pull_request(work: Work, branch: str) -> tuple[str | None, str]:
    """Open a pull request with the program `gh`."""
    program = shutil.which("gh")
    if program is None:
        return None, "no pull request was opened: there is no program gh"
    title = " ".join(work.row("setup", Setup).prompt.split())[:120]
    words = [
        program,
        "pr",
        "create",
        "--base",
        work.parameters.base_branch,
        "--head",
        branch,
        "--title",
        title,
        "--body",
        "See the report.",
    ]
    try:
        done = subprocess.run(  # noqa: S603  # an argument list
            words, cwd=work.repo, capture_output=True, text=True, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return None, f"no pull request was opened: {error}"
    url = next((line for line in reversed(done.stdout.splitlines()) if line.startswith("http")), None)
    return url, "a pull request was opened" if url else f"no pull request was opened: {_why(done.stderr)}"
