"""A build that is killed with SIGKILL at any point goes on where it was: nothing lands twice, nothing is lost."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.workflows.smithering.building.killed_build import NEEDS
from tests.workflows.smithering.conftest import made_repo, run_git

SCRIPT = Path(__file__).with_name("killed_build.py")
POINTS = 330
"""A little more than the effects of a whole build, so that some points are past its end."""


def run(repo: Path, point: int) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, str(SCRIPT), str(repo), str(repo.parent / "artifacts"), str(repo.parent / "log"), str(point)]
    return subprocess.run(words, capture_output=True, text=True, timeout=120, check=False, cwd=Path(__file__).parents[4])


def landed(repo: Path) -> list[str]:
    log = run_git(repo, "log", "--format=%(trailers:key=smithering-land,valueonly,separator=%x20)", "main..smithering/run-1/integration")
    return [line for line in log.splitlines() if line]


def killed_until_done(repo: Path, points: list[int]) -> int:
    """Kill a build at one point after the other, then let it end; return how often it died."""
    deaths = 0
    for point in points:
        before = landed(repo) if deaths else []
        done = run(repo, point)
        assert done.returncode in {0, -signal.SIGKILL}, done.stderr
        deaths += done.returncode != 0
        if (repo / ".git/refs/heads/smithering").exists():
            assert set(before) <= set(landed(repo))
    done = run(repo, 0)
    assert done.returncode == 0, done.stderr
    return deaths


def check(repo: Path) -> None:
    """Check that every ticket has landed once, and that nothing else is left."""
    assert sorted(landed(repo)) == sorted(NEEDS)
    for name in NEEDS:
        assert run_git(repo, "show", f"smithering/run-1/integration:{name}.txt") == "right"
    assert sorted(run_git(repo, "show", "smithering/run-1/integration:README.md").split()) == ["a", "e", "hello"]
    assert run_git(repo, "status", "--porcelain") == ""
    assert run_git(repo, "log", "--format=%s", "main") == "Begin"
    assert len(run_git(repo, "worktree", "list").splitlines()) == 1
    assert run_git(repo, "branch", "--list", "--format=%(refname:short)", "smithering/*") == "smithering/run-1/integration"
    assert not list((repo / ".git").rglob("*.lock")) or {path.name for path in (repo / ".git").rglob("*.lock")} == {"build.lock"}
    for name in NEEDS:  # what was tested is what landed
        verify = (repo.parent / "artifacts/smithering/build/run-1" / name / "test-output" / f"{name}-1.log").read_text()
        assert any(line in run_git(repo, "rev-list", "smithering/run-1/integration").splitlines() for line in verify.splitlines())


@pytest.mark.parametrize("seed", [1, 2])
def test_a_build_survives_kills_at_random_points(tmp_path, seed):
    """Killed before and after random effects, again and again, a build ends as if it had never been killed."""
    repo = made_repo(tmp_path / "repo")
    chosen = random.Random(seed)
    points = [chosen.choice((1, -1)) * chosen.randint(1, 90) for _ in range(4)]
    assert killed_until_done(repo, points) >= 2
    check(repo)


@pytest.mark.slow
def test_a_build_survives_a_kill_at_many_points_of_its_life(tmp_path, request):
    """A kill at each of many points, in a repository of its own each time, is followed by a build that ends well."""
    step = 1 if request.config.getoption("--attacks") == "full" else 110
    for point in range(7, POINTS, step):
        repo = made_repo(tmp_path / f"at-{point}" / "repo")
        killed_until_done(repo, [point if point % 2 else -point])
        check(repo)


def test_a_finished_ticket_is_not_worked_on_again(tmp_path):
    """After a kill, what has landed is not given to a worker again."""
    repo = made_repo(tmp_path / "repo")
    run(repo, 200)
    before = set(landed(repo))
    log = tmp_path / "log"
    told = len(log.read_text().splitlines())
    assert before
    run(repo, 0)
    assert not before & set(log.read_text().splitlines()[told:])
    check(repo)


def test_an_orphan_in_a_worktree_is_ended_before_the_work_goes_on(tmp_path):
    """A process that a killed build left in a worktree does not write there any more, and one of somebody else's is left alone."""
    from smithers_nb.workflows.smithering.building.leftovers import only_builder
    from smithers_nb.workflows.smithering.landing.worktrees import Worktrees

    trees = Worktrees(made_repo(tmp_path / "repo"), "run-1", "main")
    trees.prepare()
    path = trees.open("a", trees.tip())
    words = ["sleep", "60"]
    ours = subprocess.Popen(words, cwd=path, env={"PATH": "/usr/bin:/bin", "SMITHERS_NB_STARTED_BY": "x"})
    theirs = subprocess.Popen(words, cwd=path, env={"PATH": "/usr/bin:/bin"})
    try:
        with only_builder(trees):
            assert ours.wait(10) == -signal.SIGKILL
            assert theirs.poll() is None
    finally:
        for process in (ours, theirs):
            process.kill()
            process.wait()


def test_a_second_process_does_not_build_the_same_run(tmp_path):
    """Two builds of one run at once are refused, and a lock of a dead git is no obstacle."""
    from smithers_nb.errors import SmitheringError
    from smithers_nb.workflows.smithering.building.leftovers import only_builder
    from smithers_nb.workflows.smithering.landing.worktrees import Worktrees

    trees = Worktrees(made_repo(tmp_path / "repo"), "run-1", "main")
    trees.prepare()
    path = trees.open("a", trees.tip())
    stale = Path(run_git(path, "rev-parse", "--path-format=absolute", "--git-dir")) / "index.lock"
    stale.touch()
    with only_builder(trees):
        assert not stale.exists()
        with pytest.raises(SmitheringError, match="another process"), only_builder(trees):
            pass
