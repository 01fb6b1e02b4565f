"""A peer, or minied itself, in a process of its own, timed whenever it is asked.

The scripts in this folder speak the protocol told in ``protocol``; what they time is in their docstrings. Two of them can be
open at once and be timed in turn, A B, B A, ...: a process that is not asked waits for its input and takes no time.
"""

import collections
import json
import os
import queue
import subprocess
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from minied.bench.peers.environments import OURSELVES, clean_environment, python_of
from minied.errors import UserError, unknown_name

SCRIPTS = {
    "minied_training": OURSELVES,
    "minied_maze": OURSELVES,
    "minimax_training": "minimax",
    "minimax_maze": "minimax",
    "jaxued_maze": "jaxued",
    "xminigrid_world": "xminigrid",
    "navix_world": "navix",
}
"""The scripts, and the peer whose interpreter runs each."""
PATIENCE_SECONDS = 1200.0
"""Longest wait for an answer; compiling is the longest of what is waited for."""
_END_SECONDS = 5.0
_SHARED_GPU_MEMORY = "0.3"  # the share of a GPU that each process takes: minied and two peers fit side by side


def start_peer(
    script: str,
    arguments: Sequence[str] = (),
    platform: str | None = None,
    variables: Mapping[str, str] | None = None,
) -> "Peer":
    """Return the process of a script of this folder, to be opened by ``with``; installs the peer if need be.

    Args:
        script: one of `SCRIPTS`.
        arguments: of the script, as words.
        platform: cpu or gpu; by default what jax runs on here.
        variables: of its environment, over all others.

    Raises:
        UserError: there is no such script, or the peer cannot be installed.
    """
    if script not in SCRIPTS:
        raise unknown_name("script of a peer", script, list(SCRIPTS))
    if platform is None:
        import jax

        platform = jax.default_backend()
    path = Path(__file__).with_name(f"{script}.py")
    environment = own_environment if SCRIPTS[script] == OURSELVES else peer_environment
    python = python_of(SCRIPTS[script], platform)
    return Peer(path, python, arguments, platform=platform, environment=environment(platform, variables))


