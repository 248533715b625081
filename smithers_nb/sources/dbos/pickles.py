"""What a pickle would make, told without making it: nothing is imported and nothing is called.

A pickle is a program; unpickling a hostile one runs it. Here its instructions are followed on plain values only, and whatever it
wants to import or call becomes a `Thing`: the name, the arguments and the state, none of them brought to life.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

_MAX_BYTES: Final = 8_000_000
_MAX_STEPS: Final = 2_000_000
_MAX_VALUES: Final = 20_000
_DEEPEST: Final = 40
_MAX_NUMBER: Final = 2**63


class NotReadable(ValueError):
    """The bytes are no pickle, or one that does something that no serialiser writes."""


@dataclass(eq=False)
class Thing:
    """An object that a pickle asks for.

    Attributes:
        name: Dotted name of the class or function it calls.
        args: What that would be called with.
        state: What would be set on the object afterwards.
    """

    name: str
    args: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The name without its module."""
        return self.name.rpartition(".")[2]


def read(data: bytes) -> Any:
    """Return what a pickle holds: None, flags, numbers, texts, bytes, lists, tuples, dicts, sets and `Thing`s.

    Raises:
        NotReadable: It is damaged, too big, or no pickle.
    """
    if len(data) > _MAX_BYTES:
        raise NotReadable(f"{len(data)} bytes are more than anybody reads")
    machine = _Machine()
    try:
        for opcode, argument, _ in islice(pickletools.genops(data), _MAX_STEPS):
            if opcode.name == "STOP":
                return machine.stack[-1]
            machine.follow(opcode.name, argument)
    except NotReadable:
        raise
    except Exception as error:  # a damaged program can go wrong in any way
        raise NotReadable(f"{type(error).__name__}: {error}") from error
    raise NotReadable("it has no end, or too many steps before it")


def plain(value: Any) -> Any:
    """Turn what `read` gave into what JSON can hold; a `Thing` becomes an object with `class`, `args` and its state.

    Values that refer to themselves, or unfold to more than anybody reads, are cut: one text that stands in a million places is short
    as a pickle and endless as JSON.
    """
    return _Plain().of(value, 0)


class _Plain:
    """One value on its way to JSON, and what may still be written of it: values, and characters."""

    def __init__(self) -> None:
        self.left = _MAX_VALUES
        self.room = _MAX_BYTES

    def of(self, value: Any, depth: int) -> Any:
        self.left -= 1
        if self.left < 0 or depth > _DEEPEST:
            return "…"
        if isinstance(value, Thing):
            return self._thing(value, depth)
        if isinstance(value, dict):
            return {self._text(str(_key(key))): self.of(item, depth + 1) for key, item in self._some(value.items())}
        if isinstance(value, list | tuple | _Many):
            return [self.of(item, depth + 1) for item in self._some(value)]
        if isinstance(value, bytes | bytearray):
            return self._text(bytes(value[:_MAX_VALUES]).decode("utf-8", "backslashreplace"))
        return self._text(value) if isinstance(value, str) else _number(value)

    def _some(self, items: Any) -> list[Any]:
        return list(islice(items, max(0, self.left)))

    def _text(self, text: str) -> str:
        kept = text[: self.room]
        self.room -= len(kept)
        return kept.encode("utf-8", "replace").decode() + ("…" if len(kept) < len(text) else "")

    def _thing(self, value: Thing, depth: int) -> Any:
        found: dict[str, Any] = {"class": self._text(value.name)}
        if value.args:
            found["args"] = [self.of(item, depth + 1) for item in self._some(value.args)]
        return found | {self._text(key): self.of(item, depth + 1) for key, item in self._some(value.state.items())}


