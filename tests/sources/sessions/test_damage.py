"""Whatever stands in a record, it is read or left out, never an exception."""

from __future__ import annotations

import copy
import random

import pytest

from smithers_nb.model.rows import TABLES
from smithers_nb.sources.locate import open_source
from smithers_nb.sources.sessions.records import NotASession, read_session
from tests.sources.sessions.test_endings import CHATS, CLAUDE, CODEX, EXPORTS, GEMINI
from tests.support.sessions import chat, codex, event, user, write_document, write_log

STRANGE = [None, 0, -1, 2**70, 1.5, True, "", "x", [], [1], {}, {"a": []}, [{"type": 1}], [[{"text": 2}]]]
MORE = [
    {"type": "system", "subtype": "compact_boundary", "compactMetadata": {"trigger": "auto"}, "sessionId": "x"},
    {"type": "result", "subtype": "success", "session_id": "x", "errors": ["a"], "is_error": True, "api_error_status": 429},
    user("hi", cause={"code": "ECONNRESET"}),
]


def spots(value):
    """Every container and key in a JSON value."""
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield value, key
            yield from spots(value[key])


@pytest.mark.slow
def test_strange_values_anywhere(tmp_path):
    """Any value of any record may be of another type."""
    chance = random.Random(7)
    logs = [case[0] for case in CLAUDE.values()] + [codex(*case[0], event("thread_rolled_back", num_turns=1)) for case in CODEX.values()]
    logs += [case[0] for case in GEMINI.values()] + [chat(*case[0]) for case in CHATS.values()]
    for _ in range(300):
        records = copy.deepcopy([*chance.choice(logs), chance.choice(MORE)])
        for _ in range(chance.randint(1, 4)):
            container, key = chance.choice(list(spots(records)))
            container[key] = copy.deepcopy(chance.choice(STRANGE))
        path = write_log(tmp_path / "s.jsonl", *(record if isinstance(record, dict) else {"was": record} for record in records))
        try:
            read_session(str(path))
        except NotASession:
            continue
        source = open_source(path)
        for row in TABLES.values():
            source.rows(row, "s.jsonl")


@pytest.mark.slow
def test_strange_values_anywhere_in_a_document(tmp_path):
    """Any value of any message may be of another type."""
    chance, path = random.Random(8), tmp_path / "export.json"
    for _ in range(150):
        messages = copy.deepcopy([*chance.choice([case[0] for case in EXPORTS.values()])])
        for _ in range(chance.randint(1, 4)):
            container, key = chance.choice(list(spots(messages)))
            container[key] = copy.deepcopy(chance.choice(STRANGE))
        source = open_source(write_document(path, messages, info={"id": "ses_1"}))
        for row in TABLES.values():
            source.rows(row, "export.json")


def test_records_out_of_order(tmp_path):
    """A result before its call, an end before its beginning."""
    for case in (*CLAUDE.values(), *(([*codex(*case[0])],) for case in CODEX.values())):
        path = write_log(tmp_path / "s.jsonl", *reversed(case[0]))
        assert read_session(str(path)).lines == len(case[0])
