"""Private folders: each is there as long as its owner, and swept away when nobody is left to do it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from smithers_nb.private_folder import PrivateFolder, sweep

HOLD = "from smithers_nb.private_folder import PrivateFolder\nheld = PrivateFolder()\nprint(held.path, flush=True)\n"
USERS = {
    "a folder": HOLD,
    "a rehearsal": "from smithers_nb.workflows.autopsy import warm_up\n"
    "warm_up.gather = lambda *_: (print(flush=True), input())\nwarm_up.rehearse()\n",
    "a copy": "from smithers_nb.sources.stores.scratch import PrivateCopy\nheld = PrivateCopy(on_disk=True)\nprint(flush=True)\n",
    "its removal": HOLD.replace("print", "(held.path / 'deep').mkdir()\nimport shutil\nshutil.rmtree = lambda *_, **__: input()\nprint")
    + "held.remove()\n",
    "the example": "import pathlib, shutil\nfrom smithers_nb.resources import example_store\n"
    "shutil.copytree = lambda *_: (print(flush=True), input())\nexample_store()\n",
}


@pytest.fixture(autouse=True)
def parent(tmp_path, monkeypatch):
    """A folder of temporary files, and of caches, that is nobody else's."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path


def owner(code=HOLD):
    """Start a process that has a folder; give it with the line that it printed then."""
    process = subprocess.Popen([sys.executable, "-c", f"{code}input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, process.stdout.readline().strip()


@pytest.mark.parametrize("user", USERS)
def test_who_is_killed_leaves_nothing_for_long(user, parent):
    """Whatever the killed process had it for, the next folder that is made takes its away."""
    process, _ = owner(USERS[user])
    process.kill()
    process.communicate()
    where = parent / "cache" / "smithers-nb" if user == "the example" else parent
    assert len(list(where.glob("*"))) == 1
    with PrivateFolder(where) as mine:
        assert list(where.iterdir()) == [mine]
    assert list(where.iterdir()) == []


def test_only_what_nobody_owns_is_swept(parent):
    """A folder of a killed owner is removed with all that is in it; one of a living owner and one of ours stay."""
    mine, (killed, lost), (living, kept) = PrivateFolder(), owner(), owner()
    (Path(lost) / "deep" / "er").mkdir(parents=True)
    (Path(lost) / "deep" / "er" / "socket-1").touch()
    killed.kill()
    killed.communicate()
    assert sweep(parent) == 1
    assert (mine.path.exists(), Path(lost).exists(), Path(kept).exists()) == (True, False, True)
    living.communicate("\n")
    assert not Path(kept).exists()
    mine.remove()
    assert list(parent.iterdir()) == []


def test_a_sweep_at_any_moment_takes_no_folder_that_is_being_made(parent, monkeypatch):
    """Swept before it is locked, a folder is made again."""
    made = tempfile.mkdtemp

    def swept_at_once(**options):
        monkeypatch.setattr(tempfile, "mkdtemp", made)
        folder = made(**options)
        assert sweep(parent) == 1
        return folder

    monkeypatch.setattr(tempfile, "mkdtemp", swept_at_once)
    with PrivateFolder() as mine:
        assert sweep(parent) == 0
        assert mine.exists()


def test_folders_of_others_are_left_alone(parent):
    """What only looks like one of ours, without a lock or through a link, is not touched."""
    (parent / "snb-own-other").mkdir()
    (parent / "snb-own-other" / "file").touch()
    (parent / "elsewhere").mkdir()
    (parent / "elsewhere" / ".owner").touch()
    (parent / "snb-own-link").symlink_to(parent / "elsewhere")
    assert sweep(parent) == 0
    assert sorted(path.name for path in parent.iterdir()) == ["elsewhere", "snb-own-link", "snb-own-other"]


def test_what_a_person_was_told_of_stays(parent):
    """A folder that was kept is not swept, and not removed with its object."""
    made = PrivateFolder()
    (made.path / "report.html").touch()
    kept = made.keep()
    del made
    assert sweep(parent) == 0
    assert [path.name for path in kept.iterdir()] == ["report.html"]


def test_a_fork_does_not_take_the_folder_along(parent):
    """A forked child that ends in an orderly way leaves the folder to its owner."""
    mine = PrivateFolder()
    code = HOLD + "import os, sys\npid = os.fork()\nif pid:\n    os.waitpid(pid, 0)\n    print(held.path.exists(), flush=True)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "True", done.stderr
    mine.remove()
    assert list(parent.iterdir()) == []


def test_the_folder_is_private():
    """Nobody else may enter it."""
    with PrivateFolder() as made:
        assert made.stat().st_mode & 0o777 == 0o700
        assert os.access(made, os.W_OK)
