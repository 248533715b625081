"""Widgets do what their buttons say, show what is refused, and carry a static twin that says the same."""

from __future__ import annotations

import asyncio
import threading

import pytest

from smithers_nb.errors import ControlRefused, JournalUnusable, ParameterError
from smithers_nb.present.html.cards import note
from smithers_nb.present.html.decision_cards import Decided, GateRequest, QuestionRequest, gate_asked, gate_decided, question_asked

pytest.importorskip("ipywidgets", reason="ipywidgets is not installed (the extra `lab`)")

from smithers_nb.present.widgets.forms import form_of
from smithers_nb.present.widgets.watch import Watched, watch_widget
from smithers_nb.present.widgets.widgets import GateCallbacks, QuestionCallbacks, gate_widget, question_widget

NOW = 1795181301665
HOSTILE = "<script>alert(1)</script>\x1b[31m\u202e"
REQUEST = GateRequest(
    "Deploy?",
    "All green.",
    {"version": "1.2", "payload": {"a": [1]}},
    (("Approve", "the run continues"),),
    (("smithers-nb approve r", "approve"),),
    "run-1",
)


def parts(widget, kind):
    """List all widgets of a kind inside of one, in order."""
    inner = [part for child in getattr(widget, "children", ()) for part in parts(child, kind)]
    return [widget, *inner] if type(widget).__name__ == kind else inner


def button(live, name):
    return next(one for one in parts(live.box, "Button") if one.description == name)


def page(live):
    return " ".join(one.value for one in parts(live.box, "HTML"))


def controls(live):
    return live.box.children[1].layout.display


class Desk:
    """Where decisions are written; `first` is what somebody else has decided meanwhile."""

    def __init__(self):
        self.first = None
        self.given = []
        self.broken = None

    def decide(self, approved, said):
        if self.broken:
            raise self.broken
        if self.first:
            raise ControlRefused("it was denied already by ben", code="ALREADY_DECIDED", hint="the first decision stands")
        self.given.append((approved, said))
        self.first = Decided(approved, "ann", NOW, said)
        return self.first

    def callbacks(self):
        return GateCallbacks(self.decide, lambda: self.first, "Run this cell again.")


@pytest.mark.parametrize(("name", "approved"), [("Approve", True), ("Deny", False)])
def test_a_gate_is_decided_with_a_note(name, approved):
    """The button decides in the name that is shown; afterwards the card says who, when and why, and the controls are gone."""
    desk = Desk()
    live = gate_widget(REQUEST, desk.callbacks(), who="ann@here")
    assert "You decide as ann@here." in page(live)
    assert (controls(live), desk.given) == (None, [])
    parts(live.box, "Text")[0].value = "  because  "
    button(live, name).click()
    assert desk.given == [(approved, "because")]
    word = "Approved" if approved else "Denied"
    assert f"{word} by ann on 2026-11-20 " in page(live)
    assert "because" in page(live)
    assert "Run this cell again." in page(live)
    assert controls(live) == "none"
    assert f"{word} by ann" in repr(live)


def test_the_second_of_two_people_is_told():
    """Who comes second sees the refusal and the decision that stands, and cannot click again."""
    desk = Desk()
    live = gate_widget(REQUEST, desk.callbacks(), who="ann")
    desk.first = Decided(False, "ben", NOW, "no")
    button(live, "Approve").click()
    assert "it was denied already by ben" in page(live)
    assert "the first decision stands" in page(live)
    assert "Denied by ben" in page(live)
    assert "Run this cell again" not in page(live)
    assert (controls(live), desk.given) == ("none", [])


def test_a_decision_that_could_not_be_written_may_be_tried_again():
    """A locked journal is told in one line with its hint, and the buttons work again."""
    desk = Desk()
    desk.broken = JournalUnusable("the journal is locked", hint="wait")
    live = gate_widget(REQUEST, desk.callbacks(), who="ann")
    button(live, "Approve").click()
    assert "the journal is locked" in page(live)
    assert not button(live, "Approve").disabled
    desk.broken = None
    button(live, "Approve").click()
    assert desk.given == [(True, None)]
    assert "locked" not in page(live)


