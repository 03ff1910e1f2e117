"""Prints `docs/api.md`: every public name of `camserve.clients`, from its docstring (`make docs` writes the file).

What a model without a contract needs besides stands there too. In signatures the library's own constants and aliases of
types are written out.

The page is read on GitHub: headings become links there, so nothing but Markdown is needed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import griffe

PACKAGE = "camserve.clients"
SOURCES = Path(__file__).parent.parent / "src"

GROUPS = {
    "TransportClass a model": ("classifier", "async_classifier", "base"),
    "What it answers": ("answers",),
    "Pictures": ("pictures",),
    "Many files into one table": ("scoring", "table"),
    "Figures": ("explainer",),
    "Connection": ("wire", "tls"),
    "Watching": ("observing",),
}
"""The chapters, and the modules whose names stand in each."""

CONTRACT = "camserve.contract"
OF_CONTRACT = ("ModelContract", "TensorSpec", "Preprocessing", "PRESETS", "CamContract")
"""The last chapter: what a contract is made of."""

HANDED_OVER = ("ClientTls", "Metrics", "Preprocessing")
"""Classes that a caller makes and hands over: their methods are for the library."""

HEAD = """<!-- Made from the docstrings by docs/api.py (make docs); what is changed here by hand is lost. -->

# The client library, name by name

All of it is imported from `camserve.clients`, except what stands under [Contract](#contract). Every error is of the
tree in [`camserve/errors.py`](../src/camserve/errors.py) and imported from `camserve.errors`, with a message that says
what failed and a hint that says what to do.
"""

CONTRACT_HEAD = f"""Imported from `{CONTRACT}`, to describe a model that does not carry its contract:
[an example](client.md#a-model-without-a-contract)."""

Item = Any
"""A module, class, function or attribute as griffe knows it, or an alias of one."""

_GOOGLE = griffe.GoogleOptions(returns_multiple_items=False, returns_named_value=False)
_WIDTH = 100
_STARS: dict[griffe.ParameterKind | None, str] = {
    griffe.ParameterKind.var_positional: "*",
    griffe.ParameterKind.var_keyword: "**",
}
_Kind = griffe.DocstringSectionKind


def page() -> str:
    """The whole page."""
    package = _loaded(PACKAGE)
    objects = [package[name] for name in package.exports or ()]
    chapters: dict[str, list[Item]] = {heading: [] for heading in [*GROUPS, "Further"]}
    for each in sorted(objects, key=_module_order):
        chapters[_heading(each)].append(each)
    chapters["Contract"] = [_loaded(CONTRACT)[name] for name in OF_CONTRACT]
    parts = [HEAD, *_docstring(package), *_contents(chapters)]
    for heading, members in chapters.items():
        if members:
            head = [CONTRACT_HEAD] if heading == "Contract" else []
            parts += [f"## {heading}", *head, *(part for each in members for part in _object(each))]
    headings = {part.lstrip("# ") for part in parts if part.startswith("###")}
    return "\n\n".join(_linked(part.strip("\n"), headings) for part in parts) + "\n"


@cache
def _loaded(module: str) -> Item:
    return griffe.load(
        module, search_paths=[SOURCES], docstring_parser="google", docstring_options=_GOOGLE, resolve_aliases=True
    )


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
        yield _code(
            f"{item.name}: {_written(item.annotation)}" if item.annotation else f"{item.name} = {_written(item.value)}"
        )
        yield from _docstring(item)


def _class(item: Item) -> Iterator[str]:
    yield _code(_signature(item))
    yield from map(_section, _sections_of_class(item))
    for each in _members(item):
        yield f"#### {item.name}.{each.name}"
        yield _code(_signature(each) if each.is_function else f"{each.name}: {_written(each.annotation)}")
        yield from _docstring(each)
        yield from _overloads(each)


def _members(item: Item) -> list[Item]:
    if item.name in HANDED_OVER:
        return []
    return [each for name, each in item.all_members.items() if not name.startswith("_") and each.docstring]


def _overloads(item: Item) -> Iterator[str]:
    """What a function returns for some arguments, where that depends on them."""
    if not item.is_function or not item.overloads:
        return
    general = set(_parameters(item.parameters))
    told = [
        (", ".join(f"`{each}`" for each in _parameters(one.parameters) if each not in general), _written(one.returns))
        for one in item.overloads
    ]
    yield "\n".join(["**Returns**, according to its arguments:\n", *(f"- {given}: `{type_}`" for given, type_ in told)])


def _sections_of_class(item: Item) -> Sequence[griffe.DocstringSection]:
    """Those of its docstring; parameters that it leaves to a base class stand behind its first words."""
    sections = list(_sections(item))
    if any(each.kind in (_Kind.parameters, _Kind.attributes) for each in sections):
        return sections
    inherited = [each for base in item.mro() for each in _sections(base) if each.kind is _Kind.parameters]
    return [*sections[:1], *inherited, *sections[1:]]


def _signature(item: Item) -> str:
    start = f"{'async def ' if 'async' in item.labels else ''}{item.name}("
    end = f") -> {_written(item.returns)}" if item.is_function and item.returns is not None else ")"
    parameters = list(_parameters(item.parameters or _fields(item)))
    line = f"{start}{', '.join(parameters)}{end}"
    if len(line) <= _WIDTH:
        return line
    return "\n".join([start, *(f"    {each}," for each in parameters), end])


def _fields(item: Item) -> Iterator[griffe.Parameter]:
    """The arguments of a class of pydantic, which are its fields."""
    if not item.is_class:
        return
    for each in item.attributes.values():
        if each.annotation is not None and "property" not in each.labels:
            required = str(each.value).startswith("Field(")
            default = None if required else each.value
            kind = griffe.ParameterKind.keyword_only
            yield griffe.Parameter(each.name, annotation=each.annotation, kind=kind, default=default)


def _parameters(parameters: Iterable[griffe.Parameter]) -> Iterator[str]:
    starred = False
    for each in parameters:
        if each.name in ("self", "cls"):
            continue
        if each.kind is griffe.ParameterKind.keyword_only and not starred:
            starred = True
            yield "*"
        stars = _STARS.get(each.kind, "")
        starred = starred or stars == "*"
        default = "" if stars or each.default is None else f" = {_written(each.default)}"
        yield f"{stars}{each.name}: {_written(each.annotation)}{default}"


def _written(expression: Item) -> str:
    """A type or a value as it is written, with what the library's own names in it stand for."""
    if not isinstance(expression, griffe.Expr):
        return f"{int(expression):_}" if str(expression).isdecimal() else str(expression)
    words = (each if isinstance(each, str) else _meant(each) for each in expression.iterate(flat=True))
    return "".join(words).replace("np.ndarray[Any, Any]", "np.ndarray")


def _meant(name: Item) -> str:
    """A name, or the value that it was given within the library; what has a heading of its own keeps its name."""
    try:
        item = _loaded(PACKAGE).modules_collection[name.canonical_path]
    except KeyError:  # of another library
        return str(name.name)
    listed = name.name in (*_loaded(PACKAGE).exports, *OF_CONTRACT)
    return str(name.name) if listed or not item.is_attribute else _written(item.value)


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
