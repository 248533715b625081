"""A pickle is told, never run: what is in it comes out as plain values, and nothing it asks for happens."""

from __future__ import annotations

import base64
import collections
import datetime as dt
import os
import pickle
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.sources.dbos.pickles import NotReadable, Thing, plain, read
from smithers_nb.sources.dbos.values import errors_of, value_of
from smithers_nb.sources.stores.json_text import dump

PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class Evil:
    """Runs a command as soon as somebody unpickles it."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self):
        return (os.system, (f"touch {self.target}",))


@given(PLAIN, st.integers(0, pickle.HIGHEST_PROTOCOL))
def test_plain_values_come_out_as_they_went_in(value, protocol):
    """Whatever JSON can hold is the same after every pickle protocol."""
    assert plain(read(pickle.dumps(value, protocol))) == value


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_nothing_is_executed(tmp_path, protocol):
    """A pickle that would run a command shows which, and the command is not run."""
    target = tmp_path / "touched"
    data = pickle.dumps(Evil(target), protocol)
    found = read(data)
    assert isinstance(found, Thing)
    assert found.name.endswith(".system")
    assert found.args == (f"touch {target}",)
    assert "touch" in dump(plain(found))
    assert not target.exists()
    pickle.loads(data)
    assert target.exists(), "the pickle is a real one"


def test_nothing_is_imported(tmp_path, monkeypatch):
    """A pickle that names a module does not load it."""
    (tmp_path / "trap.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert read(b"ctrap\nboom\n(tR.").name == "trap.boom"
    assert "trap" not in sys.modules
    with pytest.raises(SystemExit):
        pickle.loads(b"ctrap\nboom\n(tR.")


def test_objects_are_named_with_what_they_hold():
    """A date, an ordered dict and an object of an unknown class show their class, arguments and state."""
    found = plain(read(pickle.dumps({"at": dt.date(2026, 11, 20), "od": collections.OrderedDict(a=1), "path": Path("x")})))
    assert found["at"]["class"] == "datetime.date"
    assert found["od"] == {"class": "collections.OrderedDict", "a": 1}
    assert found["path"]["args"] == ["x"]


@pytest.mark.parametrize(
    "data", [b"", b".", b"N", b"\x80\x04", b"h\x00.", b"R.", b"(lp0\n", b"garbage", b"\x80\x04K\x01\x94h\x07.", b"]]\x93.", b"}(]a"]
)
def test_damage_is_one_error(data):
    """Bytes that are no whole pickle are refused, whatever is wrong with them."""
    with pytest.raises(NotReadable):
        read(data)


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused(data):
    """No bytes bring anything but a value that JSON can hold, or the one error."""
    try:
        found = read(data)
    except NotReadable:
        return
    assert dump(plain(found)) is not None


@pytest.mark.parametrize("layer", [b"(h\x00h\x00t\x94", b"(h\x00h\x00l\x94", b"(h\x00Nd\x94"])
def test_what_unfolds_without_end_is_cut(layer):
    """Values that refer to one another a billion times, or to themselves, neither hang nor fill the memory."""
    bomb = b"N\x94" + b"".join(layer.replace(b"h\x00", b"h" + bytes([location])) for location in range(60)) + b"."
    begun = time.monotonic()
    told = dump(plain(read(b"\x80\x04" + bomb)))
    assert told is not None
    assert len(told) < 1_000_000
    itself = []
    itself.append(itself)
    assert "…" in dump(plain(read(pickle.dumps(itself))))
    assert time.monotonic() - begun < 5


def test_a_text_in_a_million_places_is_cut():
    """What is short as a pickle and endless as JSON is cut to what a person could read, whether text, bytes or a key."""
    words = "word" * 250_000
    for value in ([words] * 5_000, [words.encode()] * 5_000, [{words: 1}] * 5_000, [ValueError(words)] * 5_000):
        told = dump(plain(read(pickle.dumps(value))))
        assert told is not None
        assert len(told) < 10_000_000


def test_a_number_that_python_would_not_write_is_described():
    """A number of thousands of digits is told by its size wherever it stands, also within a key."""
    huge = 2**70_000
    assert plain(read(pickle.dumps([huge, {huge: 1, (huge, 1): 2}]))) == [
        "a number of 70001 bits",
        {"a number of 70001 bits": 1, "('a number of 70001 bits', 1)": 2},
    ]


def test_errors_are_told_as_python_would():
    """The message of an exception is what `str()` of it gives, for those of the language and for any other class."""
    for error in (
        ValueError("boom"),
        KeyError("missing"),
        FileNotFoundError(2, "No such file or directory", "/x"),
        ConnectionRefusedError(111, "Connection refused"),
        RuntimeError(),
        SystemError("a", "b"),
    ):
        stored = base64.b64encode(pickle.dumps(error)).decode()
        (record,) = errors_of(stored, "py_pickle")
        assert record["name"] == type(error).__name__
        assert record["message"] in {str(error), "a, b"}
    assert errors_of('{"name": "E", "message": "m", "code": 7}', "portable_json") == [
        {"name": "E", "message": "m", "details": {"errorCode": 7}}
    ]


@pytest.mark.parametrize("text", ["", "not base64!", "aGVsbG8=", "\x00", "{broken", "[" * 5000])
def test_any_text_is_a_value(text):
    """Text of an unknown serialiser is shown as it is, and is an error's message."""
    assert dump(value_of(text, "custom")) is not None
    assert errors_of(text, "custom")[0]["message"] is not None


class SeatsError(Exception):
    """Is rebuilt from what it was made of, which is not what it says."""

    def __init__(self, team, used):
        super().__init__(f"{team} uses {used} seats too many")
        self.made_of = (team, used)

    def __reduce__(self):
        return (SeatsError, self.made_of)


def test_the_arguments_of_an_error_are_not_passed_off_as_its_words():
    """An exception with `__reduce__` is stored as what it was made of, and that is said."""
    (record,) = errors_of(base64.b64encode(pickle.dumps(SeatsError("ops", 2))).decode(), "py_pickle")
    assert record["message"] == "ops, 2 (its arguments; its message is not stored)"


def test_errors_within_an_error_are_unrolled():
    """A group of errors tells each of them in words."""
    group = ExceptionGroup("both", [ValueError("bad 1"), KeyError("k")])
    (record,) = errors_of(base64.b64encode(pickle.dumps(group)).decode(), "py_pickle")
    assert record["message"] == "both: ValueError: bad 1; KeyError: 'k'"
