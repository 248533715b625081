"""What a value lacks that was read of it."""

from __future__ import annotations

import pytest

from smithers_nb.diagnosis.failure.lacking import lacking

PAGE = {"count": 4, "rows": [{"sku": "a"}, {"sku": "b"}], "none": [], "mixed": [{"sku": "a"}, {}]}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        (("none", "name"), ("none", "which is an empty list in this run", "")),
        (("rows", "sku"), ("rows", "which has 2 entries in this run", "")),
        (("rows", "skus"), ("rows[].skus", "which no entry has in this run", "sku")),
        (("total",), ("total", "which it does not have in this run", "")),
    ],
)
def test_lists_and_fields(names, told):
    """An empty list, one that is too short, a field that no entry has, and a field that is not there are told apart."""
    assert lacking(PAGE, names) == told


@pytest.mark.parametrize("names", [("none", "length"), ("rows", "map"), ("mixed", "sku"), ("count", "toFixed"), ("rows",)])
def test_nothing_is_lacking(names):
    """What every list has, what only some entries lack, and what is there is no lack."""
    assert lacking(PAGE, names) is None
