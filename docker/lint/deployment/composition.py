"""Check the compose file against its schema, and every service for isolation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deployment import documents

__all__ = ["check"]

_GPU_PROFILES = {"gpu", "gpu-fixed-sizes"}
_PROFILES = {"cpu", *_GPU_PROFILES}


def check(root: Path) -> list[str]:
    """Return the faults of `compose.yaml`."""
    text = (root / "compose.yaml").read_text(encoding="utf-8")
    try:
        (compose,) = documents.parse(documents.interpolate(text), "compose.yaml")
    except ValueError as error:
        return [str(error)]
    faults = documents.validate(compose, documents.vendored_schema("compose-spec"))
    if faults:
        return faults
    for name, service in compose["services"].items():
        faults += [f"{name}: {fault}" for fault in (*_check_isolation(service), *_check_files(service, root))]
    return faults + _check_profiles(compose["services"])


def _check_isolation(service: dict[str, Any]) -> list[str]:
    user = str(service.get("user", "root"))
    expected = {
        "read_only must be true": service.get("read_only") is True,
        "cap_drop must be [ALL]": service.get("cap_drop") == ["ALL"],
        "no-new-privileges is missing": "no-new-privileges:true" in service.get("security_opt", []),
        f"user must be numeric and not 0, got {user}": user.partition(":")[0].isdigit() and not user.startswith("0"),
        "limits of cpus, memory and pids are required": set(_limits(service)) == {"cpus", "memory", "pids"},
        "healthcheck is missing": bool(service.get("healthcheck", {}).get("test")),
        "the image has no version": any(digit.isdigit() for digit in service["image"].partition(":")[2]),
        "privileged is not allowed": not service.get("privileged"),
        "namespaces of the host are not allowed": not {"network_mode", "pid", "ipc"} & set(service),
    }
    open_ports = [port for port in service.get("ports", []) if not str(port).startswith("127.0.0.1:")]
    return [fault for fault, holds in expected.items() if not holds] + [
        f"port {port} is open to other hosts" for port in open_ports
    ]


def _limits(service: dict[str, Any]) -> dict[str, Any]:
    limits: dict[str, Any] = service.get("deploy", {}).get("resources", {}).get("limits", {})
    return limits


def _check_files(service: dict[str, Any], root: Path) -> list[str]:
    faults = []
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            source, read_only = volume["source"], volume.get("read_only", False)
        else:
            source, _, rest = volume.partition(":")
            read_only = rest.endswith(":ro")
        if source.startswith("."):
            faults += [] if (root / source).exists() else [f"mounts {source}, which does not exist"]
            faults += [] if read_only else [f"the mount of {source} must be read-only"]
    build = service.get("build")
    if build and not (root / build["context"] / build["dockerfile"]).is_file():
        faults.append(f"is built from {build['dockerfile']}, which does not exist")
    return faults


def _check_profiles(services: dict[str, Any]) -> list[str]:
    faults = [
        f"{name}: profiles must be among {', '.join(sorted(_PROFILES))}"
        for name, service in services.items()
        if not set(service.get("profiles", [])) or not set(service["profiles"]) <= _PROFILES
    ]
    with_gpu = {name for name, service in services.items() if _devices(service)}
    only_gpu = {
        name
        for name, service in services.items()
        if service.get("build") and set(service.get("profiles", [])) <= _GPU_PROFILES
    }
    return faults + [f"{name}: only the server of a GPU profile may reserve a GPU" for name in with_gpu ^ only_gpu]


def _devices(service: dict[str, Any]) -> list[Any]:
    devices: list[Any] = service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
    return [device for device in devices if "gpu" in device.get("capabilities", [])]
