"""`python -m foretell` is the `foretell` program."""

from foretell.cli import entry

entry()
