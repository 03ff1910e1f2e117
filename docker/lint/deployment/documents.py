"""Read YAML files and validate them against JSON schemas."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import yaml

__all__ = ["check_file", "interpolate", "own_schema", "parse", "read", "validate", "vendored_schema"]

_VARIABLE = re.compile(r"\$\{\w+:-(?P<default>[^}]*)\}")


def read(path: Path) -> list[Any]:
    """Return the documents of a YAML file.

    Raises:
        ValueError: If it is invalid YAML, or a mapping contains a key twice.
    """
    return parse(path.read_text(encoding="utf-8"), path.name)


def parse(text: str, name: str) -> list[Any]:
    """Return the documents of a YAML text.

    Raises:
        ValueError: If it is invalid YAML, or a mapping contains a key twice.
    """
    try:
        return [document for document in yaml.load_all(text, Loader=_StrictLoader) if document is not None]
    except yaml.YAMLError as error:
        raise ValueError(f"{name} is invalid: {error}") from error


def interpolate(text: str) -> str:
    """Replace each variable of a compose file by its default."""
    return _VARIABLE.sub(lambda match: match["default"], text)


def own_schema(name: str) -> Any:
    """Load a schema from the folder `schemas`."""
    return json.loads((Path(__file__).parent / "schemas" / f"{name}.json").read_text(encoding="utf-8"))


def vendored_schema(name: str) -> Any:
    """Load a schema that check-jsonschema contains."""
    folder = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def validate(document: Any, schema: Any) -> list[str]:
    """Return the violations of a schema."""
    validator = jsonschema.validators.validator_for(schema)(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def check_file(path: Path, schema: str) -> list[str]:
    """Return the faults of a YAML file with one document; `schema` names a file in the folder `schemas`."""
    try:
        (document,) = read(path)
    except ValueError as error:
        return [str(error)]
    return [f"{path.name}: {fault}" for fault in validate(document, own_schema(schema))]


class _StrictLoader(yaml.SafeLoader):
    """Reject a mapping with a repeated key, of which YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        repeated = {key for key in keys if isinstance(key, str) and keys.count(key) > 1}
        if repeated:
            raise yaml.YAMLError(f"repeated key {', '.join(sorted(repeated))}{node.start_mark}")
        return super().construct_mapping(node, deep)
