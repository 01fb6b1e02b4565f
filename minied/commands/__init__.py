"""The commands of ``minied``, one module each with a ``main(arguments) -> exit code``."""
