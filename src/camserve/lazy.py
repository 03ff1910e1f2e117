"""Load the modules behind a package's public names on first use (PEP 562)."""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any

__all__ = ["lazy_exports"]


def lazy_exports(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Make the imports under `if TYPE_CHECKING:` of a package's `__init__` load on first use.

    Type checkers and editors read these imports as usual, so each name is written once beside `__all__`.

    Args:
        package: `__name__` of the package, whose `__init__` imports the names with `from ... import ...`.

    Returns:
        The package's `__getattr__` and `__dir__`.
    """
    module = sys.modules[package]
    origins = dict(_type_checking_imports(inspect.getsource(module)))

    def load(name: str) -> Any:
        if name not in origins:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        value = getattr(import_module(origins[name]), name)
        setattr(module, name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(module), *origins})

    return load, names


def _type_checking_imports(source: str) -> Iterator[tuple[str, str]]:
    """Yield each imported name and its module."""
    for block in ast.parse(source).body:
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING":
            for statement in block.body:
                if isinstance(statement, ast.ImportFrom) and statement.module:
                    yield from ((name.name, statement.module) for name in statement.names)
