"""JSON of unknown origin: taken as far as it can be followed and written again."""

from __future__ import annotations

import orjson
import pytest

from smithers_nb.redact import redact_value
from smithers_nb.sources.stores.json_text import as_object, as_texts, loads, parse, whole


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}"), ('[{"a":', "}]")])
def test_depth(opening: str, closing: str) -> None:
    """What is read can be redacted and written again; what is nested deeper is not valid JSON, in text as in bytes."""
    deepest = max(depth for depth in range(300) if parse(f"{opening * depth}1{closing * depth}") is not None)
    assert deepest >= 100
    assert orjson.dumps(redact_value(loads(f"{opening * deepest}1{closing * deepest}")))
    deeper = f"{opening * (deepest + 1)}1{closing * (deepest + 1)}"
    for text in (deeper, deeper.encode()):
        with pytest.raises(orjson.JSONDecodeError):
            loads(text)


def test_many_are_not_deep() -> None:
    """A value with thousands of brackets beside each other, or inside its texts, is no deep one."""
    wide = [{"a": [n]} for n in range(5_000)]
    assert parse(orjson.dumps(wide)) == wide
    assert as_texts(orjson.dumps(["[" * 5_000, 1, None])) == ["[" * 5_000]


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (3, 3),
        (3.9, 3),
        (True, 1),
        (2**63 - 1, 2**63 - 1),
        (-(2**63), -(2**63)),
        *((value, None) for value in (2**63, 2**64 - 1, 2.0**63, float("nan"), float("inf"), float("-inf"), "3", None, [3])),
    ],
)
def test_numbers_of_a_store(value: object, number: int | None) -> None:
    """A number that no column of a store or frame could hold is none, as is whatever is no number."""
    assert whole(value) == number


@pytest.mark.parametrize("text", [None, 7, "", "{", "null", "[]", '"x"', b"\xff", "[" * 5_000])
def test_no_object(text: object) -> None:
    """Whatever is not a JSON object reads as an empty one."""
    assert as_object(text) == {}
