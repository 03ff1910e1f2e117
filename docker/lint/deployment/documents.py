"""Reading YAML, and holding it to a JSON schema."""

from __future__ import annotations

import json
import re
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import yaml

__all__ = ["against_schema", "check_file", "interpolate", "own_schema", "parse", "read", "vendored_schema"]

_VARIABLE = re.compile(r"\$\{\w+:-(?P<default>[^}]*)\}")


def read(path: Path) -> list[Any]:
    """The documents of a YAML file.

    Raises:
        ValueError: If it is no YAML, or a key stands in it twice.
    """
    return parse(path.read_text(encoding="utf-8"), path.name)


def parse(text: str, name: str) -> list[Any]:
    """The documents of a YAML text.

    Raises:
        ValueError: If it is no YAML, or a key stands in it twice.
    """
    try:
        return [document for document in yaml.load_all(text, Loader=_StrictLoader) if document is not None]
    except yaml.YAMLError as error:
        raise ValueError(f"{name} cannot be read: {error}") from error


def interpolate(text: str) -> str:
    """A compose file with the default of each of its variables put in."""
    return _VARIABLE.sub(lambda match: match["default"], text)


def own_schema(name: str) -> Any:
    """A schema of the folder `schemas`."""
    return json.loads((Path(__file__).parent / "schemas" / f"{name}.json").read_text(encoding="utf-8"))


def vendored_schema(name: str) -> Any:
    """A schema that check-jsonschema brings along."""
    folder = resources.files("check_jsonschema") / "builtin_schemas" / "vendor"
    return json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))


def against_schema(document: Any, schema: Any) -> list[str]:
    """What in a document its schema does not allow."""
    validator = jsonschema.validators.validator_for(schema)(schema)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def check_file(path: Path, schema: str) -> list[str]:
    """What is wrong with a YAML file of one document, held to a schema of ours."""
    try:
        (document,) = read(path)
    except ValueError as error:
        return [str(error)]
    return [f"{path.name}: {fault}" for fault in against_schema(document, own_schema(schema))]


class _StrictLoader(yaml.SafeLoader):
    """Refuses a mapping that has a key twice, where YAML would keep the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value if key.tag != "tag:yaml.org,2002:merge"]
        twice = {key for key in keys if isinstance(key, str) and keys.count(key) > 1}
        if twice:
            raise yaml.YAMLError(f"{', '.join(sorted(twice))} stands twice{node.start_mark}")
        return super().construct_mapping(node, deep)
