"""Seed the random weights of models, once per module and before each test."""

import keras
import pytest


@pytest.fixture(scope="module", autouse=True)
def _seed_of_module() -> None:
    keras.utils.set_random_seed(0)


@pytest.fixture(autouse=True)
def _seed_of_test(_seed_of_module: None) -> None:
    keras.utils.set_random_seed(0)
