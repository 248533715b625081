"""Parse a pickle without unpickling it: nothing is imported and nothing is called.

A pickle is a program, and unpickling a hostile one executes it. This module interprets its instructions on plain values only; whatever
the pickle would import or call becomes a `Thing`: a name, arguments and state.
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
_MAX_DEPTH: Final = 40
_MAX_NUMBER: Final = 2**63


class NotReadable(ValueError):
    """The bytes are not a pickle, or use an instruction that no serialiser writes."""


@dataclass(eq=False)
class Thing:
    """An object that a pickle would create.

    Attributes:
        name: Dotted name of the class or function that it would call.
        args: Arguments of the call.
        state: Attributes that it would set on the object afterwards.
    """

    name: str
    args: tuple[Any, ...] = ()
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The name without its module."""
        return self.name.rpartition(".")[2]


def read(data: bytes) -> Any:
    """Return the value of a pickle: None, flags, numbers, text, bytes, lists, tuples, dicts, sets and `Thing`s.

    Raises:
        NotReadable: It is damaged, too large, or not a pickle.
    """
    if len(data) > _MAX_BYTES:
        raise NotReadable(f"{len(data)} bytes are too many")
    machine = _Machine()
    try:
        for opcode, argument, _ in islice(pickletools.genops(data), _MAX_STEPS):
            if opcode.name == "STOP":
                return machine.stack[-1]
            machine.execute(opcode.name, argument)
    except NotReadable:
        raise
    except Exception as error:  # a damaged program can fail in any way
        raise NotReadable(f"{type(error).__name__}: {error}") from error
    raise NotReadable("it does not end, or has too many steps")


def plain(value: Any) -> Any:
    """Convert a value from `read` to what JSON can hold; a `Thing` becomes an object with `class`, `args` and its state.

    Values that refer to themselves or grow too large are cut off: a string that is referenced a million times is short as a pickle and
    huge as JSON.
    """
    return _Converter().convert(value, 0)


class _Converter:
    """Converts one value, within a limit of values and characters."""

    def __init__(self) -> None:
        self.values_left = _MAX_VALUES
        self.characters_left = _MAX_BYTES

    def convert(self, value: Any, depth: int) -> Any:
        self.values_left -= 1
        if self.values_left < 0 or depth > _MAX_DEPTH:
            return "…"
        if isinstance(value, Thing):
            return self._thing(value, depth)
        if isinstance(value, dict):
            return {self._text(str(_key(key))): self.convert(item, depth + 1) for key, item in self._first(value.items())}
        if isinstance(value, list | tuple):
            return [self.convert(item, depth + 1) for item in self._first(value)]
        if isinstance(value, bytes | bytearray):
            return self._text(bytes(value[:_MAX_VALUES]).decode("utf-8", "backslashreplace"))
        return self._text(value) if isinstance(value, str) else _number(value)

    def _first(self, items: Any) -> list[Any]:
        return list(islice(items, max(0, self.values_left)))

    def _text(self, text: str) -> str:
        shortened = text[: self.characters_left]
        self.characters_left -= len(shortened)
        return shortened.encode("utf-8", "replace").decode() + ("…" if len(shortened) < len(text) else "")

    def _thing(self, value: Thing, depth: int) -> Any:
        converted: dict[str, Any] = {"class": self._text(value.name)}
        if value.args:
            converted["args"] = [self.convert(item, depth + 1) for item in self._first(value.args)]
        return converted | {self._text(key): self.convert(item, depth + 1) for key, item in self._first(value.state.items())}


def _number(value: Any) -> Any:
    """Convert a number to one that JSON can hold; return anything else unchanged."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not -_MAX_NUMBER <= value < _MAX_NUMBER:
        return f"a number of {value.bit_length()} bits"
    return value


_MARK: Final = object()
_SCALARS: Final = (str, int, float, bytes, type(None))


class _Machine:
    """The stack and the memo of a pickle's program."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def execute(self, name: str, argument: Any) -> None:
        if name in _VALUES:
            self.stack.append(_VALUES[name](argument))
        elif name in _IGNORED:
            pass
        elif name in _ACTIONS:
            _ACTIONS[name](self, argument)
        else:
            raise NotReadable(f"it uses {name}")

    def marked(self) -> list[Any]:
        """Pop everything above the newest mark, and the mark."""
        for index in range(len(self.stack) - 1, -1, -1):
            if self.stack[index] is _MARK:
                items = self.stack[index + 1 :]
                del self.stack[index:]
                return items
        raise NotReadable("a mark is missing")

    def fold(self, count: int) -> None:
        items = self.stack[len(self.stack) - count :]
        if len(items) < count:
            raise NotReadable("the stack is empty")
        del self.stack[len(self.stack) - count :]
        self.stack.append(tuple(items))

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
        for values in states:
            if isinstance(target, Thing) and isinstance(values, dict):
                target.state.update({str(_key(key)): value for key, value in values.items()})

    def name_from_stack(self) -> None:
        name, module = self.stack.pop(), self.stack.pop()
        if not (isinstance(name, str) and isinstance(module, str)):
            raise NotReadable("a name is not text")
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
    arguments = args if isinstance(args, tuple) else (args,)
    # `copyreg.__newobj__(cls, …)` and similar functions have the class as their first argument
    if name.startswith(("copyreg.", "copy_reg.")) and arguments and isinstance(arguments[0], Thing):
        return Thing(arguments[0].name, arguments[1:])
    return Thing(name, arguments)


def _key(key: Any) -> Any:
    """Return a hashable key; a value that may be nested without end is named instead of hashed."""
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
        "EMPTY_SET": lambda _: [],  # a list, because members need not be hashable here
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
_ACTIONS: Final[dict[str, Callable[[_Machine, Any], object]]] = {
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.marked(),
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
    "FROZENSET": lambda machine, _: machine.stack.append(machine.marked()),
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