class Peer:
    """A context manager: starts the script, waits until it is ready, ends the process in any case.

    Attributes:
        ready: what the script said when it was ready: first_call_seconds, versions, platform, workload, ...
        last: the whole answer to the last `time`, with what the script counts besides seconds and steps.

    Raises:
        UserError: on entry and in `time`, in one line, if the process dies (with its last words), answers what is not of the
            protocol, takes too long, or runs on another platform than asked for.
    """

    def __init__(
        self,
        script: Path,
        python: Path,
        arguments: Sequence[str] = (),
        *,
        platform: str = "cpu",
        patience_seconds: float = PATIENCE_SECONDS,
        environment: Mapping[str, str] | None = None,
    ):
        """Start nothing yet. ``environment`` is all variables of the process, by default those of `peer_environment`."""
        self.ready: dict[str, Any] = {}
        self.last: dict[str, Any] = {}
        self._name = script.stem
        self._command = [str(python), str(script), *arguments]
        self._platform = platform
        self._patience = patience_seconds
        self._environment = peer_environment(platform) if environment is None else dict(environment)
        self._answers: queue.Queue[str | None] = queue.Queue()
        self._last_words: collections.deque[str] = collections.deque(maxlen=50)
        self._process: subprocess.Popen[str] | None = None
        self._threads: list[threading.Thread] = []

    def __enter__(self) -> Self:
        try:
            self._process = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                encoding="utf-8",
                errors="replace",
                env=self._environment,
            )
        except OSError as error:
            raise UserError(f"{self._name} does not start: {self._command[0]}: {error.strerror}") from error
        for target, stream in ((self._read_answers, self._process.stdout), (self._read_words, self._process.stderr)):
            thread = threading.Thread(target=target, args=(stream,), daemon=True)
            thread.start()
            self._threads.append(thread)
        try:
            self.ready = self._answer("to be ready")
            if self.ready.get("ready") is not True:
                raise self._error(f"began with {json.dumps(self.ready)[:200]} instead of being ready")
            if self.ready.get("platform") != self._platform:
                raise self._error(f"runs on {self.ready.get('platform')!r}, not on {self._platform!r}: not comparable")
        except BaseException:
            self._end(at_once=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end(at_once=error is not None)

    def time(self, calls: int | None = None) -> tuple[float, int]:
        """Return the seconds of one timing and the environment steps that were simulated in it; `last` tells more.

        ``calls`` says how many calls it covers, by default as many as the script was started with.
        """
        if self._process is None or self._process.stdin is None:
            raise RuntimeError("a peer is timed inside its `with` block")
        try:
            self._process.stdin.write("time\n" if calls is None else f"time {calls}\n")
            self._process.stdin.flush()
        except OSError:
            pass  # it died: the answer that does not come says how
        answer = self._answer("for a timing")
        seconds, steps = _positive(answer.get("seconds")), _positive(answer.get("steps"))
        if seconds is None or steps is None:
            raise self._error(f"answered {json.dumps(answer)[:200]} instead of seconds and steps")
        self.last = answer
        return seconds, int(steps)

    def _answer(self, awaited: str) -> dict[str, Any]:
        try:
            line = self._answers.get(timeout=self._patience)
        except queue.Empty:
            raise self._error(f"was waited {awaited} longer than {self._patience:g} s") from None
        if line is None:
            raise self._error(f"died{self._exit_code()} while it was waited {awaited}")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict):
            raise self._error(f"answered {line.strip()[:200]!r}, which is not a JSON object")
        return answer

    def _exit_code(self) -> str:
        assert self._process is not None
        try:
            code = self._process.wait(timeout=_END_SECONDS)
        except subprocess.TimeoutExpired:
            return " (it closed its output and runs on)"
        for thread in self._threads:
            thread.join(timeout=_END_SECONDS)  # until its last words are read
        return f" with signal {-code}" if code < 0 else f" with exit code {code}"

    def _error(self, what: str) -> UserError:
        words = [line.strip() for line in self._last_words if line.strip()][-3:]
        told = f"; it said: {' | '.join(words)[-500:]}" if words else ""
        return UserError(f"{self._name} {what}{told}")

    def _read_answers(self, stream: IO[str]) -> None:
        for line in stream:
            self._answers.put(line)
        self._answers.put(None)

    def _read_words(self, stream: IO[str]) -> None:
        self._last_words.extend(stream)

    def _end(self, *, at_once: bool) -> None:
        process = self._process
        if process is None:
            return
        try:
            if not at_once and process.stdin is not None:
                process.stdin.write("quit\n")
            if process.stdin is not None:
                process.stdin.close()
        except OSError:
            pass  # it is gone already
        for ask in (None if not at_once else process.terminate, process.terminate, process.kill):
            if ask is not None:
                ask()
            try:
                process.wait(timeout=_END_SECONDS)
                break
            except subprocess.TimeoutExpired:
                continue
        for thread, stream in zip(self._threads, (process.stdout, process.stderr), strict=True):
            thread.join(timeout=_END_SECONDS)
            if stream is not None and not thread.is_alive():
                stream.close()
        self._process = None


def peer_environment(platform: str, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment variables of a peer's process.

    Nothing that leads to minied's packages, and no setting of jax or XLA: flags of today are unknown to an old jaxlib, which
    aborts on them, and flags that make minied's own tests compile sooner would make the peer slower.

    Args:
        platform: cpu or gpu.
        variables: settings to give the peer on purpose, over all others.
    """
    kept = {key: value for key, value in clean_environment().items() if not key.startswith(("JAX_", "XLA_"))}
    own = {"JAX_PLATFORMS": "cpu"} if platform == "cpu" else {"XLA_PYTHON_CLIENT_MEM_FRACTION": _SHARED_GPU_MEMORY}
    return kept | own | dict(variables or {})


def own_environment(platform: str, variables: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the environment variables of a process of minied's: those of this one, and so the settings of its user.

    But what it compiles comes from no folder that keeps it, unless ``variables`` say so: a first call compiles.
    """
    kept = {key: value for key, value in os.environ.items() if key != "JAX_COMPILATION_CACHE_DIR"}
    if platform == "cpu":
        return kept | {"JAX_PLATFORMS": "cpu"} | dict(variables or {})
    return {"XLA_PYTHON_CLIENT_MEM_FRACTION": _SHARED_GPU_MEMORY} | kept | dict(variables or {})


def _positive(value: object) -> float | None:
    """Return the value as a number if it is a positive and finite one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 < value < float("inf") else None
