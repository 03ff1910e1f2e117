"""Load the modules behind a package's public names on first use (PEP 562)."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.abc import InspectLoader
from types import CodeType, ModuleType
from typing import Any, cast

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
    origins = dict(_imports(_code_of(module)))

    def load(name: str) -> Any:
        if name not in origins:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        value = getattr(import_module(origins[name]), name)
        setattr(module, name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(module), *origins})

    return load, names


def _code_of(module: ModuleType) -> CodeType:
    # Not the source, which is missing where a program was bundled, for example by PyInstaller.
    spec = module.__spec__
    code = None if spec is None else cast(InspectLoader, spec.loader).get_code(module.__name__)
    if code is None:
        raise ImportError(f"package {module.__name__!r} has no code", name=module.__name__)
    return code


def _imports(code: CodeType) -> Iterator[tuple[str, str]]:
    """Yield each name that a module imports with `from ... import ...`, executed or not, and its module."""
    origin = ""
    for instruction in dis.get_instructions(code):
        if instruction.opname == "IMPORT_NAME":
            origin = str(instruction.argval)
        elif instruction.opname == "IMPORT_FROM":
            yield str(instruction.argval), origin
