"""Check the Kubernetes files against schemas, and the security settings of their pods."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate

from deployment import documents, kustomize, promql

__all__ = ["adapter_queries", "check", "check_document"]

_VERSIONS = ("1.30", "1.37")
_CUSTOM_SCHEMAS = {
    "InferenceService": "kserve-inference-service",
    "Kustomization": "kustomization",
    "ServiceMonitor": "service-monitor",
    "ServingRuntime": "kserve-serving-runtime",
}
_ADAPTER = "monitoring/prometheus-adapter.yaml"


def check(root: Path) -> list[str]:
    """Return the faults of the files in `kubernetes/`."""
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
    """Return the PromQL expressions of each metric that prometheus-adapter provides, by name."""
    (values,) = documents.read(root / "kubernetes" / _ADAPTER)
    queries = {}
    for rule in values["rules"]["custom"]:
        queries[rule["name"]["as"]] = rule["metricsQuery"]
        queries[f"{rule['name']['as']} series"] = rule["seriesQuery"]
    return queries


def check_document(document: Any, folder: Path) -> list[str]:
    """Return the faults of one resource of a file in `folder`, and of the resources that a kustomization patches."""
    kind = document.get("kind")
    if kind in _CUSTOM_SCHEMAS:
        faults = documents.validate(document, documents.own_schema(_CUSTOM_SCHEMAS[kind]))
    else:
        faults = _validate(document)
    if faults:
        return faults
    if kind == "Kustomization":
        return _check_files(document, folder) or _check_patched(folder)
    if kind == "ServingRuntime":
        return [*_validate(_as_pod(document["spec"])), *_check_pod(document["spec"])]
    if kind == "Deployment":
        return _check_pod(document["spec"]["template"]["spec"])
    return []


def _validate(document: Any) -> list[str]:
    faults = []
    for version in _VERSIONS:
        try:
            kubernetes_validate.validate(document, version, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            faults.append(f"Kubernetes {version} has no {document.get('kind')} in {document.get('apiVersion')}")
        except kubernetes_validate.ValidationError as error:
            place = ".".join(str(part) for part in error.path)
            faults.append(f"Kubernetes {version} rejects {place}: {error.message}")
    return faults


def _as_pod(spec: dict[str, Any]) -> dict[str, Any]:
    """Return the containers and volumes of a ServingRuntime as a pod."""
    parts = {name: spec[name] for name in ("containers", "volumes") if name in spec}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "runtime"}, "spec": parts}


def _check_files(kustomization: dict[str, Any], folder: Path) -> list[str]:
    named = [*kustomization.get("resources", []), *(patch["path"] for patch in kustomization.get("patches", []))]
    return [f"references {name}, which does not exist" for name in named if not (folder / name).exists()]


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
        "it can run as root": security.get("runAsNonRoot") is True and security.get("runAsUser", 0) > 0,
        "its root file system is writable": security.get("readOnlyRootFilesystem") is True,
        "it can gain privileges": security.get("allowPrivilegeEscalation") is False,
        "it keeps capabilities": security.get("capabilities", {}).get("drop") == ["ALL"],
        "it has no seccomp profile": security.get("seccompProfile", {}).get("type") == "RuntimeDefault",
        "a probe is missing": {"startupProbe", "readinessProbe", "livenessProbe"} <= set(container),
        "its image has no version": any(digit.isdigit() for digit in container["image"].partition(":")[2]),
    }
    yield from (fault for fault, holds in expected.items() if not holds)
    for mount in container.get("volumeMounts", []):
        if mount["name"] in ("models", "admin-key") and not mount.get("readOnly"):
            yield f"{mount['name']} must be mounted read-only"


def _check_adapter(values: Any) -> list[str]:
    faults = documents.validate(values, documents.own_schema("prometheus-adapter"))
    if faults:
        return faults
    for rule in values["rules"]["custom"]:
        for query in (rule["seriesQuery"], rule["metricsQuery"]):
            try:
                promql.parse(query)
            except ValueError as error:
                faults.append(f"{rule['name']['as']}: {error}")
    return faults
