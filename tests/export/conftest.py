"""Random weights that are the same in every run, of a model that a module shares as of one that a test makes."""

import keras
import pytest


@pytest.fixture(scope="module", autouse=True)
def _seed_of_module() -> None:
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _seed_of_test(_seed_of_module: None) -> None:
    keras.utils.set_random_seed(0)
