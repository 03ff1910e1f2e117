"""Find the metrics and labels that a PromQL expression uses."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import promql_parser

__all__ = ["Selected", "parse", "selections"]

# Placeholders that Grafana and prometheus-adapter replace before they send the expression to Prometheus.
_PLACEHOLDERS = {
    "$__rate_interval": "1m",
    "$__interval": "1m",
    "$__range": "1h",
    "<<.GroupBy>>": "pod",
    "<<.LabelMatchers>>": 'namespace="camserve"',
}


@dataclass(frozen=True, order=True)
class Selected:
    """A metric of an expression and the labels that it must have.

    Attributes:
        metric: Name of the metric.
        labels: Names of the labels that are matched or grouped by.
        values: Label and value of each match by equality, and of each alternative of a pattern such as `A|B`.
    """

    metric: str
    labels: frozenset[str]
    values: frozenset[tuple[str, str]]


def parse(text: str) -> promql_parser.Expr:
    """Replace the placeholders and parse the expression.

    Raises:
        ValueError: If the expression is invalid.
    """
    for placeholder, value in _PLACEHOLDERS.items():
        text = text.replace(placeholder, value)
    return promql_parser.parse(re.sub(r"\$\{?\w+\}?", ".*", text))


def selections(text: str) -> list[Selected]:
    """Return the metrics of an expression, sorted.

    Raises:
        ValueError: If the expression is invalid.
    """
    return sorted(set(_selected(parse(text), frozenset())))


def _selected(expression: promql_parser.Expr, grouped: frozenset[str]) -> Iterable[Selected]:
    match expression:
        case promql_parser.VectorSelector():
            yield _of_selector(expression, grouped)
        case promql_parser.MatrixSelector():
            yield _of_selector(expression.vector_selector, grouped)
        case promql_parser.AggregateExpr():
            yield from _selected(expression.expr, _grouping(expression.modifier))
        case promql_parser.BinaryExpr():
            for side in (expression.lhs, expression.rhs):
                yield from _selected(side, grouped)
        case promql_parser.Call():
            for argument in expression.args:
                yield from _selected(argument, grouped)
        case promql_parser.ParenExpr() | promql_parser.UnaryExpr() | promql_parser.SubqueryExpr():
            yield from _selected(expression.expr, grouped)


def _of_selector(selector: promql_parser.VectorSelector, grouped: frozenset[str]) -> Selected:
    matchers = selector.matchers.matchers
    return Selected(
        metric=selector.name or "",
        labels=grouped | {matcher.name for matcher in matchers},
        values=frozenset((matcher.name, value) for matcher in matchers for value in _allowed(matcher)),
    )


def _allowed(matcher: promql_parser.Matcher) -> list[str]:
    if matcher.op == promql_parser.MatchOp.Equal:
        return [matcher.value]
    if matcher.op == promql_parser.MatchOp.Re and re.fullmatch(r"\w+(\|\w+)*", matcher.value):
        return matcher.value.split("|")
    return []


def _grouping(modifier: promql_parser.AggModifier | None) -> frozenset[str]:
    if modifier is None or modifier.type != promql_parser.AggModifierType.By:
        return frozenset()
    return frozenset(modifier.labels)
