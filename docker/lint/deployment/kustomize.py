"""Apply the patches of a kustomization, as far as the files of `docker/kubernetes` need it.

Mappings are merged; lists whose items have names are merged by name; other lists are replaced.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deployment import documents

__all__ = ["is_patch", "merge", "patched", "resources"]

_FILE = "kustomization.yaml"


def is_patch(path: Path) -> bool:
    """Return whether a file is a patch of the kustomization in its folder."""
    kustomization = path.with_name(_FILE)
    if not kustomization.is_file():
        return False
    (document,) = documents.read(kustomization)
    return path.name in {patch["path"] for patch in document.get("patches", [])}


def resources(folder: Path) -> list[Any]:
    """Return the resources of a kustomization and of the kustomizations that it includes.

    Raises:
        ValueError: If a resource does not exist.
    """
    (document,) = documents.read(folder / _FILE)
    found = []
    for name in document["resources"]:
        path = folder / name
        if not path.exists():
            raise ValueError(f"{folder.name} references {name}, which does not exist")
        found += resources(path) if path.is_dir() else documents.read(path)
    return found


def patched(folder: Path) -> list[Any]:
    """Return the resources that a kustomization patches, with the patches applied.

    Raises:
        ValueError: If a resource, or the target of a patch, does not exist.
    """
    (document,) = documents.read(folder / _FILE)
    by_name = {_identity(resource): resource for resource in resources(folder)}
    made = []
    for patch in document.get("patches", []):
        for change in documents.read(folder / patch["path"]):
            if _identity(change) not in by_name:
                raise ValueError(f"{patch['path']} patches {' '.join(_identity(change))}, which does not exist")
            made.append(merge(by_name[_identity(change)], change))
    return made


def merge(resource: Any, change: Any) -> Any:
    """Merge a patch into a resource."""
    if isinstance(resource, dict) and isinstance(change, dict):
        return {**resource, **{key: merge(resource.get(key), value) for key, value in change.items()}}
    if _named(resource) and _named(change):
        changes = {item["name"]: item for item in change}
        kept = [merge(item, changes.pop(item["name"], {})) for item in resource]
        return [*changes.values(), *kept]
    return change


def _named(items: Any) -> bool:
    return isinstance(items, list) and all(isinstance(item, dict) and "name" in item for item in items)


def _identity(resource: Any) -> tuple[str, str]:
    return resource["kind"], resource["metadata"]["name"]