def test_what_others_decide_is_seen_by_itself(monkeypatch):
    """While an event loop runs, the widget looks from time to time, also after a look that failed."""
    monkeypatch.setattr("smithers_nb.present.widgets.widgets.EVERY_S", 0.01)
    looks = []

    def look():
        looks.append(1)
        if len(looks) == 1:
            raise JournalUnusable("busy")
        return Decided(True, "ben", NOW) if len(looks) > 2 else None

    async def scene():
        live = gate_widget(REQUEST, GateCallbacks(Desk().decide, look), who="ann")
        for _ in range(200):
            if "Approved by ben" in page(live):
                return controls(live)
            await asyncio.sleep(0.01)
        return None

    assert asyncio.run(scene()) == "none"
    assert len(looks) == 3


def test_a_widget_carries_its_twin():
    """Where no widget can be shown, the card says the same, commands included, as HTML and as text."""
    live = gate_widget(REQUEST, Desk().callbacks(), who="ann")
    bundle = live._repr_mimebundle_()
    assert {"application/vnd.jupyter.widget-view+json", "text/html", "text/plain"} <= set(bundle)
    for text in ("Deploy?", "All green.", "1.2", "the run continues", "smithers-nb approve r"):
        assert text in bundle["text/html"]
        assert text in bundle["text/plain"]
    assert "smithers-nb approve" not in page(live)


def test_nothing_from_a_run_is_obeyed():
    """Titles, notes, prompts and details are escaped in pages and made visible in terminals."""
    request = GateRequest(HOSTILE, HOSTILE, {HOSTILE: HOSTILE, "long": HOSTILE * 50}, ((HOSTILE, HOSTILE),), ((HOSTILE, HOSTILE),), HOSTILE)
    question = QuestionRequest(f"{HOSTILE}\n{HOSTILE}", {}, [HOSTILE], ((HOSTILE, HOSTILE),), HOSTILE)
    decided = Decided(True, HOSTILE, NOW, HOSTILE)
    for card in (gate_asked(request), gate_decided(HOSTILE, decided), question_asked(question)):
        assert "<script>" not in card.html
        assert "\x1b" not in card.html + card.text
        assert "\u202e" not in card.html + card.text


def ask(schema, options=None, answer=None):
    """Build a question whose answers are collected."""
    given = []
    callbacks = QuestionCallbacks(answer or given.append, lambda: (given[-1], "ann") if given else None, "Run this cell again.")
    return question_widget(QuestionRequest("How many?", schema, options), callbacks, who="ann"), given


@pytest.mark.parametrize(
    ("schema", "options", "kind", "typed", "value"),
    [
        ({"type": "string"}, None, "Textarea", "text", "text"),
        ({"type": "integer"}, None, "Text", " 42 ", 42),
        ({"type": "number"}, None, "Text", "1.5", 1.5),
        ({"type": "boolean"}, None, "RadioButtons", "No", False),
        ({"type": "array", "items": {"type": "string"}}, None, "Textarea", "a\n\n b \n", ["a", "b"]),
        ({"enum": ["x", 3]}, None, "RadioButtons", "3", 3),
        ({}, ["red", "green"], "RadioButtons", "green", "green"),
        ({"type": "object", "properties": {"n": {"type": "integer"}}}, None, "Textarea", '{"n": 1}', {"n": 1}),
        ({"type": "array", "items": {"type": "integer"}}, None, "Textarea", "[1]", [1]),
        ({}, None, "Textarea", "null", None),
    ],
)
def test_a_form_for_every_schema(schema, options, kind, typed, value):
    """Each kind of answer has its control, which reads what a person entered as JSON."""
    live, given = ask(schema, options)
    control = parts(live.box, kind)[0]
    control.value = typed
    button(live, "Answer").click()
    assert given == [value]
    assert "Answered by ann" in page(live)
    assert controls(live) == "none"


