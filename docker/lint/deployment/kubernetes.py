"""The Kubernetes files: Kubernetes's own schemas, schemas of ours for kinds that it does not know, and the pods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate

from deployment import documents, kustomize, promql

__all__ = ["adapter_queries", "check", "check_document"]

_VERSIONS = ("1.30", "1.37")
_FOREIGN = {
    "InferenceService": "kserve-inference-service",
    "Kustomization": "kustomization",
    "ServiceMonitor": "service-monitor",
    "ServingRuntime": "kserve-serving-runtime",
}
_ADAPTER = "monitoring/prometheus-adapter.yaml"


def check(root: Path) -> list[str]:
    """What is wrong with the files of `kubernetes/`."""
    folder = root / "kubernetes"
    faults = []
    for path in sorted(folder.rglob("*.yaml")):
        name = path.relative_to(folder).as_posix()
        try:
            found = documents.read(path)
        except ValueError as error:
            faults.append(str(error))
            continue
        if name == _ADAPTER:
            faults += [f"{name}: {fault}" for fault in _check_adapter(found[0])]
        elif not kustomize.is_patch(path):
            faults += [f"{name}: {fault}" for document in found for fault in check_document(document, path.parent)]
    return faults


def adapter_queries(root: Path) -> dict[str, str]:
    """The expression of each metric that prometheus-adapter offers, and its series, by the metric's name."""
    (values,) = documents.read(root / "kubernetes" / _ADAPTER)
    queries = {}
    for rule in values["rules"]["custom"]:
        queries[rule["name"]["as"]] = rule["metricsQuery"]
        queries[f"{rule['name']['as']} series"] = rule["seriesQuery"]
    return queries


def check_document(document: Any, folder: Path) -> list[str]:
    """What is wrong with one resource of a file in `folder`; with a kustomization, also with what it makes."""
    kind = document.get("kind")
    if kind in _FOREIGN:
        faults = documents.against_schema(document, documents.own_schema(_FOREIGN[kind]))
    else:
        faults = _against_kubernetes(document)
    if faults:
        return faults
    if kind == "Kustomization":
        return _check_files(document, folder) or _check_patched(folder)
    if kind == "ServingRuntime":
        return [*_against_kubernetes(_as_pod(document["spec"])), *_check_pod(document["spec"])]
    if kind == "Deployment":
        return _check_pod(document["spec"]["template"]["spec"])
    return []


def _against_kubernetes(document: Any) -> list[str]:
    faults = []
    for version in _VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            faults.append(f"Kubernetes {version} knows no {document.get('kind')} of {document.get('apiVersion')}")
        except kubernetes_validate.ValidationError as error:
            place = ".".join(str(part) for part in error.path)
            faults.append(f"Kubernetes {version} refuses {place}: {error.message}")
    return faults


def _as_pod(spec: dict[str, Any]) -> dict[str, Any]:
    """The part of a ServingRuntime that becomes a pod, as one."""
    parts = {name: spec[name] for name in ("containers", "volumes") if name in spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "runtime"}, "spec": parts}


def _check_files(kustomization: dict[str, Any], folder: Path) -> list[str]:
    named = [*kustomization.get("resources", []), *(patch["path"] for patch in kustomization.get("patches", []))]
    return [f"names {name}, which is not there" for name in named if not (folder / name).exists()]


def _check_patched(folder: Path) -> list[str]:
    try:
        made = kustomize.patched(folder)
    except ValueError as error:
        return [str(error)]
    return [fault for document in made for fault in check_document(document, folder)]


def _check_pod(spec: dict[str, Any]) -> list[str]:
    faults = []
    for container in spec["containers"]:
        faults += [f"{container['name']}: {fault}" for fault in _check_container(container, spec)]
    return faults


def _check_container(container: dict[str, Any], spec: dict[str, Any]) -> Iterator[str]:
    security = {**spec.get("securityContext", {}), **container.get("securityContext", {})}
    expected = {
        "it may run as root": security.get("runAsNonRoot") is True and security.get("runAsUser", 0) > 0,
        "its root can be written": security.get("readOnlyRootFilesystem") is True,
        "it may gain privileges": security.get("allowPrivilegeEscalation") is False,
        "it keeps capabilities": security.get("capabilities", {}).get("drop") == ["ALL"],
        "it has no seccomp profile": security.get("seccompProfile", {}).get("type") == "RuntimeDefault",
        "it lacks a probe": {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container),
        "its image has no version": any(digit.isdigit() for digit in container["image"].partition(":")[2]),
    }
    yield from (fault for fault, holds in expected.items() if not holds)
    for mount in container.get("volumeMounts", []):
        if mount["name"] in ("models", "admin-key") and not mount.get("readOnly"):
            yield f"{mount['name']} is mounted to be written"


def _check_adapter(values: Any) -> list[str]:
    faults = documents.against_schema(values, documents.own_schema("prometheus-adapter"))
    if faults:
        return faults
    for rule in values["rules"]["custom"]:
        for query in (rule["seriesQuery"], rule["metricsQuery"]):
            try:
                promql.parse(query)
            except ValueError as error:
                faults.append(f"{rule['name']['as']}: {error}")
    return faults
