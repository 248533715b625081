"""Branches and worktrees of one run: nothing is lost in them, and nothing outside of them changes unseen."""

import os
import shutil
import subprocess

import pytest

from smithers_nb.errors import SmitheringError
from smithers_nb.workflows.smithering.landing.git import exclude
from smithers_nb.workflows.smithering.landing.git_trace import VARIABLE, WorkerGit
from smithers_nb.workflows.smithering.landing.guard import guarded
from smithers_nb.workflows.smithering.landing.worktrees import Worktrees


@pytest.fixture
def trees(repo):
    trees = Worktrees(repo, "run-1", "main")
    trees.prepare()
    return trees


def commit(in_git, path, name="new.txt", text="x\n"):
    (path / name).write_text(text)
    in_git(path, "add", "--all")
    in_git(path, "commit", "--quiet", "--message", name)
    return in_git(path, "rev-parse", "HEAD")


def land(in_git, trees, ticket_id):
    """Put a land commit of a ticket on the integration branch."""
    tip = trees.tip()
    made = in_git(trees.repo, "commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", f"Title\n\nsmithering-land: {ticket_id}")
    in_git(trees.repo, "update-ref", f"refs/heads/{trees.integration}", made)
    return made


def test_a_worktree_is_reopened_as_it_was_committed(trees, in_git):
    """A second opening has the commits of the first, and the main checkout stays clean."""
    head = commit(in_git, trees.open("a", trees.tip()))
    assert in_git(trees.open("a", trees.tip()), "rev-parse", "HEAD") == head == trees.head("a")
    assert in_git(trees.repo, "status", "--porcelain") == ""
    assert in_git(trees.repo, "branch", "--show-current") == "main"


def test_what_was_left_uncommitted_is_kept_aside(trees, in_git):
    """A worktree that a dead process left dirty is clean when it is opened again, and what was in it has a reference."""
    path = trees.open("a", trees.tip())
    (path / "half.txt").write_text("half done")
    (path / "README.md").write_text("changed")
    assert in_git(trees.open("a", trees.tip()), "status", "--porcelain") == ""
    kept = in_git(trees.repo, "for-each-ref", "--format=%(refname)", "refs/smithering/run-1/left/a")
    assert in_git(trees.repo, "show", f"{kept}:half.txt") == "half done"


@pytest.mark.parametrize("damage", ["gone", "half made", "cut off", "moved"])
def test_a_damaged_worktree_is_made_again(trees, in_git, damage):
    """Whatever happened to the folder, the branch is still there and is checked out anew."""
    path = trees.open("a", trees.tip())
    head = commit(in_git, path)
    if damage in {"gone", "half made"}:
        shutil.rmtree(path)
    if damage == "half made":
        path.mkdir()
        (path / "rubbish").write_text("")
    if damage == "cut off":
        (path / ".git").write_text("gitdir: /elsewhere\n")
    if damage == "moved":
        in_git(path, "switch", "--quiet", "--create", "mine")
    assert in_git(trees.open("a", trees.tip()), "rev-parse", "HEAD") == head


def test_a_branch_goes_only_when_its_land_commit_is_there(trees, in_git):
    """Closing an unlanded ticket keeps its branch; once landed, branch and worktree go."""
    commit(in_git, trees.open("a", trees.tip()))
    trees.close("a", trees.landed())
    assert not trees.path("a").exists()
    assert trees.head("a")
    made = land(in_git, trees, "a")
    assert trees.landed() == {"a": made}
    trees.close("a", trees.landed())
    assert trees.head("a") is None


def test_a_trailer_in_the_middle_lands_nothing(trees, in_git):
    """Only a trailer counts: the words in a title or a paragraph are not a land commit."""
    tip = trees.tip()
    made = in_git(
        trees.repo, "commit-tree", f"{tip}^{{tree}}", "-p", tip, "-m", "smithering-land: a\n\nsmithering-land: b is next\n\nThe end"
    )
    in_git(trees.repo, "update-ref", f"refs/heads/{trees.integration}", made)
    assert trees.landed() == {}


def test_landed_tickets_stay_known_after_the_base_took_them(trees, in_git):
    """When the base branch was moved onto the integration branch, what has landed is still known."""
    land(in_git, trees, "a")
    in_git(trees.repo, "merge", "--quiet", "--ff-only", trees.integration)
    again = Worktrees(trees.repo, "run-1", "main")
    again.prepare()
    assert list(again.landed()) == ["a"]


def test_two_runs_do_not_meet(trees, repo, in_git):
    """Another run has branches, worktrees and an integration branch of its own."""
    other = Worktrees(repo, "run-2", "main")
    other.prepare()
    commit(in_git, trees.open("a", trees.tip()))
    land(in_git, trees, "a")
    assert other.landed() == {}
    assert other.open("a", other.tip()) != trees.open("a", trees.tip())
    assert other.head("a") == in_git(repo, "rev-parse", "main")


@pytest.mark.parametrize("run_id", ["../../evil", "a b~c^d:e", "x.lock", "-rf"])
def test_a_hostile_run_id_stays_inside(repo, run_id):
    """Whatever the id of a run contains, its worktrees lie in our folder and its branches are valid."""
    trees = Worktrees(repo, run_id, "main")
    trees.prepare()
    assert trees.open("a", trees.tip()).is_relative_to(repo / ".smithers_nb/worktrees")
    assert trees.head("a")


