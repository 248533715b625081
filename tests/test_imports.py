"""What importing costs: heavy libraries are loaded by what needs them, never by what does not."""

from __future__ import annotations

import subprocess
import sys

import pytest

import smithers_nb

HEAVY = ("pandas", "pyarrow", "plotly", "nbconvert", "papermill", "adbc_driver_sqlite", "IPython", "numpy", "nbformat")


def loaded_after(code: str) -> set[str]:
    done = subprocess.run([sys.executable, "-c", f"{code}\nimport sys; print(*sys.modules)"], capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


def test_the_package_loads_nothing() -> None:
    """`import smithers_nb` loads no other module of the package and none of its dependencies."""
    loaded = loaded_after("import smithers_nb")
    assert not loaded & {*HEAVY, "click", "pydantic", "rich", "orjson"}
    assert [name for name in loaded if name.startswith("smithers_nb.")] == []


def test_the_package_opens_at_once() -> None:
    """`import smithers_nb` takes less than 50 ms of processor time."""
    code = "import time; t = time.process_time(); import smithers_nb; print(time.process_time() - t)"
    times = [float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout) for _ in range(3)]
    assert min(times) < 0.05


def test_projects_need_no_pandas_before_a_frame_is_asked_for() -> None:
    """Connecting loads neither pandas nor Arrow."""
    assert not loaded_after("import smithers_nb; smithers_nb.connect('.')") & set(HEAVY)


def test_every_public_name_is_there() -> None:
    """Each name of `__all__` can be had, and `dir` lists it."""
    assert all(getattr(smithers_nb, name) is not None for name in smithers_nb.__all__)
    assert set(smithers_nb.__all__) <= set(dir(smithers_nb))


def test_an_unknown_name_is_an_attribute_error() -> None:
    """A name the package does not have is refused like in any module."""
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = smithers_nb.no_such_name
