"""Git as we call it, and what keeps a repository from being built in."""

import pytest

from smithers_nb.errors import GitFailed
from smithers_nb.workflows.smithering.landing import git as ours
from smithers_nb.workflows.smithering.landing.git import attempt, exclude, git, move, patch_id, preflight


def codes(repo, base="main"):
    problems = preflight(repo, base)
    assert all(problem.message and problem.hint for problem in problems)
    return [problem.code for problem in problems]


def test_a_clean_repository_has_no_problem(repo):
    """Nothing keeps a clean checkout of an existing branch from being built in."""
    assert codes(repo) == []


def test_what_is_no_repository_is_told(tmp_path, repo, in_git):
    """A missing folder, a plain folder, a bare repository and a folder below the top are told apart."""
    (tmp_path / "plain").mkdir()
    in_git(tmp_path, "init", "--quiet", "--bare", "bare")
    (repo / "sub").mkdir()
    assert [codes(tmp_path / name) for name in ("none", "plain", "bare")] == [["NO_FOLDER"], ["NOT_A_REPOSITORY"], ["NOT_A_REPOSITORY"]]
    assert codes(repo / "sub") == ["NOT_THE_TOP"]


def test_an_empty_repository_has_no_base(tmp_path, in_git):
    """A repository without a commit has nothing to start from."""
    (tmp_path / "new").mkdir()
    in_git(tmp_path / "new", "init", "--quiet")
    assert codes(tmp_path / "new") == ["NO_BASE_BRANCH"]


def test_each_bad_state_is_told(repo, in_git):
    """Uncommitted files, a detached head, a missing base and an unfinished merge are all told at once."""
    in_git(repo, "switch", "--quiet", "--create", "other")
    (repo / "README.md").write_text("theirs\n")
    in_git(repo, "commit", "--quiet", "--all", "--message", "theirs")
    in_git(repo, "switch", "--quiet", "--detach", "main")
    (repo / "README.md").write_text("ours\n")
    in_git(repo, "commit", "--quiet", "--all", "--message", "ours")
    assert attempt(repo, "merge", "other").code != 0
    assert codes(repo, "gone") == ["UNFINISHED", "DETACHED_HEAD", "DIRTY_TREE", "NO_BASE_BRANCH"]


def test_a_repository_that_git_cannot_work_with_is_told(repo, in_git):
    """A branch where ours would be, and a filter whose program is missing, are reasons and no errors of git."""
    in_git(repo, "branch", "smithering")
    (repo / ".gitattributes").write_text("*.md filter=absent\n")
    in_git(repo, "add", "--all")
    in_git(repo, "commit", "--quiet", "--message", "A filter")
    for name in ("clean", "smudge"):
        in_git(repo, "config", f"filter.absent.{name}", "no-such-program")
    in_git(repo, "config", "filter.absent.required", "true")
    (repo / "README.md").touch()
    assert codes(repo) == ["BRANCH_IN_THE_WAY", "NO_STATUS"]


def test_our_own_folders_make_no_tree_dirty(repo):
    """What is excluded leaves the tree clean, is written once, and changes no file of the project."""
    exclude(repo, ["artifacts/"])
    exclude(repo, ["artifacts/"])
    (repo / "artifacts").mkdir()
    (repo / "artifacts" / "a").write_text("x")
    assert codes(repo) == []
    assert (repo / ".git/info/exclude").read_text().count("artifacts/") == 1


def test_hooks_never_run(repo):
    """A hook of the repository does not run when we commit."""
    hook = repo / ".git/hooks/pre-commit"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\ntouch ran\nexit 1\n")
    hook.chmod(0o755)
    git(repo, "commit", "--quiet", "--allow-empty", "--message", "x")
    assert not (repo / "ran").exists()


def test_a_failure_carries_command_and_last_lines(repo):
    """What git said is in the error, without a secret that was in it."""
    token = "ghp_" + "a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8"
    with pytest.raises(GitFailed, match="exit code 128") as failed:
        git(repo, "show", f"no-{token}")
    assert failed.value.command.startswith("git show no-")
    assert "unknown revision" in failed.value.output
    assert token not in f"{failed.value}{failed.value.command}{failed.value.output}"


def test_a_command_that_hangs_is_ended(repo, monkeypatch):
    """A git that waits for ever is ended after its time."""
    monkeypatch.setattr(ours, "_TIMEOUT_S", 0.2)
    with pytest.raises(GitFailed, match=r"longer than 0\.2 s"):
        git(repo, "-c", "alias.wait=!sleep 60", "wait")


def test_a_reference_moves_only_from_where_it_was(repo):
    """Compare-and-set: whoever is wrong about the old commit moves nothing."""
    first = git(repo, "rev-parse", "HEAD")
    second = git(repo, "commit-tree", f"{first}^{{tree}}", "-p", first, "-m", "second")
    git(repo, "update-ref", "refs/x/y", first)
    assert not move(repo, "refs/x/y", second, second)
    assert move(repo, "refs/x/y", second, first)
    assert git(repo, "rev-parse", "refs/x/y") == second


def test_the_same_change_has_the_same_patch_id_elsewhere(repo, in_git):
    """A change keeps its id on another base; an empty change has none."""
    heads = []
    for branch, first in (("one", None), ("two", "other.txt")):
        in_git(repo, "switch", "--quiet", "--create", branch, "main")
        if first:
            (repo / first).write_text("x")
            in_git(repo, "add", "--all")
            in_git(repo, "commit", "--quiet", "--message", "first")
        (repo / "new.txt").write_text("the same\n")
        in_git(repo, "add", "--all")
        in_git(repo, "commit", "--quiet", "--message", "change")
        heads.append(patch_id(repo, git(repo, "diff-tree", "-p", "HEAD^", "HEAD")))
    assert heads[0] == heads[1] != ""
    assert patch_id(repo, "") == ""
