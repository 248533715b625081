"""The rule packs: what an error looks like, whose fault that is, and what to do about it.

Rules are data (`rules/*.toml`, one pack per theme). This module loads them once and finds the ones that match a `Case`, which is
everything known about one error. Weighing the matches against each other is the job of `classify`.

In a pack, `any` is one string of phrases separated by bars; every other field is a list, a word or a number.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal, cast, get_args

from smithers_nb.model.vocabulary import FailureClass, Suggestion

if TYPE_CHECKING:
    from smithers_nb.diagnosis.classify.case import Case

PACKS: Final = Path(__file__).parent / "rules"

_FIELDS: Final = frozenset(
    {
        "name",
        "class",
        "suggestion",
        "weight",
        "reason",
        "codes",
        "status",
        "exit",
        "errno",
        "any",
        "match",
        "only_codes",
        "thrown",
        "unless",
        "where",
        "kind",
    }
    | {"when_repeated", "elsewhere", "agent", "doubt", "wrapper", "engine", "example", "counterexample"}
)


@dataclass(frozen=True)
class Rule:
    """One rule: it matches when at least one of its signs is present and all of its conditions are met.

    Signs are `codes`, `status`, `exits`, `errno`, `phrases` and `patterns`; conditions are `only_codes`, `thrown`, `where`, `kind`,
    `agent` and `unless`.

    Attributes:
        name: Unique name, shown in the verdict.
        failure_class: Whose fault it is.
        suggestion: What to do about it.
        weight: How much it counts: 9 for words that have one meaning, 6 for a code, 1 to 3 for hints and fallbacks.
        reason: One sentence for the root cause.
        codes: The error has one of these codes or error classes.
        status: It has one of these HTTP statuses.
        exits: A process ended with one of these exit statuses.
        errno: The operating system reported one of these error numbers.
        phrases: The message contains one of these texts, in lower case.
        patterns: The message, in lower case, matches one of these regular expressions.
        only_codes: The error must have one of these codes, whichever sign matched.
        thrown: The error itself, not a text it quotes, must have one of these codes or classes.
        unless: The message must match none of these regular expressions.
        where: The error must come from one of these: `workflow`, `engine`, `library`.
        kind: Required kind of the task.
        agent: It is about an agent, so it does not apply to a task that is known to have none.
        doubt: What it recognises has more than one usual cause, so no verdict on it is sure.
        elsewhere: Suggestion when no model is involved: then some other server failed, which is the environment's fault.
        when_repeated: Class when the same failure came on every attempt; empty when repetition changes nothing.
        wrapper: The error only says that something inside it failed.
        engine: The message itself names the engine's own code or tables.
        examples: Cases that it must match, as written in the pack.
        counterexamples: Cases that it must not match.
    """

    name: str
    failure_class: FailureClass
    suggestion: Suggestion
    weight: float
    reason: str
    codes: frozenset[str] = frozenset()
    status: frozenset[int] = frozenset()
    exits: frozenset[int] = frozenset()
    errno: frozenset[int] = frozenset()
    phrases: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    only_codes: frozenset[str] = frozenset()
    thrown: frozenset[str] = frozenset()
    unless: tuple[str, ...] = ()
    where: frozenset[str] = frozenset()
    kind: str = ""
    agent: bool = False
    doubt: bool = False
    elsewhere: Suggestion | Literal[""] = ""
    when_repeated: FailureClass | Literal[""] = ""
    wrapper: bool = False
    engine: bool = False
    examples: tuple[object, ...] = ()
    counterexamples: tuple[object, ...] = ()

    def matches(self, case: Case) -> bool:
        """Return whether this rule applies to a case; cheap conditions are checked first."""
        return (
            (not self.only_codes or not self.only_codes.isdisjoint(case.codes))
            and (not self.thrown or not self.thrown.isdisjoint(case.thrown))
            and (not self.where or case.where in self.where)
            and (not self.kind or case.kind == self.kind)
            and (not self.agent or case.kind in {"", "agent"})
            and self._has_sign(case)
            and not any(_compiled(pattern).search(case.text) for pattern in self.unless)
        )

    def _has_sign(self, case: Case) -> bool:
        if not (self.codes or self.status or self.exits or self.errno or self.phrases or self.patterns):
            return True
        return self._has_number(case) or not self.codes.isdisjoint(case.codes) or self.has_words_in(case.text)

    def _has_number(self, case: Case) -> bool:
        return not (self.status.isdisjoint(case.status) and self.exits.isdisjoint(case.exits) and self.errno.isdisjoint(case.errno))

    def has_words_in(self, text: str) -> bool:
        """Return whether a text, in lower case, has one of this rule's phrases or matches one of its patterns."""
        for phrase in self.phrases:  # a plain loop, because nearly all the time of a classification is spent here
            if phrase in text and _is_outside_names(phrase, text):
                return True
        return any(literal in text and _compiled(pattern).search(text) for literal, pattern in self._guarded)

    @cached_property
    def _guarded(self) -> tuple[tuple[str, str], ...]:
        return tuple((required_literal(pattern), pattern) for pattern in self.patterns)


