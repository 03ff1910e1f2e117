"""Extension of Griffe: show each serving option with its default and its help, not with its whole declaration."""

from __future__ import annotations

import ast
from typing import Any

import griffe

_DECLARE = "declare"


class DeclaredOptions(griffe.Extension):
    """Replace the value `declare(default, kind, help, ...)` of an attribute by its default, and document it."""

    def on_attribute_instance(self, *, node: Any, attr: griffe.Attribute, **kwargs: Any) -> None:  # noqa: ARG002
        """Change an attribute whose value is a declaration."""
        if not isinstance(attr.value, griffe.ExprCall) or attr.value.canonical_name != _DECLARE:
            return
        default, _, explanation = node.value.args[:3]
        attr.value = ast.unparse(default)
        attr.docstring = griffe.Docstring(ast.literal_eval(explanation), parent=attr)
