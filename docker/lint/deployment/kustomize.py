"""What a kustomization's patches make of its resources: as much of kustomize as these files use.

Mappings are merged; lists whose items have names are merged by name; other lists are replaced.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deployment import documents

__all__ = ["is_patch", "merge", "patched", "resources"]

_FILE = "kustomization.yaml"


def is_patch(path: Path) -> bool:
    """Whether a file is a patch of the kustomization beside it, and so no whole resource."""
    kustomization = path.with_name(_FILE)
    if not kustomization.is_file():
        return False
    (document,) = documents.read(kustomization)
    return path.name in {patch["path"] for patch in document.get("patches", [])}


def resources(folder: Path) -> list[Any]:
    """The resources of a kustomization, those of the kustomizations it builds on included.

    Raises:
        ValueError: If one is not there.
    """
    (document,) = documents.read(folder / _FILE)
    found = []
    for name in document["resources"]:
        path = folder / name
        if not path.exists():
            raise ValueError(f"{folder.name} names {name}, which is not there")
        found += resources(path) if path.is_dir() else documents.read(path)
    return found


def patched(folder: Path) -> list[Any]:
    """The resources that the patches of a kustomization change, as it makes them.

    Raises:
        ValueError: If a resource is not there, or a patch has none to change.
    """
    (document,) = documents.read(folder / _FILE)
    by_name = {_identity(resource): resource for resource in resources(folder)}
    made = []
    for patch in document.get("patches", []):
        for change in documents.read(folder / patch["path"]):
            if _identity(change) not in by_name:
                raise ValueError(f"{patch['path']} changes {' '.join(_identity(change))}, which is not there")
            made.append(merge(by_name[_identity(change)], change))
    return made


def merge(resource: Any, change: Any) -> Any:
    """A resource with a change put over it."""
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
