"""The words of DBOS's own exceptions, held to the installed version."""

from __future__ import annotations

import base64
import inspect
import pickle

import pytest
from dbos import _error

from smithers_nb.diagnosis.classify.classify import classify_message
from smithers_nb.sources.dbos.own_errors import WORDS, own_words
from smithers_nb.sources.dbos.values import errors_of

GIVEN = {"max_retries": 3, "step_id": 1, "errors": [ValueError("no")], "timeout_seconds": 0.5}
OWN = {
    name: kind
    for name, kind in vars(_error).items()
    if inspect.isclass(kind) and issubclass(kind, BaseException) and kind not in {_error.DBOSException, _error.DBOSBaseException}
}


def made(kind):
    """Make an exception with a value for each argument of its constructor."""
    names = list(inspect.signature(kind).parameters)
    return kind(*(GIVEN.get(name, f"the-{name}") for name in names))


@pytest.mark.parametrize("name", sorted(OWN.keys() - {"DBOSWorkflowCancelledError"}))
def test_every_exception_has_words(name):
    """What DBOS stores of each of its exceptions is told in words that name everything its constructor was given."""
    thrown = made(OWN[name])
    _, args, *_ = thrown.__reduce__()
    words = own_words(name, args)
    assert words
    for given in args:
        if isinstance(given, str) and given != str(thrown):
            assert given in words


def test_no_words_for_what_is_no_more():
    """The table has no exception that the installed version lacks."""
    assert set(WORDS) <= set(OWN)


def test_a_stored_exception_is_told_in_words():
    """The arguments in the database become a sentence, and the sentence a class."""
    stored = base64.b64encode(pickle.dumps(_error.DBOSUnexpectedStepError("w", 1, "step_b", "step_a"))).decode()
    record = errors_of(stored, "py_pickle")[0]
    assert record["message"] == "workflow w is not deterministic: its step 1 was recorded as step_a, and now the code calls step_b there"
    assert classify_message(record["message"], record["name"]).failure_class == "workflow-bug"


def test_arguments_of_another_version():
    """Arguments that do not fit are left to be told as they are."""
    assert own_words("DBOSUnexpectedStepError", ["w"]) == ""
    assert own_words("ValueError", ["w"]) == ""
