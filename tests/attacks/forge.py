"""Model files that attack whoever loads them: each does harm to a canary, or to memory, where nothing stops it."""

from __future__ import annotations

from attacks import architecture, archives, arrays, saved_models
from attacks.architecture import with_config
from attacks.material import HDF5_SECRET, RAW_SECRET, WRITTEN, Attack

__all__ = ["ATTACKS"]

_UNSAFE = "keras without its safe mode"


def _hdf5(
    title: str, replace: arrays.Replace, says: str, alone: str = "h5py", canary: str = HDF5_SECRET
) -> dict[str, Attack]:
    memory = replace is arrays.huge_array
    return {
        f"{title} in {name}": Attack(
            arrays.bias_replaced(name, replace), says, alone, "weights.h5" in name, memory, canary
        )
        for name in ("model.h5", "own.weights.h5", "model.keras")
    }


ATTACKS: dict[str, Attack] = {
    "a Lambda layer in .keras": Attack(architecture.lambda_layer("model.keras"), "a Lambda layer", _UNSAFE),
    "a Lambda layer in .h5": Attack(architecture.lambda_layer("model.h5"), "a Lambda layer", _UNSAFE),
    "a nested Lambda layer in .keras": Attack(
        architecture.lambda_layer("model.keras", nested=True), "a Lambda layer", _UNSAFE
    ),
    "a nested Lambda layer in .h5": Attack(
        architecture.lambda_layer("model.h5", nested=True), "a Lambda layer", _UNSAFE
    ),
    "a marshalled activation": Attack(with_config(architecture.marshalled_activation), "a Python function", _UNSAFE),
    "a TFSMLayer": Attack(with_config(saved_models.tfsm), "a TFSMLayer", _UNSAFE),
    "a class of os": Attack(with_config(architecture.shell_class), "'system' of the module 'os'", None),
    "a function of os": Attack(with_config(architecture.shell_function), "'system' of the module 'os'", None),
    "a function of os under a trusted name": Attack(
        with_config(architecture.shell_function_under_a_trusted_name),
        "'system' of the module 'os'",
        None,
        custom=("brought",),
    ),
    "a trusted class of a planted module": Attack(
        with_config(architecture.trusted_class_of_a_planted_module),
        "'Squeeze' of the module 'planted'",
        None,
        custom=("brought",),
    ),
    "a planted module in .keras of Keras 2": Attack(
        architecture.planted_in_keras_2, "'Evil' of the module 'planted_2'", "keras", custom=("brought",)
    ),
    "a builtin function": Attack(with_config(architecture.builtin_function), "'exec'", None),
    "a planted package": Attack(with_config(architecture.planted_module), "'Evil' of the module 'keras_cv'", "keras"),
    "a download": Attack(with_config(architecture.download), "a Lambda layer", "keras"),
    "a vocabulary elsewhere": Attack(with_config(architecture.vocabulary), "another file", _UNSAFE, canary=RAW_SECRET),
    "a SavedModel whose graph writes": Attack(lambda *to: saved_models.keras_2_folder(*to, code=False), None, "keras"),
    "a SavedModel with a Lambda layer": Attack(
        lambda *to: saved_models.keras_2_folder(*to, code=True), "a Lambda layer", "keras"
    ),
    **_hdf5("a link to another file", arrays.external_link, "leads elsewhere"),
    **_hdf5("a link through another file", arrays.linked_group, "leads elsewhere"),
    **_hdf5("an array stored elsewhere", arrays.external_storage, "kept in another file", canary=RAW_SECRET),
    **_hdf5("a virtual array", arrays.virtual, "kept in other files"),
    **_hdf5("a huge array", arrays.huge_array, "would take", "keras", WRITTEN),
    "a member above the archive": Attack(archives.extra_member("../../{canary.name}"), "outside of it", None),
    "a member at an absolute path": Attack(archives.extra_member("{canary}"), "outside of it", None),
    "a member that is a link": Attack(archives.extra_member("assets/link", link=True), "link or device", None),
    "a member twice": Attack(archives.config_twice, "twice", None),
    "a packed config.json": Attack(archives.packed("config.json"), "describes its network in", "keras", memory=True),
    "packed weights": Attack(archives.packed("model.weights.h5"), "would take", "keras", memory=True),
    "a deep config.json": Attack(archives.deep_config, "recursion", None, memory=True),
    "a layer of a million million units": Attack(
        with_config(architecture.huge_layer), "cannot be loaded", None, memory=True
    ),
}
"""Each by name."""
