"""Prints `docs/api.md`: every public name of `camserve.clients`, from its docstring (`make docs` writes the file).

The page is read on GitHub: headings become links there, so nothing but Markdown is needed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import griffe

PACKAGE = "camserve.clients"
SOURCES = Path(__file__).parent.parent / "src"

GROUPS = {
    "Asking a model": ("classifier", "async_classifier", "base"),
    "What it answers": ("answers",),
    "Pictures": ("pictures",),
    "Many files into one table": ("scoring", "table"),
    "Figures": ("explainer",),
    "Connection": ("wire", "tls"),
    "Watching": ("observing",),
    "Contract": ("contract",),
    "Errors": ("errors",),
}
"""The chapters, and the modules whose names stand in each."""

HEAD = """<!-- Made from the docstrings by docs/api.py (make docs); what is changed here by hand is lost. -->

# The client library, name by name

All of it is imported from `camserve.clients`. Every error is of the tree in
[`camserve/errors.py`](../src/camserve/errors.py), with a message that says what failed and a hint that says what to do.
"""

Item = Any
"""A module, class, function or attribute as griffe knows it, or an alias of one."""

_GOOGLE = griffe.GoogleOptions(returns_multiple_items=False, returns_named_value=False)
_WIDTH = 100
_Kind = griffe.DocstringSectionKind


def page() -> str:
    """The whole page."""
    package: Item = griffe.load(
        PACKAGE, search_paths=[SOURCES], docstring_parser="google", docstring_options=_GOOGLE, resolve_aliases=True
    )
    objects = [package[name] for name in package.exports or ()]
    chapters: dict[str, list[Item]] = {heading: [] for heading in [*GROUPS, "Further"]}
    for each in sorted(objects, key=_module_order):
        chapters[_heading(each)].append(each)
    parts = [HEAD, *_docstring(package), *_contents(chapters)]
    for heading, members in chapters.items():
        if members:
            parts += [f"## {heading}", *(part for each in members for part in _object(each))]
    headings = {part.lstrip("# ") for part in parts if part.startswith("###")}
    return "\n\n".join(_linked(part.strip("\n"), headings) for part in parts) + "\n"


def _module(item: Item) -> str:
    name: str = item.canonical_path.removeprefix(f"{PACKAGE}.").removeprefix("camserve.").partition(".")[0]
    return name


def _module_order(item: Item) -> int:
    known = [module for modules in GROUPS.values() for module in modules]
    return known.index(_module(item)) if _module(item) in known else len(known)


def _heading(item: Item) -> str:
    return next((heading for heading, modules in GROUPS.items() if _module(item) in modules), "Further")


def _contents(chapters: dict[str, list[Item]]) -> Iterator[str]:
    for heading, members in chapters.items():
        if members:
            yield f"**[{heading}](#{anchor(heading)})**"
            yield "\n".join(f"- [`{each.name}`](#{anchor(each.name)}): {_first_sentence(each)}" for each in members)


def _linked(part: str, headings: set[str]) -> str:
    """The part, in which names that have a heading lead there."""
    if part.startswith(("#", "```")):
        return part

    def link(match: re.Match[str]) -> str:
        return f"[{match[0]}](#{anchor(match[1])})" if match[1] in headings else match[0]

    # Of lower-case names only those that a text refers to: an argument may be called like a function.
    return re.sub(r"(?<!\[)(?:(?<=[Ss]ee )|(?=`[A-Z]))`(\w+(?:\.\w+)?)`", link, part)


def anchor(heading: str) -> str:
    """What GitHub makes of a heading, to link to it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def _first_sentence(item: Item) -> str:
    text = item.docstring.value if item.docstring else ""
    return " ".join(re.split(r"\n\n|(?<=\.)\s", text)[0].split())


def _object(item: Item) -> Iterator[str]:
    yield f"### {item.name}"
    if item.is_class:
        yield from _class(item)
    elif item.is_function:
        yield _code(_signature(item))
        yield from _docstring(item)
    else:
        yield _code(f"{item.name} = {item.value}")
        yield from _docstring(item)


def _class(item: Item) -> Iterator[str]:
    yield _code(_signature(item))
    yield from map(_section, _sections_of_class(item))
    members = [each for name, each in item.all_members.items() if not name.startswith("_") and each.docstring]
    for each in members:
        yield f"#### {item.name}.{each.name}"
        yield _code(_signature(each) if each.is_function else f"{each.name}: {_type(each.annotation)}")
        yield from _docstring(each)


def _sections_of_class(item: Item) -> Sequence[griffe.DocstringSection]:
    """Those of its docstring; parameters that it leaves to a base class stand behind its first words."""
    sections = list(_sections(item))
    if any(each.kind in (_Kind.parameters, _Kind.attributes) for each in sections):
        return sections
    inherited = [each for base in item.mro() for each in _sections(base) if each.kind is _Kind.parameters]
    return [*sections[:1], *inherited, *sections[1:]]


def _signature(item: Item) -> str:
    start = f"{'async def ' if 'async' in item.labels else ''}{item.name}("
    end = f") -> {_type(item.returns)}" if item.is_function and item.returns is not None else ")"
    parameters = list(_parameters(item.parameters))
    line = f"{start}{', '.join(parameters)}{end}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([start, *(f"    {each}," for each in parameters), end])


def _parameters(parameters: griffe.Parameters) -> Iterator[str]:
    starred = False
    for each in parameters:
        if each.name == "self":
            continue
        if each.kind is griffe.ParameterKind.keyword_only and not starred:
            starred = True
            yield "*"
        stars = {griffe.ParameterKind.var_positional: "*", griffe.ParameterKind.var_keyword: "**"}.get(each.kind, "")
        starred = starred or stars == "*"
        default = "" if stars or each.default is None else f" = {each.default}"
        yield f"{stars}{each.name}: {_type(each.annotation)}{default}"


def _type(annotation: Item) -> str:
    """A type as it is written, with arrays under the name that readers know."""
    return re.sub(r"\bArray\b|\bnp\.ndarray\[Any, Any\]", "np.ndarray", str(annotation))


def _code(text: str) -> str:
    return f"```python\n{text}\n```"


def _sections(item: Item) -> Sequence[griffe.DocstringSection]:
    return item.docstring.parsed if item.docstring else ()


def _docstring(item: Item) -> Iterator[str]:
    return (_section(each) for each in _sections(item))


def _section(section: griffe.DocstringSection) -> str:
    match section.kind:
        case _Kind.text:
            return str(section.value)
        case _Kind.examples:
            return _code("\n".join(text for _, text in section.value))
        case _Kind.admonition if section.value.kind == "example":
            return _code(section.value.description)
        case _Kind.parameters | _Kind.attributes:
            return _list(section.kind, [(f"`{each.name}`", each) for each in section.value])
        case _Kind.raises:
            return _list(section.kind, [(f"`{each.annotation}`", each) for each in section.value])
        case _Kind.returns | _Kind.yields:
            told = "; ".join(_joined(each.description) for each in section.value)
            return f"**{section.kind.value.title()}** {told}"
    raise ValueError(f"a docstring has a section of {section.kind.value}, which this page cannot show")


def _list(kind: griffe.DocstringSectionKind, entries: Sequence[tuple[str, griffe.DocstringElement]]) -> str:
    lines = [f"- {name}: {_joined(each.description)}" for name, each in entries]
    return "\n".join([f"**{kind.value.title()}**\n", *lines])


def _joined(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.stdout.write(page())
