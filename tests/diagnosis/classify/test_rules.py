"""The rule packs: every rule keeps its own promises, and loading them is quick."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from smithers_nb.diagnosis.classify import rules as rules_module
from smithers_nb.diagnosis.classify.case import Case, read_case
from smithers_nb.diagnosis.classify.classify import classify_message
from smithers_nb.diagnosis.classify.rules import Rule, RulePackError, load_rules, required_literal

RULES = load_rules()


def case_of(example) -> Case:
    """Read an example as written in a pack: a message, or a table with more."""
    told = {"message": example} if isinstance(example, str) else example
    return read_case([told["message"]], [told.get("code", "")], [told.get("stack", "")], told.get("details", {}), told.get("task_kind", ""))


def classified(example):
    """Classify an example as written in a pack."""
    return classify_message(example) if isinstance(example, str) else classify_message(**example)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_examples(rule):
    """Every rule has an example, matches all of them, and none of its counterexamples."""
    assert rule.examples
    assert [example for example in rule.examples if not rule.matches(case_of(example))] == []
    assert [example for example in rule.counterexamples if rule.matches(case_of(example))] == []


@pytest.mark.parametrize("rule", [rule for rule in RULES if not rule.wrapper], ids=lambda rule: rule.name)
def test_examples_reach_their_class(rule):
    """What a rule recognises is classified as it says, whatever the other rules see in it."""
    assert {classified(example).failure_class for example in rule.examples} == {rule.failure_class}


def test_plain_words():
    """Reasons are part of a sentence: they start small, end without a stop, and say no jargon of ours."""
    assert [rule.name for rule in RULES if not re.fullmatch(r"[a-z][^.]{10,140}", rule.reason)] == []


def test_phrases_are_lower_case():
    """Messages are compared in lower case, so a capital in a phrase could never match."""
    assert [
        rule.name
        for rule in RULES
        for text in (*rule.phrases, *rule.patterns)
        if re.sub(r"\\.", "", text) != re.sub(r"\\.", "", text).lower()
    ] == []


def test_a_repeated_failure_is_the_authors():
    """Only a guess that it would pass turns into its opposite by repetition."""
    assert {rule.failure_class for rule in RULES if rule.when_repeated} == {"agent-flake"}


@pytest.mark.parametrize(
    ("pattern", "literal"),
    [
        ("abc def", "abc def"),
        (r"\bport \d+ is", "port "),
        ("a|bc", ""),
        ("ab(?:cd|ef)ghi", "ghi"),
        ("abc?d", "ab"),
        ("xy[abc]z+w", "xy"),
        (r"a\.b", "a.b"),
        ("ab{2}cde", "cde"),
    ],
)
def test_required_literal(pattern, literal):
    """The literal of a pattern is text that no match can do without."""
    assert required_literal(pattern) == literal


PATTERNS = sorted({pattern for rule in RULES for pattern in rule.patterns})


@given(st.sampled_from(PATTERNS).flatmap(lambda pattern: st.tuples(st.just(pattern), st.from_regex(pattern))))
def test_required_literal_of_every_pattern(pair):
    """Whatever a pattern of the packs matches has its literal."""
    pattern, text = pair
    assert required_literal(pattern) in text


def test_bad_pack(tmp_path, monkeypatch):
    """A pack with an unknown field, an unknown class, no condition or a second rule of one name is refused by name."""
    good = '[[rule]]\nname = "a"\nclass = "unknown"\nsuggestion = "retry"\nweight = 1\nreason = "x"\n'
    monkeypatch.setattr(rules_module, "PACKS", tmp_path)
    for text in (
        good + 'any = "x"\nextra = 1\n',
        good.replace('"unknown"', '"else"') + 'any = "x"\n',
        good,
        2 * (good + 'any = "x"\n'),
    ):
        (tmp_path / "p.toml").write_text(text)
        with pytest.raises(RulePackError):
            rules_module.load_rules.__wrapped__()


def test_conditions_are_all_needed():
    """Signs are alternatives, conditions are not."""
    rule = Rule("r", "unknown", "retry", 1, "r", phrases=("boom",), codes=frozenset({"X"}), kind="agent", where=frozenset({"engine"}))
    assert rule.matches(Case("boom", kind="agent", where="engine"))
    assert rule.matches(Case("", frozenset({"X"}), kind="agent", where="engine"))
    assert not rule.matches(Case("boom", kind="compute", where="engine"))
    assert not rule.matches(Case("boom", kind="agent"))
    assert not rule.matches(Case("calm", kind="agent", where="engine"))


def test_no_pandas():
    """Classifying one message must not pay for pandas."""
    code = "import sys, smithers_nb.diagnosis.classify.classify as c; c.classify_message('x'); assert 'pandas' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
