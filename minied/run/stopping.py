"""Stopping a run when asked: SIGINT, SIGTERM, SIGUSR1 and SIGUSR2 set a flag that is looked at between chunks."""

import math
import os
import signal
import threading
import time
from types import FrameType
from typing import Self

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2)

REQUEUE = (128 + signal.SIGTERM, 128 + signal.SIGUSR1, 128 + signal.SIGUSR2)
"""Exit codes of what was saved because somebody wants the machine back: whoever started it may start it again."""

_TOGETHER = 1.0
"""Seconds after the first signal in which others are the same wish: `timeout` and some launchers signal a process and then
its whole group."""


class StopFlag:
    """A context in which Ctrl-C, SIGTERM and SIGUSR1 or 2 only set ``signal_number``; a later second one ends the process.

    The handler says so by one write and does nothing else: it may run in the middle of anything. Outside the main thread,
    where Python allows no handlers, the signals keep their old meaning.
    """

    def __init__(self, *, quiet: bool = False) -> None:
        self.quiet = quiet
        self.signal_number: int | None = None
        self._asked_at = 0.0
        self._old: dict[int, object] = {}

    def ask(self, number: int) -> None:
        """Stop as if the signal ``number`` had come here, which it did to another process of the run."""
        if self.signal_number is None:
            # Its own copy may be on the way: Slurm signals every process, one after the other.
            self.signal_number, self._asked_at = number, math.inf

    @property
    def is_set(self) -> bool:
        """Whether a stop was asked for."""
        return self.signal_number is not None

    @property
    def exit_code(self) -> int:
        """The shell's code for the signal: 130, 143, 138 or 140; 0 if none came."""
        return 0 if self.signal_number is None else 128 + self.signal_number

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._old = {number: signal.signal(number, self._handle) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._old.items():
            signal.signal(number, handler)  # pyright: ignore[reportArgumentType]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del frame
        if self.signal_number is not None:
            if math.isinf(self._asked_at):  # asked for by another process; this is the first signal here
                self._asked_at = time.monotonic()
            if time.monotonic() - self._asked_at < _TOGETHER:
                return
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        self.signal_number, self._asked_at = number, time.monotonic()
        if not self.quiet:
            os.write(2, b"\nminied: stopping and saving after this chunk; once more ends at once, without saving\n")
