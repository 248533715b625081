"""The value behind an error: one that it names, or that the line which threw reads, followed to where it came in."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING, Final

from smithers_nb.diagnosis.failure.excerpt import abridged
from smithers_nb.diagnosis.failure.expression import paths_in
from smithers_nb.diagnosis.failure.lacking import is_same
from smithers_nb.diagnosis.failure.root_failure import upstream_of
from smithers_nb.diagnosis.failure.task_source import task_text
from smithers_nb.diagnosis.history.last_good import readable
from smithers_nb.diagnosis.history.origins import OVER_A_VALUE, Origin, Scene, also_changed, good_input, was_good
from smithers_nb.model.verdict import Evidence
from smithers_nb.model.vocabulary import logical_id
from smithers_nb.redact import redact_value

if TYPE_CHECKING:
    from smithers_nb.diagnosis.history.known_values import Known
    from smithers_nb.model.verdict import Failure

_TOKEN: Final = re.compile(
    r"[\"'`\u201c\u2018«]([^\"'`\u201d\u2019»\n]{3,120})[\"'`\u201d\u2019»]|(?<![\w.])(-?\d+(?:\.\d+)?)(?![\w.])|([\w.@%+~/-]*[\w@%+~/-])"
)
_DISTINCT: Final = re.compile(r"[\d@/_.:-]")
_MAX_TOKENS: Final = 60
_SHORTEST: Final = 4
_MAX_SHOWN: Final = 60
_MAX_SAID: Final = 300
_FIELD: Final = re.compile(r"[A-Za-z_]\w{2,59}")
_TWICE: Final = re.compile(r"\bunique\b|duplicate (?:key|entry)|already exists", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?|", re.IGNORECASE)


def value_of_the_error(scene: Scene) -> Origin | None:
    """A value of the error that came in through an answer, an input or an upstream output."""
    tokens = _tokens(scene.failure)
    for known in scene.known:
        value = known.value
        if isinstance(value, bool) or not isinstance(value, str | int | float) or known.field.startswith("__"):
            continue
        words = f"{value:g}" if isinstance(value, float) else str(value).strip()
        if words in tokens or (len(words) >= _SHORTEST and _DISTINCT.search(words) and any(words in token for token in tokens)):
            return _came_from(scene, known, words)
        if isinstance(value, str) and (token := next((t for t in tokens if len(t) > _SHORTEST and is_word(t, value)), None)):
            return _came_from(scene, known, token)
    return None


def value_that_is_read(scene: Scene) -> Origin | None:
    """The one upstream value that the line which threw reads, where the error itself names no value."""
    if OVER_A_VALUE.isdisjoint(link.name or "" for link in scene.failure.chain):
        return None
    named = scene.access.paths if scene.access else ()
    return _only_read(scene, named or tuple(map(scene.meant, paths_in(scene.line))))


def value_that_is_passed_on(scene: Scene) -> Origin | None:
    """The one upstream value that a task reads whose own output its schema refuses."""
    if scene.failure.code != "INVALID_OUTPUT":
        return None
    task = task_text(scene.whole, scene.failure.node_id)
    origin = _only_read(scene, tuple(map(scene.meant, paths_in(task, len(task)))))
    return origin or (_not_a_number(scene, task) if "NaN" in scene.failure.message else None)


def _only_read(scene: Scene, paths: tuple[tuple[str, ...], ...]) -> Origin | None:
    """Tell the value that some paths lead to; of several the one that the error names."""
    read: dict[tuple[str, str], list[Known]] = {}
    for known in scene.known:
        if any(_reads(path, known) for path in paths) and not isinstance(known.value, bool | None):
            read.setdefault((known.node, known.field), []).append(known)
    if len(read) > 1:
        said = set(_FIELD.findall(" ".join(link.message[:_MAX_SAID] for link in scene.failure.chain)))
        read = {key: found for key, found in read.items() if key[1].rpartition(".")[2] in said}
    if len(read) != 1:
        return None
    (found,) = read.values()
    return _tells_value(scene, found[0])  # an answer comes before the output that repeats it


def value_that_repeats(scene: Scene) -> Origin | None:
    """The one upstream list whose values are not all different, where a database refuses to store one twice."""
    said = " ".join(link.message[:_MAX_SAID] for link in scene.failure.chain)
    above = upstream_of(scene.own)(scene.failure.node_id or "")
    if not _TWICE.search(said) or not above:
        return None
    words = set(_FIELD.findall(said))
    values: dict[tuple[str, str], list[Known]] = {}
    for known in scene.known:
        if known.node in above and known.field.rpartition(".")[2] in words:
            values.setdefault((known.node, known.field), []).append(known)
    twice = {key: found for key, found in values.items() if len({str(known.value) for known in found}) < len(found)}
    if len(twice) != 1:
        return None
    (found,) = twice.values()
    counted = Counter(str(known.value) for known in found)
    first, times = counted.most_common(1)[0]
    shown = abridged(readable(redact_value({found[0].field: first})[found[0].field]) or "", _MAX_SHOWN)
    text = f"{found[0].place} has `{shown}` {times} times, and {scene.reader} may store it once"
    return Origin(text, "upstream", (Evidence(ref=found[0].ref, quote=shown, note=f"{times} times"),), found[0].node)


def _tells_value(scene: Scene, known: Known) -> Origin:
    value = abridged(readable(redact_value({known.field: known.value})[known.field]) or "", _MAX_SHOWN)
    agent = agent_of(scene, known.node)
    place = f"`{known.field}` in {known.place}" if known.kind == "answer" else known.place
    answered = f", as {agent} answered" if agent else ""
    before = was_good(scene, known.node, known.field, known.value)
    text = f"{scene.reader} reads {place}, which is `{value}` in this run{answered}{before}"
    return Origin(text + also_changed(scene), known.kind, (Evidence(ref=known.ref, quote=known.field, note=f"is {value}"),), known.node)


def _not_a_number(scene: Scene, task: str) -> Origin | None:
    """The one text of an upstream output that a task reads by name and that is no number, where its own output is NaN."""
    above = upstream_of(scene.own)(scene.failure.node_id or "")
    names = {names[-1] for names in paths_in(task, len(task)) if len(names) > 1}
    texts = [k for k in scene.known if k.node in above and isinstance(k.value, str) and k.field.rpartition(".")[2] in names]
    wrong = [known for known in texts if not _NUMBER.fullmatch(str(known.value).strip())]
    return _tells_value(scene, wrong[0]) if len(wrong) == 1 else None


def _reads(path: tuple[str, ...], known: Known) -> bool:
    """Return whether a path such as `d["fetch"].body.trim` leads to a field of an output, or past it."""
    names = (logical_id(known.node) if known.node else "input", *known.field.split("."))
    return any(all(map(is_same, names, path[at:])) for at in range(len(path) - len(names) + 1))


def _came_from(scene: Scene, known: Known, words: str) -> Origin:
    known, by_way = _first(scene, known, words)
    shown = readable(redact_value({known.field: words})[known.field]) or ""
    text = f"the value `{shown}` in the error of {scene.reader} comes from {known.place}{f', by way of {by_way}' if by_way else ''}"
    if known.kind == "upstream" and (agent := agent_of(scene, known.node)):
        text += f", which {agent} answered"
    if known.kind == "input" and known.ref != f"run:{scene.runs[0].run.run_id}":
        text += above(scene, words)
    evidence = Evidence(ref=known.ref, quote=shown, note="where the value came in")
    return Origin(text + also_changed(scene, only=known.field), known.kind, (evidence,), known.node, good_input(scene))


def _first(scene: Scene, known: Known, words: str) -> tuple[Known, str]:
    """Follow a value of an output to the output further up that has it too; name the one on the way."""
    if known.kind != "upstream":
        return known, ""
    before = upstream_of(scene.own)
    holders = [k for k in scene.known if k.kind == "upstream" and (k == known or str(k.value).strip() == words)]
    above_it = [k for k in holders if k.node in before(known.node)]
    first = next((k for k in above_it if not any(other.node in before(k.node) for other in above_it)), None)
    return (first, f"{known.place}") if first else (known, "")


def agent_of(scene: Scene, node: str) -> str:
    """Name the agent that a task has, if any."""
    found = next((a for run in scene.runs for a in run.attempts if a.node_id == node and (a.engine or a.agent)), None)
    return f"agent {found.engine or found.agent}" if found else ""


def above(scene: Scene, words: str) -> str:
    """Name which output or input of a run further up a child's input was taken from."""
    others = [k for k in scene.known if k.ref != f"run:{scene.own.run.run_id}" and k.value is not None]
    copies = (f", which is from {k.place}" for k in others if str(k.value) == words)
    parts = (f", where `{k.value}` is from {k.place}" for k in others if isinstance(k.value, str) and is_part(k.value, words))
    return next(copies, "") or next(parts, "")