@pytest.mark.parametrize(
    ("schema", "typed", "said"),
    [
        ({"type": "integer"}, "three", "&#x27;three&#x27; is no whole number"),
        ({"type": "integer"}, "", "give a whole number"),
        ({"type": "number"}, "nan", "is no number"),
        ({"type": "string"}, "  ", "write an answer first"),
        ({"type": "boolean"}, None, "choose one of the answers first"),
        ({"type": "object"}, "{", "the answer is not valid JSON"),
    ],
)
def test_a_wrong_answer_is_told_and_not_sent(schema, typed, said):
    """What cannot be an answer stays in the form, with the reason beside it."""
    live, given = ask(schema)
    if typed is not None:
        form = live.box.children[1].children[1]
        form.value = typed
    button(live, "Answer").click()
    assert given == []
    assert said in page(live)
    assert not button(live, "Answer").disabled
    assert controls(live) is None


def test_an_answer_that_the_journal_refuses_is_told():
    """What only the schema can refuse is shown in place as well."""

    def refuse(_value):
        raise ParameterError("n: 3 is greater than 2\nm: is missing", hint="the answer has to fit")

    live, _ = ask({"type": "integer"}, answer=refuse)
    parts(live.box, "Text")[0].value = "3"
    button(live, "Answer").click()
    for text in (" n: 3 is greater than 2</p>", " m: is missing</p>", "the answer has to fit"):
        assert text in page(live)


def test_nothing_is_preset():
    """No form gives an answer that nobody has given."""
    for schema in ({"type": "boolean"}, {"enum": ["a"]}, {"type": "integer"}, {"type": "string"}, {"type": "object"}):
        with pytest.raises(ParameterError):
            form_of(schema).read()


def test_a_watched_run_keeps_what_somebody_types():
    """Drawing it again replaces the page, keeps a gate's note, adds what is new, removes what is decided, and ends when all is over."""
    desk = Desk()
    made = []

    def gate(key):
        def make():
            made.append(key)
            return gate_widget(REQUEST, desk.callbacks(), who="ann")

        return key, make

    scenes = [
        Watched(note("first"), [gate("a")], NOW),
        Watched(note("second"), [gate("a"), gate("b")], NOW),
        Watched(note("third"), [], NOW, over=True),
    ]
    live = watch_widget(lambda: scenes[0])
    parts(live.box, "Text")[0].value = "half a sentence"
    scenes.pop(0)
    button(live, "Refresh").click()
    assert made == ["a", "b"]
    assert parts(live.box, "Text")[0].value == "half a sentence"
    assert "second" in page(live)
    assert "second" in repr(live)
    scenes.pop(0)
    button(live, "Refresh").click()
    assert parts(live.box, "Text") == []
    assert "as of 2026-11-20" in page(live)


def test_a_watched_run_that_cannot_be_read_keeps_its_last_page():
    """A store that is locked or gone is told beside the time; the next look may find it again."""
    results = [Watched(note("seen"), [], NOW)]

    def look():
        if not results:
            raise JournalUnusable("the journal is locked", hint="wait")
        return results.pop()

    live = watch_widget(look)
    button(live, "Refresh").click()
    assert "seen" in page(live)
    assert "the journal is locked" in page(live)


def test_a_watched_run_is_drawn_when_its_store_changes_and_the_kernel_stays_free():
    """The page follows the mark by itself, reads in another thread, and is left alone while nothing changes."""
    threads, mark = [], [0]

    def look():
        threads.append(threading.current_thread())
        return Watched(note(f"scene {mark[0]}"), [], NOW, over=mark[0] == 2)

    async def watch():
        live = watch_widget(look, mark=lambda: mark[0], every_s=0.01)
        for scene in (1, 2):
            mark[0] = scene
            async with asyncio.timeout(20):
                while f"scene {scene}" not in page(live):  # noqa: ASYNC110  # the widget has no event for it
                    await asyncio.sleep(0.01)

    asyncio.run(watch())
    assert len(threads) <= 4
    assert all(thread is not threading.main_thread() for thread in threads[1:])
