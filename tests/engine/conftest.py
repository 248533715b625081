"""Notebooks small enough to be written where they are tested."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest
from pydantic import BaseModel, ConfigDict


class Parameters(BaseModel):
    """Parameters of the notebooks written by `notebook`."""

    model_config = ConfigDict(extra="forbid")

    name: str = "nobody"
    count: int = 1


@pytest.fixture
def parameters() -> type[Parameters]:
    """The model of what `notebook` takes."""
    return Parameters


@pytest.fixture
def notebook(tmp_path: Path) -> Callable[..., Path]:
    """Write a notebook of code cells, a heading above each."""

    def write(*cells: str) -> Path:
        node = nbformat.v4.new_notebook(metadata={"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}})
        first = nbformat.v4.new_code_cell('name: str = "nobody"\ncount: int = 1', metadata={"tags": ["parameters"]})
        node.cells = [first]
        for number, source in enumerate(cells, start=1):
            node.cells += [nbformat.v4.new_markdown_cell(f"## Step {number}\n\ntext"), nbformat.v4.new_code_cell(source)]
        path = tmp_path / "small.ipynb"
        nbformat.write(node, path)
        return path

    return write
