"""The command line: one command per step, each of which imports what it needs when it is called."""

from camserve.cli.program import app, main

__all__ = ["app", "main"]