class RulePackError(ValueError):
    """A rule pack of this package is damaged."""


def matching_rules(case: Case) -> Iterator[Rule]:
    """Yield every rule that matches, in the order of the packs."""
    return (rule for rule in load_rules() if rule.matches(case))


@lru_cache(maxsize=1)
def load_rules() -> tuple[Rule, ...]:
    """Return the rules of all packs, ordered by file name.

    Raises:
        RulePackError: A rule has an unknown field or value, states no condition, or has the name of another rule.
    """
    packs = {pack.name: tomllib.loads(pack.read_text("utf-8")) for pack in sorted(PACKS.glob("*.toml"))}
    rules = tuple(_rule(table, pack) for pack, tables in packs.items() for table in tables["rule"])
    if len({rule.name for rule in rules}) < len(rules):
        raise RulePackError("two rules share a name")
    return rules


def rule_named(name: str) -> Rule | None:
    """Return the rule with this name, if there is one."""
    return next((rule for rule in load_rules() if rule.name == name), None)


@lru_cache(maxsize=1)
def known_codes() -> frozenset[str]:
    """Return every code and error class that any rule refers to."""
    return frozenset[str]().union(*(rule.codes | rule.only_codes | rule.thrown for rule in load_rules()))


def required_literal(pattern: str) -> str:
    """Return the longest text that every match of a pattern must contain; empty when none is certain.

    A rule whose text is missing can be dismissed without compiling its expression, which would take most of the time.
    """
    best, run, depth, position = "", "", 0, 0
    while position < len(pattern):
        char, position = pattern[position], position + 1
        if char == "\\":
            escaped, position = pattern[position], position + 1
            run, best = ("", max(best, run, key=len)) if escaped.isalnum() or depth else (run + escaped, best)
            continue
        if char == "[":
            position = pattern.index("]", position + 1) + 1
        depth += (char == "(") - (char == ")")
        if char == "|" and depth == 0:
            return ""
        if depth or char in "()[].^$|+":
            run, best = "", max(best, run, key=len)
        elif char in "?*{":
            run, best = "", max(best, run[:-1], key=len)
            if char == "{":
                position = pattern.index("}", position) + 1
        else:
            run += char
    return max(best, run, key=len)


_NAME: Final = re.compile(r"[^\s'\"`()\[\]{}<>,;=|]*")
_FILE: Final = re.compile(r"\.(?:[cm]?[jt]sx?|py|ipynb|json|md|html?|css|csv|txt|ya?ml|toml|sh|go|rs|java|rb|sql|log|xml|png|pdf|zip)\b")
_LABEL: Final = re.compile(
    r"(?P<quote>['`\u201c])[^'`\u201d]{3,40}['`\u201d] (?:[a-z]+ )?"
    r"(?:button|field|column|page|tab|label|link|input|table|menu|option|heading|text|element|section|sheet|task|step|node|flag"
    r"|banner|dialog|toast|alert|badge|chip|cell|card|modal|popup|notice|icon|header|footer|title|string|word|phrase)\b"
)
_SELECTOR: Final = re.compile(r"(?:text|name|label|title|placeholder|has_text|hasText|alt)\s?[=:]\s?['\"`]{1,2}$")
"""What precedes the words that a browser test looks for on a page."""