def test_a_conflict_leaves_both_sides_in_the_worktree(trees, in_git):
    """The tip is merged into the worktree; files in conflict are named and hold markers, a clean merge names none."""
    path = trees.open("a", trees.tip())
    commit(in_git, path, "README.md", "mine\n")
    other = trees.open("b", trees.tip())
    in_git(trees.repo, "update-ref", f"refs/heads/{trees.integration}", commit(in_git, other, "README.md", "theirs\n"))
    assert trees.bring_up_to_date(path, trees.tip()) == ["README.md"]
    assert "<<<<<<<" in (path / "README.md").read_text()
    (path / "README.md").write_text("both\n")
    trees.commit_rest(path, "Resolve")
    assert in_git(path, "merge-base", "--is-ancestor", trees.tip(), "HEAD") == ""
    assert trees.bring_up_to_date(path, trees.tip()) == []


ESCAPES = {
    "none": "true",
    "base": "git branch --quiet --force elsewhere main && git update-ref refs/heads/main HEAD",
    "fetch": "git fetch --quiet --update-head-ok . HEAD:main",
    "commit": "git -C ../../../.. commit --quiet --allow-empty --message stray",
    "files": "git -C ../../../.. rm --quiet README.md",
    "settings": "git config filter.x.smudge 'rm -rf ~'",
    "remote": "git remote add other /nowhere",
    "branch": "git switch --quiet --create mine",
    "deleted": "rm ../../../../README.md",
    "hook": "mkdir -p ../../../../.git/hooks && echo 'rm -rf ~' > ../../../../.git/hooks/post-checkout",
}
SAID = {
    "base": "the base branch main was moved",
    "fetch": "the base branch main was moved",
    "commit": "the base branch main was moved",
    "files": "README.md (deleted; `git checkout HEAD -- README.md` brings it back)",
    "settings": "settings of the repository changed: filter.x.smudge (put back)",
    "remote": "remote.other.url",
    "branch": "not on the branch",
    "deleted": "README.md (deleted; `git checkout HEAD -- README.md` brings it back)",
    "hook": "settings or hooks of the repository changed: hooks/post-checkout",
}


def run(command, folder, trace=None):
    """Run a command line with an identity of its own; with a trace, as a worker's process."""
    who = {f"GIT_{role}_{part}": "eve@example.org" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    env = {**os.environ, **who, **({VARIABLE: str(trace)} if trace else {})}
    subprocess.run(["/bin/sh", "-c", command], cwd=folder, env=env, check=True, capture_output=True)


@pytest.mark.parametrize("how", ESCAPES)
def test_what_a_workers_git_does_outside_is_the_workers(trees, in_git, tmp_path, how):
    """Git commands of its own process are its doing; what they did not do is told without blame; work in the worktree is neither."""
    path = trees.open("a", trees.tip())
    before, config = guarded(trees), (trees.common / "config").read_bytes()
    commit(in_git, path, "fine.txt")
    run(ESCAPES[how], path, tmp_path / "trace")
    found = trees.left_behind(before, path, "a", WorkerGit.read(tmp_path / "trace"))
    unknown = how in {"deleted", "hook"}
    assert SAID.get(how, "") in (found.by_anyone if unknown else found.by_worker)
    assert (bool(found.by_worker), bool(found.by_anyone)) == (not unknown and how != "none", unknown)
    assert how not in {"settings", "remote"} or guarded(trees).config == before.config
    assert how in {"settings", "remote"} or (trees.common / "config").read_bytes() == config


def test_what_a_person_does_meanwhile_is_nobodys_fault_and_stays(trees, in_git, tmp_path):
    """A person's commit, settings, hook and deleted file are told without blame and kept, beside a setting of the worker's own."""
    path = trees.open("a", trees.tip())
    before = guarded(trees)
    for command in ("git status", "git config user.name Worker", "git log main", "git commit --quiet --allow-empty --message fine"):
        run(command, path, tmp_path / "trace")
    mine = commit(in_git, trees.repo, "mine.txt")
    in_git(trees.repo, "config", "alias.st", "status")
    for how in ("deleted", "hook"):
        run(ESCAPES[how], path)
    found = trees.left_behind(before, path, "a", WorkerGit.read(tmp_path / "trace"))
    assert found.by_worker == "settings of the repository changed: user.name (put back)"
    assert all(word in found.by_anyone for word in ("base branch main", "README.md", "alias.st", "hooks/post-checkout"))
    assert in_git(trees.repo, "rev-parse", "main") == mine
    assert in_git(trees.repo, "config", "alias.st") == "status"
    assert (trees.common / "hooks/post-checkout").exists()
    assert not (trees.repo / "README.md").exists()


def test_a_missing_base_branch_is_told(repo):
    """Without the base branch nothing is made."""
    trees = Worktrees(repo, "run-1", "gone")
    with pytest.raises(SmitheringError, match="no branch gone"):
        trees.prepare()


def test_a_verification_checkout_holds_exactly_one_commit(trees, in_git):
    """What an earlier verification left, ignored files included, is gone when another commit is shown."""
    exclude(trees.repo, ["*.tmp"])
    head = commit(in_git, trees.open("a", trees.tip()))
    path = trees.checkout("verify-0")
    (path / "cache.tmp").write_text("")
    (trees.common / "worktrees" / path.name / "index.lock").touch()
    (path / "README.md").write_text("changed")
    trees.show(path, head)
    assert sorted(file.name for file in path.iterdir()) == [".git", ".gitignore", "README.md", "new.txt"]
    assert (path / "README.md").read_text() == "hello\n"
    trees.close_checkouts()
    assert not path.exists()
