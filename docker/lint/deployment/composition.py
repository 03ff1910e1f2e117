"""The compose file: its schema, and that every service is closed in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from deployment import documents

__all__ = ["check"]

_PROFILES = {"cpu", "gpu"}


def check(root: Path) -> list[str]:
    """What is wrong with `compose.yaml`."""
    text = (root / "compose.yaml").read_text(encoding="utf-8")
    try:
        (compose,) = documents.parse(documents.interpolate(text), "compose.yaml")
    except ValueError as error:
        return [str(error)]
    faults = documents.against_schema(compose, documents.vendored_schema("compose-spec"))
    if faults:
        return faults
    for name, service in compose["services"].items():
        faults += [f"{name}: {fault}" for fault in (*_check_closed(service), *_check_files(service, root))]
    return faults + _check_profiles(compose["services"])


def _check_closed(service: dict[str, Any]) -> list[str]:
    user = str(service.get("user", "root"))
    expected = {
        "read_only must be true": service.get("read_only") is True,
        "cap_drop must be ALL": service.get("cap_drop") == ["ALL"],
        "no-new-privileges is missing": "no-new-privileges:true" in service.get("security_opt", []),
        f"the user must not be root and is {user}": user.partition(":")[0].isdigit() and not user.startswith("0"),
        "it has no limits of cpus, memory and pids": set(_limits(service)) == {"cpus", "memory", "pids"},
        "it has no healthcheck": bool(service.get("healthcheck", {}).get("test")),
        "its image has no version": any(digit.isdigit() for digit in service["image"].partition(":")[2]),
        "privileged is not allowed": not service.get("privileged"),
        "a network or process space of the host is not allowed": not {"network_mode", "pid", "ipc"} & set(service),
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
            faults += [] if (root / source).exists() else [f"mounts {source}, which is not there"]
            faults += [] if read_only else [f"may write to {source} of the host"]
    build = service.get("build")
    if build and not (root / build["context"] / build["dockerfile"]).is_file():
        faults.append(f"is built from {build['dockerfile']}, which is not there")
    return faults


def _check_profiles(services: dict[str, Any]) -> list[str]:
    faults = [
        f"{name}: its profiles are not of {', '.join(sorted(_PROFILES))}"
        for name, service in services.items()
        if not set(service.get("profiles", [])) or not set(service["profiles"]) <= _PROFILES
    ]
    with_gpu = {name for name, service in services.items() if _devices(service)}
    only_gpu = {
        name for name, service in services.items() if service.get("build") and service.get("profiles") == ["gpu"]
    }
    return faults + [f"{name}: only the server of the profile gpu reserves a GPU" for name in with_gpu ^ only_gpu]


def _devices(service: dict[str, Any]) -> list[Any]:
    devices: list[Any] = service.get("deploy", {}).get("resources", {}).get("reservations", {}).get("devices", [])
    return [device for device in devices if "gpu" in device.get("capabilities", [])]