def _is_outside_names(phrase: str, text: str) -> bool:
    """Return whether a phrase occurs as words of the error, and not only in a file name or the quoted name of something."""
    at = text.find(phrase)
    while at >= 0:
        if not _is_in_a_name(phrase, text, at):
            return True
        at = text.find(phrase, at + 1)
    return False


def _is_in_a_name(phrase: str, text: str, at: int) -> bool:
    end = at + len(phrase)
    quote = text[at - 1 : at]
    if _SELECTOR.search(text[max(0, at - 20) : at]):
        return True
    if quote and quote in "'`\u201c" and (label := _LABEL.match(text, at - 1)) and label.end("quote") <= at < label.end():
        return True
    if " " in phrase or "." in phrase or "/" in phrase or not phrase.isascii():
        return False
    tail = _NAME.match(text, end)
    head = re.split(r"[\s'\"`()\[\]{}<>,;=|]", text[max(0, at - 200) : at])[-1]
    word = f"{head}{phrase}{tail[0] if tail else ''}"
    return "://" not in word and (
        bool(_FILE.search(word, len(head))) or bool(re.match(r"(?:\.{0,2}|~|[a-z]:)?[/\\]|[\w.-]+/[\w.-]+/", word))
    )


@cache
def _compiled(pattern: str) -> re.Pattern[str]:
    # The cache of `re` keeps only 512 expressions for the whole process
    return re.compile(pattern)


def _rule(table: Mapping[str, object], pack: str) -> Rule:
    name = str(table.get("name", "?"))
    unknown = set(table) - _FIELDS
    classes = {str(table.get("class")), str(table.get("when_repeated", "unknown"))}
    suggestions = {table.get("suggestion"), table.get("elsewhere", "escalate")}
    if unknown or not classes <= set(get_args(FailureClass)) or not suggestions <= set(get_args(Suggestion)):
        raise RulePackError(f"{pack}: rule {name}: unknown field {sorted(unknown)} or unknown class or suggestion")
    rule = Rule(
        name=name,
        failure_class=cast("FailureClass", table["class"]),
        suggestion=cast("Suggestion", table["suggestion"]),
        weight=float(cast("float", table["weight"])),
        reason=str(table["reason"]),
        codes=frozenset(_texts(table, "codes")),
        only_codes=frozenset(_texts(table, "only_codes")),
        thrown=frozenset(_texts(table, "thrown")),
        phrases=_phrases(table),
        patterns=_texts(table, "match"),
        unless=_texts(table, "unless"),
        status=frozenset(cast("list[int]", table.get("status", []))),
        exits=frozenset(cast("list[int]", table.get("exit", []))),
        errno=frozenset(cast("list[int]", table.get("errno", []))),
        where=frozenset(_texts(table, "where")),
        kind=str(table.get("kind", "")),
        when_repeated=cast("FailureClass", table.get("when_repeated", "")),
        elsewhere=cast("Suggestion", table.get("elsewhere", "")),
        agent=bool(table.get("agent", False)),
        doubt=bool(table.get("doubt", False)),
        wrapper=bool(table.get("wrapper", False)),
        engine=bool(table.get("engine", False)),
        examples=tuple(cast("list[object]", table.get("example", []))),
        counterexamples=tuple(cast("list[object]", table.get("counterexample", []))),
    )
    signs = (rule.codes, rule.status, rule.exits, rule.errno, rule.phrases, rule.patterns)
    if not any((*signs, rule.only_codes, rule.thrown, rule.where)):
        raise RulePackError(f"{pack}: rule {name} states no condition")
    return rule


def _phrases(table: Mapping[str, object]) -> tuple[str, ...]:
    # One string with bars between the phrases, because parsing a thousand separate strings took twice as long
    return tuple(phrase for part in str(table.get("any", "")).split("|") if (phrase := part.strip()))


def _texts(table: Mapping[str, object], field: str) -> tuple[str, ...]:
    return tuple(cast("list[str]", table.get(field, [])))
