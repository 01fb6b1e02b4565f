"""The one kind of error that a user can mend, told in one line."""


class UserError(ValueError):
    """Something the user gave is wrong: the message names the field, the value and what is allowed.

    The command line prints the message as one line and exits with code 2. Library callers see an ordinary
    ``ValueError``.
    """


def suggestion(word: str, known: list[str] | tuple[str, ...]) -> str:
    """Return `` (did you mean 'x'?)`` for the known word nearest to ``word``, or an empty string."""
    import difflib

    near = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def unknown_name(what: str, word: str, known: list[str] | tuple[str, ...]) -> UserError:
    """Return the error for a name that is not among ``known``; ``what`` says what was to be named."""
    return UserError(f"unknown {what} {word!r}{suggestion(word, known)}; known: {', '.join(sorted(known))}")