def is_part(token: str, value: str) -> bool:
    """Return whether a value of some length stands in another as a word of its own."""
    return len(token) >= _SHORTEST and is_word(token, value)


def _tokens(failure: Failure) -> list[str]:
    """Take the words out of an error that can only be data: quoted, or with digits and marks in them."""
    found: dict[str, None] = {}
    text = "\n".join(
        [*(link.message[:2_000] for link in failure.chain), *(str(failure.details.get(key) or "") for key in ("path", "url", "hostname"))]
    )
    names = {failure.node_id, failure.run_id, *(link.name for link in failure.chain), *(link.code for link in failure.chain)}
    for quoted, number, word in _TOKEN.findall(text):
        if quoted:
            found[quoted.strip()] = None
        elif number and (number.startswith("-") or len(number) >= _SHORTEST):
            found[number] = None
        elif len(word) >= _SHORTEST and _DISTINCT.search(word.strip(".")):
            found[word.strip(".")] = None
    return [token for token in found if token not in names][:_MAX_TOKENS]


def is_word(token: str, value: str) -> bool:
    """Return whether a token of an error stands in a value as a word of its own."""
    return bool(_DISTINCT.search(token)) and bool(re.search(rf"(?<![\w.-]){re.escape(token)}(?![\w-])", value))
