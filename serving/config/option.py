"""The declaration of a serving option, from which checks, `--set`, `--help` and the command's flags are derived."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, TypeVar

from camserve.serving.config.option_kinds import NOTHING, Kind

__all__ = ["Option", "check_fields", "declare", "declared", "documented"]

_KEY = "option"
_T = TypeVar("_T")


@dataclass(frozen=True)
class Option:
    """A declared serving option.

    Attributes:
        default: Its value for a new model. If it is None, the option is optional and accepts None.
        kind: The kind of its values.
        help: Its meaning, in one sentence.
        flag: The flag of `camserve publish` that sets it; without one it is set by `--set NAME=VALUE`.
        panel: The heading of the flag in `--help`.
        none: A further text that means None.
        parameters: The parameters of Triton in which an accelerator's option is stored.
        stored_in: The execution accelerator that has these parameters (default: the model itself).
        name: The name for `--set` and in error messages (default: that of the field).
    """

    default: Any
    kind: Kind
    help: str
    flag: str | None = None
    panel: str = ""
    none: str | None = None
    parameters: tuple[str, ...] = ()
    stored_in: str = ""
    name: str = ""

    def check(self, value: Any) -> None:
        """Raise UsageError if a value is invalid, regardless of the other options."""
        if value is not None or self.default is not None:
            self.kind.check(self.name, value)

    def parse(self, text: str) -> Any:
        """Return the value that a text represents; it may still be out of range.

        Raises:
            UsageError: If the text has another form.
        """
        if self.default is None and text.lower() in (*NOTHING, self.none):
            return None
        return self.kind.parse(self.name, text)

    def decode(self, parameters: Mapping[str, str]) -> Any:
        """Return the value that is stored in the parameters of Triton."""
        found = (parameters[key] for key in self.parameters if parameters.get(key))
        return self.kind.decode(next(found, ""), self.default)


def declare(default: Any, kind: Kind, help: str, **settings: Any) -> Any:  # noqa: A002
    """Declare a serving option as a dataclass field; the arguments are those of `Option`."""
    return field(default=default, metadata={_KEY: Option(default, kind, help, **settings)})


def documented(part: type[_T]) -> type[_T]:
    """Append the help of the options that a dataclass declares to its docstring."""
    attributes = (f"    {name}: {option.help}" for name, option in declared(part).items())
    part.__doc__ = "\n".join([part.__doc__ or "", "Attributes:", *attributes])
    return part


def declared(part: Any) -> dict[str, Option]:
    """Return the options that a dataclass declares, by field."""
    return {each.name: _named(each) for each in fields(part) if _KEY in each.metadata}


def check_fields(part: Any, *, skip: Collection[str] = ()) -> None:
    """Check the value of each declared field of a dataclass instance, which may be given a list for a tuple.

    Raises:
        UsageError: If a value is invalid.
    """
    for name, option in declared(part).items():
        if name in skip:
            continue
        value = getattr(part, name)
        if isinstance(value, list):
            value = tuple(value)
            object.__setattr__(part, name, value)
        option.check(value)


def _named(each: Field[Any]) -> Option:
    option: Option = each.metadata[_KEY]
    return option if option.name else replace(option, name=each.name)
