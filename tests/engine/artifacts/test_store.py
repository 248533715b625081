"""Where artifacts go: a folder, or any URL that fsspec knows; whole, under a safe name, and never silently lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.memory import MemoryFileSystem

from smithers_nb.engine.artifacts import store
from smithers_nb.errors import ArtifactsNotWritten, ParameterError


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Wait little between tries."""
    monkeypatch.setattr(store, "_WAITS_S", (0.01, 0.01))


@pytest.fixture
def memory():
    """The file system `memory://`, emptied."""
    MemoryFileSystem.store.clear()
    return MemoryFileSystem()


def test_a_folder_needs_no_fsspec(tmp_path):
    """Writing into a folder imports nothing that writing to a URL needs."""
    code = "import sys; from smithers_nb.engine.artifacts import store as deposit; deposit.put(sys.argv[1], 'k', 'r', '.html', b'x')"
    code += "; sys.exit('fsspec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False).returncode == 0
    assert (tmp_path / "k" / "r.html").read_bytes() == b"x"


def test_an_object_store_gets_each_object_at_once(memory):
    """What cannot rename gets one object per artifact, replaced by the next one of the same run, and no temporary ones."""
    for content in (b"old", b"new"):
        assert store.put("memory://bucket/deep", "autopsy", "run-1", ".html", content) == "memory://bucket/deep/autopsy/run-1.html"
    assert memory.find("/") == ["/bucket/deep/autopsy/run-1.html"]
    assert memory.cat("/bucket/deep/autopsy/run-1.html") == b"new"


@pytest.mark.parametrize("run_id", ["../../etc/passwd", "a/b", "..", "x\x00y", "a b?c#d", "ü" * 300])
def test_no_id_leaves_its_folder(memory, tmp_path, run_id):
    """Whatever a run and its workflow are called, their artifacts are files in the folder of a kind."""
    for url, files, root in (("memory://safe", memory, "/safe"), (f"file://{tmp_path}/safe", LocalFileSystem(), f"{tmp_path}/safe")):
        store.put(url, "../up", run_id, ".html", b"x")
        (found,) = files.find(root.rpartition("/safe")[0] or "/")
        assert found.removeprefix(f"{root}/").count("/") == 1


class Flaky(LocalFileSystem):
    """Fails as often as it is told to, in the middle of writing or of renaming."""

    protocol = "flaky"
    cachable = False
    failures = 0
    where = "pipe_file"

    def _fail(self, step, path):
        if step == self.where and Flaky.failures > 0:
            Flaky.failures -= 1
            Path(path).write_bytes(b"ha")
            raise ConnectionResetError(104, "connection reset, password=hunter2hunter2")

    def pipe_file(self, path, value, **options):
        self._fail("pipe_file", path)
        return super().pipe_file(path, value, **options)

    def mv(self, path1, path2, **options):
        self._fail("mv", path1)
        return super().mv(path1, path2, **options)


@pytest.mark.parametrize("where", ["pipe_file", "mv"])
def test_a_store_that_fails_now_and_then_is_tried_again(tmp_path, monkeypatch, where):
    """Two failures are waited out; a third one is told in one line without secrets, and leaves what was there before."""
    fsspec.register_implementation("flaky", Flaky, clobber=True)
    monkeypatch.setattr(Flaky, "where", where)
    monkeypatch.setattr(Flaky, "failures", 2)
    url, file = f"flaky://{tmp_path}", tmp_path / "k" / "r.html"
    store.put(url, "k", "r", ".html", b"first")
    assert file.read_bytes() == b"first"
    monkeypatch.setattr(Flaky, "failures", 3)
    with pytest.raises(ArtifactsNotWritten) as caught:
        store.put(url, "k", "r", ".html", b"second")
    assert "\n" not in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert file.read_bytes() == b"first"
    assert [path.name for path in file.parent.iterdir()] == ["r.html"]


@pytest.mark.parametrize(
    ("url", "said", "hint"),
    [
        ("s3://bucket/x", "s3: needs the package s3fs", "pip install s3fs"),
        ("nope://x", "nope://x", "a folder, or a URL"),
        ("zip://x::file:///a.zip", "zip: is an archive", "folder"),
    ],
)
def test_a_url_that_cannot_work_is_refused_at_once(url, said, hint, monkeypatch):
    """What is missing, unknown or no place for many runs is said before any work is done."""
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(ParameterError) as caught:
        store.check(url)
    assert said in str(caught.value)
    assert hint in caught.value.hint


def test_secrets_of_a_url_are_shown_nowhere():
    """User, password and query are no part of an address or of an error."""
    url = "ftp://ann:hunter2hunter2@127.0.0.1:1/place?token=abcdefgh12345678"
    assert store.address(url, "k", "r", ".html") == "ftp://127.0.0.1:1/place/k/r.html"
    with pytest.raises(ArtifactsNotWritten) as caught:
        store.put(url, "k", "r", ".html", b"x")
    assert "ftp://127.0.0.1:1/place/k/r.html could not be written: Connection refused" in str(caught.value)
