"""The command line: one command per step, each of which imports what it needs when it is called."""

import os
import signal
from collections.abc import Sequence

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and end the program.

    Args:
        arguments: The words after the program's name (default: those the program was started with).

    Raises:
        SystemExit: Always, with the exit code.
    """
    if arguments is None and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Without this, Ctrl-C prints a traceback while the rest is imported, before it has a handler of its own.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # Otherwise pydantic looks for plugins among all installed packages, which takes as long as to declare a command.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from camserve.cli.program import main as run

    run(arguments)
