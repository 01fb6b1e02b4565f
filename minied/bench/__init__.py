"""How fast is it? Timings of minied and of other libraries, taken in turn; nothing of minied imports this but its command.

``peers`` holds the processes that are timed, ``cases`` says which there are, ``timing`` asks them in turn and says what came
of it, ``tables`` shows it, ``machine`` tells where it was. ``parts`` times the parts of one update inside this process. The
scripts in ``benchmarks/`` are thin over these.

The precision is told in a column of its own: figures of another are another row.
"""

PRECISION = "float32"
"""Of everything that does not say otherwise."""
