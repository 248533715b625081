"""Distributes a batch of autopsies over several processes, each with its own kernels.

Every process is given as many runs as it can handle at once, and another one for each row that it returns. It reads JSON lines from its
standard input and writes them to its standard output. When its input closes, because the batch is over, interrupted or killed, it stops
its work and exits.
"""

from __future__ import annotations

import json
import math
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from typing import IO, Any, Final

from smithers_nb.workflows.batch.local import PER_PROCESS, AutopsyPool, AutopsyRow, row_of_error

_END_S: Final = 15.0


def in_processes(todo: Sequence[str], options: dict[str, Any], workers: int) -> Iterator[tuple[int, AutopsyRow]]:
    """Run the autopsies in several processes; yields each row with its index in `todo` as soon as it is done."""
    left = iter(enumerate(todo))
    lock = threading.Lock()
    done: queue.SimpleQueue[tuple[int, AutopsyRow] | None] = queue.SimpleQueue()

    def next_one() -> tuple[int, str] | None:
        with lock:
            return next(left, None)

    processes: list[_WorkerProcess] = []
    try:
        for slots in _slots_per_process(workers):
            process = _WorkerProcess(options, slots)
            processes.append(process)
            threading.Thread(target=process.work, args=(next_one, done), name="pool", daemon=True).start()
        over = 0
        while over < len(processes):
            got = done.get()
            if got is None:
                over += 1
            else:
                yield got
        for index, run_id in left:  # no process is left to run them
            yield index, row_of_error(run_id, RuntimeError("every process of the batch has ended"), 0.0)
    finally:
        for process in processes:
            process.end()


def _slots_per_process(workers: int) -> list[int]:
    """Return the number of slots of each process: as few processes as possible, evenly loaded."""
    processes = math.ceil(workers / PER_PROCESS)
    return [workers // processes + (index < workers % processes) for index in range(processes)]


class _WorkerProcess:
    """One process and the runs assigned to it."""

    def __init__(self, options: dict[str, Any], slots: int) -> None:
        self._slots = slots
        self._given: dict[int, str] = {}
        self._process = subprocess.Popen(  # noqa: S603  # our own module
            [sys.executable, "-m", __spec__.name if __name__ == "__main__" else __name__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="surrogateescape",
        )
        self._say({"options": options, "slots": slots})

    def work(self, next_one: Any, done: queue.SimpleQueue[tuple[int, AutopsyRow] | None]) -> None:
        """Keep its slots filled until nothing is left, then put None on the queue."""
        try:
            for _ in range(self._slots):
                self._give(next_one())
            while self._given and (line := self._output.readline()):
                index, row = json.loads(line)
                del self._given[index]
                done.put((index, AutopsyRow(*row)))
                self._give(next_one())
        except (OSError, ValueError):
            pass  # it died: its runs are reported below, the other processes go on
        finally:
            for index, run_id in self._given.items():
                done.put((index, row_of_error(run_id, RuntimeError("the process that worked on it ended"), 0.0)))
            done.put(None)

    def end(self) -> None:
        """Close its input and wait for it to exit."""
        with suppress(OSError):
            self._input.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._output.close()

    def _give(self, one: tuple[int, str] | None) -> None:
        if one is not None:
            self._given[one[0]] = one[1]
            self._say(one)

    def _say(self, message: Any) -> None:
        self._input.write(json.dumps(message) + "\n")
        self._input.flush()

    @property
    def _input(self) -> IO[str]:
        assert self._process.stdin is not None
        return self._process.stdin

    @property
    def _output(self) -> IO[str]:
        assert self._process.stdout is not None
        return self._process.stdout


def main() -> None:
    """Run one of the processes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the parent, which then closes our input
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # other output must not mix with the answers
    lock = threading.Lock()
    first = json.loads(sys.stdin.readline())

    def answer(index: int, done: Future[AutopsyRow]) -> None:
        if done.cancelled():
            return
        with lock, suppress(OSError):
            answers.write(json.dumps([index, done.result()]) + "\n")
            answers.flush()

    with AutopsyPool(first["options"], first["slots"]) as bench:
        for line in sys.stdin:
            index, run_id = json.loads(line)
            bench.submit(run_id).add_done_callback(partial(answer, index))


if __name__ == "__main__":
    main()
