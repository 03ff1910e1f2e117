"""Malicious model files: each touches a canary file or exhausts memory if it is loaded without checks."""

from __future__ import annotations

from attacks import architecture_attacks, archive_attacks, hdf5_attacks, saved_model_attacks
from attacks.architecture_attacks import with_config
from attacks.material import HDF5_SECRET, RAW_SECRET, WRITTEN, Attack

__all__ = ["ATTACKS"]

_UNSAFE = "keras without its safe mode"


def _hdf5(
    title: str, replace: hdf5_attacks.Replace, message: str, vulnerable: str = "h5py", canary: str = HDF5_SECRET
) -> dict[str, Attack]:
    memory = replace is hdf5_attacks.huge_array
    return {
        f"{title} in {name}": Attack(
            hdf5_attacks.bias_replaced(name, replace), message, vulnerable, "weights.h5" in name, memory, canary
        )
        for name in ("model.h5", "own.weights.h5", "model.keras")
    }


ATTACKS: dict[str, Attack] = {
    "a Lambda layer in .keras": Attack(architecture_attacks.lambda_layer("model.keras"), "a Lambda layer", _UNSAFE),
    "a Lambda layer in .h5": Attack(architecture_attacks.lambda_layer("model.h5"), "a Lambda layer", _UNSAFE),
    "a nested Lambda layer in .keras": Attack(
        architecture_attacks.lambda_layer("model.keras", nested=True), "a Lambda layer", _UNSAFE
    ),
    "a nested Lambda layer in .h5": Attack(
        architecture_attacks.lambda_layer("model.h5", nested=True), "a Lambda layer", _UNSAFE
    ),
    "a marshalled activation": Attack(
        with_config(architecture_attacks.marshalled_activation), "a Python function", _UNSAFE
    ),
    "a TFSMLayer": Attack(with_config(saved_model_attacks.tfsm), "a TFSMLayer", _UNSAFE),
    "a class of os": Attack(with_config(architecture_attacks.shell_class), "'system' from module 'os'", None),
    "a function of os": Attack(with_config(architecture_attacks.shell_function), "'system' from module 'os'", None),
    "a function of os under a trusted name": Attack(
        with_config(architecture_attacks.shell_function_under_a_trusted_name),
        "'system' from module 'os'",
        None,
        custom=("custom_objects_module",),
    ),
    "a trusted class of a planted module": Attack(
        with_config(architecture_attacks.trusted_class_of_a_planted_module),
        "'Squeeze' from module 'planted'",
        None,
        custom=("custom_objects_module",),
    ),
    "a planted module in .keras of Keras 2": Attack(
        architecture_attacks.planted_in_keras_2,
        "'Evil' from module 'planted_2'",
        "keras",
        custom=("custom_objects_module",),
    ),
    "a builtin function": Attack(with_config(architecture_attacks.builtin_function), "'exec'", None),
    "a planted package": Attack(
        with_config(architecture_attacks.planted_module), "'Evil' from module 'keras_cv'", "keras"
    ),
    "a download": Attack(with_config(architecture_attacks.download), "a Lambda layer", "keras"),
    "a vocabulary elsewhere": Attack(
        with_config(architecture_attacks.vocabulary), "another file", _UNSAFE, canary=RAW_SECRET
    ),
    "a SavedModel whose graph writes": Attack(
        lambda *to: saved_model_attacks.keras_2_folder(*to, code=False), None, "keras"
    ),
    "a SavedModel with a Lambda layer": Attack(
        lambda *to: saved_model_attacks.keras_2_folder(*to, code=True), "a Lambda layer", "keras"
    ),
    **_hdf5("a link to another file", hdf5_attacks.external_link, "soft or external link"),
    **_hdf5("a link through another file", hdf5_attacks.linked_group, "soft or external link"),
    **_hdf5("an array stored elsewhere", hdf5_attacks.external_storage, "stored in another file", canary=RAW_SECRET),
    **_hdf5("a virtual array", hdf5_attacks.virtual, "stored in other files"),
    **_hdf5("a huge array", hdf5_attacks.huge_array, "would expand to", "keras", WRITTEN),
    "a member above the archive": Attack(
        archive_attacks.extra_member("../../{canary.name}"), "outside the archive", None
    ),
    "a member at an absolute path": Attack(archive_attacks.extra_member("{canary}"), "outside the archive", None),
    "a member that is a link": Attack(archive_attacks.extra_member("assets/link", link=True), "link or device", None),
    "a member twice": Attack(archive_attacks.config_twice, "twice", None),
    "a packed config.json": Attack(
        archive_attacks.packed("config.json"), "the model configuration", "keras", memory=True
    ),
    "packed weights": Attack(archive_attacks.packed("model.weights.h5"), "would expand to", "keras", memory=True),
    "a deep config.json": Attack(archive_attacks.deep_config, "recursion", None, memory=True),
    "a layer of 10^15 units": Attack(with_config(architecture_attacks.huge_layer), "cannot load", None, memory=True),
}
"""The attacks by name."""
