"""The files that are not code are found wherever the package was installed to."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import smithers_nb
from smithers_nb.resources import resource


@pytest.mark.parametrize("layout", ["", "lib/python3.11/site-packages", "local/lib/python3.11/dist-packages"])
def test_files_beside_an_installed_package(tmp_path: Path, layout: str) -> None:
    """`pip install --target`, `--user` and `--prefix` put them in `share` above the package, and there they are found."""
    shutil.copytree(Path(smithers_nb.__file__).parent, tmp_path / layout / "smithers_nb", ignore=shutil.ignore_patterns("__pycache__"))
    data = tmp_path / ("local" if layout.startswith("local") else "") / "share" / "smithers_nb" / "notebooks"
    data.mkdir(parents=True)
    shutil.copy(resource("notebooks/autopsy.ipynb"), data)
    script = "from smithers_nb.resources import resource; print(resource('notebooks/autopsy.ipynb'))"
    ran = subprocess.run([sys.executable, "-c", script], cwd=tmp_path / layout, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str(data / "autopsy.ipynb")


def test_an_incomplete_installation_says_so() -> None:
    """What is nowhere is named, with the places that were looked at."""
    with pytest.raises(FileNotFoundError, match="nothing-like-this is neither in"):
        resource("nothing-like-this")