def _number(value: Any) -> Any:
    """Return a number that JSON can hold; what is no number comes back as it is."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -_MAX_NUMBER <= value < _MAX_NUMBER:
        return f"a number of {value.bit_length()} bits"
    return value


class _Many(list[Any]):
    """Members of a set, which may be anything, also what Python could not put into one."""


_MARK: Final = object()
_SCALARS: Final = (str, int, float, bytes, type(None))


class _Machine:
    """The stack and the memo of one program."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def follow(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(_VALUES[name](argument))
        elif name in _IGNORED:
            pass
        elif name in _ACTS:
            _ACTS[name](self, argument)
        else:
            raise NotReadable(f"it uses {name}")

    def marked(self) -> list[Any]:
        """Take everything above the newest mark."""
        for place in range(len(self.stack) - 1, -1, -1):
            if self.stack[place] is _MARK:
                found = self.stack[place + 1 :]
                del self.stack[place:]
                return found
        raise NotReadable("a mark is missing")

    def drop(self) -> None:
        self.stack.pop()

    def drop_marked(self) -> None:
        self.marked()

    def fold(self, count: int) -> None:
        found = self.stack[len(self.stack) - count :]
        if len(found) < count:
            raise NotReadable("the stack is empty")
        del self.stack[len(self.stack) - count :]
        self.stack.append(tuple(found))

    def extend(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif isinstance(target, Thing):
            target.state.setdefault("items", []).extend(items)

    def put_items(self, items: list[Any]) -> None:
        target = self.stack[-1]
        pairs = dict(zip(map(_key, items[::2]), items[1::2], strict=False))
        if isinstance(target, dict):
            target.update(pairs)
        elif isinstance(target, Thing):
            target.state.update({str(key): value for key, value in pairs.items()})

    def put_item(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self.put_items([key, value])

    def put_dict(self) -> None:
        items = self.marked()
        self.stack.append({})
        self.put_items(items)

    def call(self) -> None:
        args, function = self.stack.pop(), self.stack.pop()
        self.stack.append(_called(function, args))

    def call_new(self) -> None:
        kwargs, args, function = self.stack.pop(), self.stack.pop(), self.stack.pop()
        thing = _called(function, args)
        if isinstance(kwargs, dict):
            thing.state.update({str(_key(key)): value for key, value in kwargs.items()})
        self.stack.append(thing)

    def build(self) -> None:
        state, target = self.stack.pop(), self.stack[-1]
        states = state if isinstance(state, tuple) else (state,)
        for one in states:
            if isinstance(target, Thing) and isinstance(one, dict):
                target.state.update({str(_key(key)): value for key, value in one.items()})

    def name_from_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise NotReadable("a name is not a text")
        self.stack.append(Thing(f"{module}.{name}"))

    def obj(self) -> None:
        function, *args = self.marked()
        self.stack.append(_called(function, tuple(args)))

    def recall(self, key: int) -> None:
        self.stack.append(self.memo[key])

    def remember(self, key: int | None) -> None:
        self.memo[len(self.memo) if key is None else key] = self.stack[-1]


def _called(function: Any, args: Any) -> Thing:
    name = function.name if isinstance(function, Thing) else type(function).__name__
    given = args if isinstance(args, tuple) else (args,)
    # `copyreg.__newobj__(cls, …)` and its like name the class in their first argument
    if name.startswith(("copyreg.", "copy_reg.")) and given and isinstance(given[0], Thing):
        return Thing(given[0].name, given[1:])
    return Thing(name, given)


def _key(key: Any) -> Any:
    """Return something to look up by; what unfolds without end may not be hashed, only named."""
    if isinstance(key, tuple) and all(isinstance(part, _SCALARS) for part in key):
        return tuple(map(_number, key))
    return _number(key) if isinstance(key, _SCALARS) else f"a {key.kind if isinstance(key, Thing) else type(key).__name__}"


def _keep(argument: Any) -> Any:
    return argument


_VALUES: Final[dict[str, Callable[[Any], Any]]] = (
    dict.fromkeys(("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT"), _keep)
    | dict.fromkeys(("STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8"), _keep)
    | dict.fromkeys(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"), _keep)
    | {
        "NONE": lambda _: None,
        "NEWTRUE": lambda _: True,
        "NEWFALSE": lambda _: False,
        "EMPTY_LIST": lambda _: [],
        "EMPTY_TUPLE": lambda _: (),
        "EMPTY_DICT": lambda _: {},
        "EMPTY_SET": lambda _: _Many(),
        "MARK": lambda _: _MARK,
        "GLOBAL": lambda named: Thing(str(named).replace(" ", ".")),
        "PERSID": lambda _: Thing("persistent"),
        "NEXT_BUFFER": lambda _: Thing("buffer"),
        "EXT1": lambda number: Thing(f"extension.{number}"),
        "EXT2": lambda number: Thing(f"extension.{number}"),
        "EXT4": lambda number: Thing(f"extension.{number}"),
    }
)
_IGNORED: Final = frozenset({"PROTO", "FRAME", "READONLY_BUFFER"})
_ACTS: Final[dict[str, Callable[[_Machine, Any], None]]] = {
    "POP": lambda machine, _: machine.drop(),
    "POP_MARK": lambda machine, _: machine.drop_marked(),
    "DUP": lambda machine, _: machine.stack.append(machine.stack[-1]),
    "GET": lambda machine, key: machine.recall(key),
    "BINGET": lambda machine, key: machine.recall(key),
    "LONG_BINGET": lambda machine, key: machine.recall(key),
    "PUT": lambda machine, key: machine.remember(key),
    "BINPUT": lambda machine, key: machine.remember(key),
    "LONG_BINPUT": lambda machine, key: machine.remember(key),
    "MEMOIZE": lambda machine, _: machine.remember(None),
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.marked()),
    "ADDITEMS": lambda machine, _: machine.extend(machine.marked()),
    "LIST": lambda machine, _: machine.stack.append(machine.marked()),
    "FROZENSET": lambda machine, _: machine.stack.append(_Many(machine.marked())),
    "TUPLE": lambda machine, _: machine.stack.append(tuple(machine.marked())),
    "TUPLE1": lambda machine, _: machine.fold(1),
    "TUPLE2": lambda machine, _: machine.fold(2),
    "TUPLE3": lambda machine, _: machine.fold(3),
    "DICT": lambda machine, _: machine.put_dict(),
    "SETITEM": lambda machine, _: machine.put_item(),
    "SETITEMS": lambda machine, _: machine.put_items(machine.marked()),
    "STACK_GLOBAL": lambda machine, _: machine.name_from_stack(),
    "INST": lambda machine, named: machine.stack.append(_called(Thing(str(named).replace(" ", ".")), tuple(machine.marked()))),
    "OBJ": lambda machine, _: machine.obj(),
    "REDUCE": lambda machine, _: machine.call(),
    "NEWOBJ": lambda machine, _: machine.call(),
    "NEWOBJ_EX": lambda machine, _: machine.call_new(),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.stack.append(Thing("persistent", (machine.stack.pop(),))),
}
