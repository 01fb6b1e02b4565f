"""What a check of the kit says, in a terminal, as JSON and to a test."""

import dataclasses
import inspect
import os
import traceback
import warnings
from collections.abc import Callable, Iterable
from typing import Any, Literal

import jax

from minied.errors import UserError

Verdict = Literal["passed", "failed", "noted", "skipped"]
SIGNS = {"passed": "ok", "failed": "FAILED", "noted": "note", "skipped": "-"}


@dataclasses.dataclass(frozen=True)
class Finding:
    """What one check found."""

    check: str
    """Its name, such as ``vmap``."""
    verdict: Verdict
    detail: str
    """What was seen."""
    where: str = ""
    """``file:line`` of what to look at, of a failure."""
    breaks: str = ""
    """What it would have broken, of a failure."""


@dataclasses.dataclass(frozen=True)
class Report:
    """All findings about one thing."""

    target: str
    findings: tuple[Finding, ...]
    figures: dict[str, float] = dataclasses.field(default_factory=dict)
    """What was measured: steps per second, bytes, seconds."""

    @property
    def failures(self) -> tuple[Finding, ...]:
        """The findings that failed."""
        return tuple(finding for finding in self.findings if finding.verdict == "failed")

    @property
    def is_good(self) -> bool:
        """Whether nothing failed."""
        return not self.failures

    def of(self, check: str) -> Finding:
        """Return the finding of a check. Raises `KeyError` for one that was not run."""
        for finding in self.findings:
            if finding.check == check:
                return finding
        raise KeyError(check)

    def to_dict(self) -> dict[str, Any]:
        """Return what JSON holds."""
        findings = [dataclasses.asdict(finding) for finding in self.findings]
        return {"target": self.target, "good": self.is_good, "findings": findings, "figures": self.figures}

    def require(self) -> "Report":
        """Return the report. Raises `AssertionError` that tells every failure, for tests."""
        if not self.is_good:
            told = "\n".join(line for finding in self.failures for line in lines_of(finding))
            raise AssertionError(f"{self.target} failed {len(self.failures)} of {len(self.findings)} checks:\n{told}")
        return self

    def __add__(self, other: "Report") -> "Report":
        return Report(self.target, self.findings + other.findings, {**self.figures, **other.figures})


def lines_of(finding: Finding) -> list[str]:
    """Return a finding as a person reads it."""
    lines = [f"{SIGNS[finding.verdict]:<6}  {finding.check:<22}  {finding.detail}".rstrip()]
    if finding.where:
        lines.append(f"{'':<8}look at {finding.where}")
    if finding.breaks and finding.verdict == "failed":
        lines.append(f"{'':<8}breaks  {finding.breaks}")
    return lines


class Failure(Exception):  # noqa: N818 (it is a verdict on what was looked at, no error of the kit)
    """A check does not hold: what was seen, and the method or ``file:line`` to look at."""

    def __init__(self, detail: str, look_at: Any = None) -> None:
        """See the class."""
        super().__init__(detail)
        self.look_at = look_at


class Skip(Exception):  # noqa: N818 (likewise)
    """A check has nothing to look at, or not here: why."""


class Note(Exception):  # noqa: N818 (likewise)
    """A check holds, and there is something that a person would want to know."""


@dataclasses.dataclass(frozen=True)
class Check:
    """A named check: ``run(subject)`` returns what it saw, or raises `Failure`, `Skip` or `Note`."""

    name: str
    run: Callable[[Any], str]
    breaks: str
    """What goes wrong where the check fails."""
    blames: str = ""
    """The method to look at where neither the check nor an error names a line."""

    def __call__(self, subject: Any) -> Finding:
        """Return what the check finds of ``subject``. Whatever the subject raises is a failure, not an error."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                return Finding(self.name, "passed", self.run(subject))
        except Skip as reason:
            return Finding(self.name, "skipped", str(reason))
        except Note as told:
            return Finding(self.name, "noted", str(told))
        except Failure as failure:
            where = place_of(failure.look_at) or self._fallback(subject)
            return Finding(self.name, "failed", str(failure), where, self.breaks)
        except Exception as error:  # of what is looked at
            detail = f"{type(error).__name__}: {_first_sentence(error)}"
            return Finding(self.name, "failed", detail, place_of(error) or self._fallback(subject), self.breaks)

    def _fallback(self, subject: Any) -> str:
        """Return ``file:line`` of what is most to blame; what is looked at knows its methods, by ``culprit``."""
        culprit = getattr(subject, "culprit", None)
        return "" if culprit is None else place_of(culprit(self.blames)) or place_of(culprit(""))


def run_checks(checks: Iterable[Check], subject: Any, target: str, tell: Callable[[Finding], None] | None) -> Report:
    """Return the findings of ``checks``; ``tell`` is called with each as soon as it is there."""
    findings = []
    for check in checks:
        findings.append(check(subject))
        if tell is not None:
            tell(findings[-1])
    return Report(target, tuple(findings))


def place_of(thing: Any) -> str:
    """Return ``file:line`` of a function or class, or of where in its own code an error was raised; else an empty string."""
    if thing is None or isinstance(thing, str):
        return thing or ""
    if isinstance(thing, BaseException):
        frames = [frame for frame in traceback.extract_tb(thing.__traceback__) if is_users(frame.filename)]
        return f"{_short(frames[-1].filename)}:{frames[-1].lineno}" if frames else ""
    thing = thing.fget if isinstance(thing, property) else thing
    try:
        thing = inspect.unwrap(thing)
        file, (_, line) = inspect.getsourcefile(thing), inspect.getsourcelines(thing)
    except (TypeError, OSError):  # no Python source: built at run time, or of a library in another language
        return ""
    return f"{_short(file or '')}:{line}"


_KIT = os.path.dirname(os.path.abspath(__file__))
_JAX = os.path.dirname(os.path.abspath(jax.__file__))
_EXAMPLE = os.path.join(_KIT, "lake.py")


def is_users(filename: str) -> bool:
    """Return whether a file is neither of the kit nor of JAX (and not of the interpreter): where a mistake may be."""
    file = os.path.abspath(filename)
    if filename.startswith("<") or file == os.__file__ or os.path.dirname(os.__file__) == os.path.dirname(file):
        return False
    return file == _EXAMPLE or not file.startswith((_KIT + os.sep, _JAX + os.sep))


def _short(file: str) -> str:
    """Return a path from the current folder if it lies below it."""
    path = os.path.relpath(file)
    return file if path.startswith("..") else path


def _first_sentence(error: Exception) -> str:
    """Return what an error says, in a line: JAX explains its own at length."""
    if isinstance(error, UserError):
        return " ".join(str(error).split())
    lines = [line.strip() for line in str(error).strip().splitlines() if line.strip()]
    return " ".join(lines[:2])[:300] if lines else ""
