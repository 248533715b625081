"""A place with a password in it is never written down: it is lent to the processes that we start by the name of a variable."""

from __future__ import annotations

import os

import pytest

from smithers_nb.errors import SourceNotFound
from smithers_nb.project import connect
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.urls import lent, without_secrets

SECRET = "postgresql://me:hunter2@db.example:5432/runs?sslmode=require"


@pytest.fixture(autouse=True)
def _no_places(monkeypatch):
    """Take the variables out of the environment that a test puts there."""
    monkeypatch.setattr(os, "environ", {name: value for name, value in os.environ.items() if not name.startswith("SMITHERS_NB")})


@pytest.mark.parametrize("where", [".", "/a@b:c/smithers.db", "sqlite:///x.db", "postgresql://me@db.example/runs?schema=x", "env:HERE"])
def test_what_holds_no_secret_stays(where):
    """A path, and a URL without a password, is written down as it is."""
    assert lent(where) == where
    assert not [name for name in os.environ if name.startswith("SMITHERS_NB_SOURCE")]


def test_a_secret_is_lent_by_name():
    """A URL with a password goes into the environment once; another one gets a name of its own."""
    assert lent(SECRET) == lent(SECRET) == "env:SMITHERS_NB_SOURCE"
    assert os.environ["SMITHERS_NB_SOURCE"] == SECRET
    other = "postgresql://db.example/runs?password=hunter@2"
    assert lent(other) == "env:SMITHERS_NB_SOURCE_1"
    assert lent(SECRET) == "env:SMITHERS_NB_SOURCE"


def test_a_name_opens_what_it_says(store):
    """`env:NAME` is the place that the variable holds; without one the error says what to set."""
    path = store("invoice-rollup")
    os.environ["HERE"] = str(path)
    assert open_source("env:HERE").location == str(path)
    for value in (None, "", "env:HERE"):
        os.environ.pop("HERE") if value is None else os.environ.__setitem__("HERE", value)
        with pytest.raises(SourceNotFound, match="HERE") as caught:
            open_source("env:HERE")
        assert "HERE" in caught.value.hint


@pytest.mark.parametrize(
    "url",
    [
        SECRET,
        "postgresql://me:hunter2/x@db.example/runs",
        "dbos+postgresql://db.example/x?password=hunter2",
        "postgresql://[me:hunter2@x/y",
        "postgresql://me:hunter2?x@db.example/runs",
        "s3://me:hunter2@bucket/key",
    ],
)
def test_what_is_shown_has_no_secret(url):
    """The shown form of a URL, and a project that was not opened yet, leave user, password and options out."""
    assert "hunter2" not in without_secrets(url)
    assert "hunter2" not in repr(connect(url))


@pytest.mark.parametrize("url", ["s3://bucket/by@day/x", "file:///home/ann@corp/x", "sftp://host/a@b", "simplecache::s3://bucket/key"])
def test_what_is_no_secret_is_shown(url):
    """An @ in the path of a URL without a login belongs to the path."""
    assert without_secrets(url) == without_secrets(f"{url}?x=1") == url
