"""Folders of kernels: each is there as long as its owner, and swept away when nobody is left to do it."""

from __future__ import annotations

import subprocess
import sys
import tempfile

import pytest

from smithers_nb.engine.kernels import socket_dirs

OWNER = (
    "from smithers_nb.engine.kernels.socket_dirs import private_folder\nfolder = private_folder()\nprint(folder.path, flush=True)\ninput()"
)


@pytest.fixture(autouse=True)
def parent(monkeypatch):
    """A folder of temporary files that is nobody else's."""
    with tempfile.TemporaryDirectory(prefix="snf-", dir="/tmp") as folder:
        monkeypatch.setattr(tempfile, "tempdir", folder)
        monkeypatch.setattr(socket_dirs, "_parents", lambda: (folder, folder))
        monkeypatch.setenv("TMPDIR", folder)
        yield folder


def owner():
    """Start a process that has a folder; give it with the folder's path."""
    process = subprocess.Popen([sys.executable, "-c", OWNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    return process, socket_dirs.Path(process.stdout.readline().strip())


def test_only_what_nobody_owns_is_swept():
    """A folder whose owner was killed is removed with its sockets; one of a living owner and one of ours stay."""
    mine, (killed, lost), (living, kept) = socket_dirs.private_folder(), owner(), owner()
    (lost / "socket-1").touch()
    killed.kill()
    killed.communicate()
    assert socket_dirs.sweep() == 1
    assert (mine.path.exists(), lost.exists(), kept.exists()) == (True, False, True)
    living.communicate("\n")
    mine.remove()
    assert socket_dirs.sweep() == 1
    assert not mine.path.exists()


def test_folders_of_others_are_left_alone(parent):
    """What only looks like one of ours, without a lock or through a link, is not touched."""
    there = socket_dirs.Path(parent)
    (there / "snb-k-other").mkdir()
    (there / "elsewhere").mkdir()
    (there / "elsewhere" / "owner").touch()
    (there / "snb-k-link").symlink_to(there / "elsewhere")
    assert socket_dirs.sweep() == 0
    assert sorted(path.name for path in there.iterdir()) == ["elsewhere", "snb-k-link", "snb-k-other"]


def test_the_folder_is_private_and_its_path_short():
    """Nobody else may enter it, and the path of a socket in it fits where the system keeps such paths."""
    made = socket_dirs.private_folder()
    assert made.path.stat().st_mode & 0o777 == 0o700
    assert len(str(made.path / "socket-5")) < 107
    made.remove()
    assert not made.path.exists()
