"""Our kernel is found in our own resources, and the plain one does when it is not."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import subprocess
import sys

from smithers_nb.engine.kernels.manager import KERNEL_NAME, LeanKernelManager
from smithers_nb.resources import resource


def test_our_spec_needs_no_installation():
    """The manager uses our kernel spec whatever name a notebook asks for, without anybody's Jupyter folders."""
    manager = LeanKernelManager(kernel_name="python3")
    assert manager.kernel_name == KERNEL_NAME
    assert "smithers_nb.engine.kernels.launcher" in manager.kernel_spec.argv
    manager._private.remove()


def test_everything_that_is_preloaded_exists():
    """A module that is renamed is not silently left out of what the kernel imports while it waits."""
    named = LeanKernelManager(kernel_name="python3")
    names = named.kernel_spec.env["SMITHERS_NB_PRELOAD"].split()
    named._private.remove()
    assert names
    assert [name for name in names if importlib.util.find_spec(name) is None] == []


def test_the_plain_kernel_is_the_fallback(monkeypatch):
    """Without our spec the kernel that was asked for is used."""
    monkeypatch.setattr("smithers_nb.engine.kernels.manager._SPEC", "templates/kernel/none")
    manager = LeanKernelManager(kernel_name="python3")
    assert manager.kernel_name == "python3"
    assert "ipykernel_launcher" in manager.kernel_spec.argv
    manager._private.remove()


def test_sockets_are_private():
    """Only this user can enter the folder of the sockets."""
    manager = LeanKernelManager(kernel_name="python3")
    assert manager.folder.stat().st_mode & 0o077 == 0
    manager._private.remove()


def test_long_temporary_folders_are_avoided(tmp_path, monkeypatch):
    """A temporary folder whose path is too long for sockets is not used for them."""
    deep = tmp_path / ("x" * 80)
    deep.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(deep))
    manager = LeanKernelManager(kernel_name="python3")
    assert deep not in manager.folder.parents
    manager._private.remove()


def test_the_spec_is_valid():
    """The kernel spec is what Jupyter expects of one, so that it can also be installed."""
    spec = json.loads((resource(f"templates/kernel/{KERNEL_NAME}") / "kernel.json").read_text())
    assert spec["language"] == "python"
    assert "{connection_file}" in spec["argv"]


def test_slow_modules_are_hidden_for_a_moment_only():
    """While papermill is imported, what it does not need looks absent; afterwards it can be imported as ever."""
    code = (
        "import sys, time\nfrom smithers_nb.engine.kernels.launcher import without_slow_imports\n"
        "with without_slow_imports():\n    import smithers_nb.engine.notebook.papermill_engine\n"
        "assert 'pyarrow' not in sys.modules, 'papermill was to do without pyarrow'\n"
        "import pyarrow.fs\nassert pyarrow.fs.LocalFileSystem()\nassert sys.modules.get('rfc3987_syntax', 1) is not None"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_kernel_that_is_asked_to_end_does_so_by_itself():
    """Ending a run does not wait for a kernel that has to be killed, and the user's history is left alone."""

    async def live_and_end() -> int:
        manager = LeanKernelManager(kernel_name="python3")
        await manager.start_kernel()
        client = manager.client()
        client.start_channels()
        await client.wait_for_ready(timeout=60)
        process = manager.provisioner.process
        await manager.shutdown_kernel()
        client.stop_channels()
        return process.returncode

    assert asyncio.run(live_and_end()) == 0
