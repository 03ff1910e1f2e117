"""Faults in the rules of gradient maps, each of which the gate must reject."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import tensorflow as tf
from keras import layers

from camserve.export.graph import derivatives, gradient_maps, normalization_rules, rules, weighted_rules
from camserve.export.graph.backward import Product, Rule

__all__ = ["FAULTS", "FAULTS_OF_NORMALIZATIONS", "Monkey", "wrong_cell"]

Monkey = pytest.MonkeyPatch


def with_layer(monkeypatch: Monkey, layer: type, change: Callable[[Rule], Rule]) -> None:
    """Change the backward rule of a layer."""
    make = rules._LAYERS[layer]

    def changed(step: Any) -> Rule:
        rule = make(step)
        assert rule is not None
        return change(rule)

    monkeypatch.setitem(rules._LAYERS, layer, changed)


def forgotten_activation(name: str) -> Callable[[Monkey], None]:
    """Take an activation for the identity."""
    forgotten = replace(derivatives._ACTIVATIONS[name], at=tf.ones_like)
    return lambda monkeypatch: monkeypatch.setitem(derivatives._ACTIVATIONS, name, forgotten)


def wrong_cell(monkeypatch: Monkey) -> None:
    """Give the derivative of a maximum to the next position."""

    def shifted(rule: Rule) -> Rule:
        def backward(after: Any, tensors: Any) -> list[Product]:
            (product,) = rule.backward(after, tensors)
            return [Product(product.each, tf.roll(product.shared, 1, axis=2))]

        return replace(rule, backward=backward)

    with_layer(monkeypatch, layers.GlobalMaxPooling2D, shifted)


def forgotten_size(monkeypatch: Monkey) -> None:
    """Take an average for a sum."""

    def times_positions(rule: Rule) -> Rule:
        return replace(rule, backward=lambda after, tensors: [Product(64 * rule.backward(after, tensors)[0].each)])

    with_layer(monkeypatch, layers.GlobalAveragePooling2D, times_positions)


def forgotten_deviation(monkeypatch: Monkey) -> None:
    """Take the mean and the deviation of a normalization for constants."""

    def constant(rule: Rule) -> Rule:
        def backward(after: Any, tensors: Any) -> list[Product]:
            centered = tensors[0] - tf.reduce_mean(tensors[0], -1, keepdims=True)
            deviation = tf.math.rsqrt(tf.reduce_mean(centered * centered, -1, keepdims=True) + 1e-3)
            return [Product(after * tf.expand_dims(deviation, 1))]

        return replace(rule, backward=backward)

    with_layer(monkeypatch, layers.LayerNormalization, constant)


def swapped_branches(monkeypatch: Monkey) -> None:
    """Give the derivative of the average to the maximum."""
    with_layer(
        monkeypatch,
        layers.Concatenate,
        lambda rule: replace(rule, backward=lambda after, tensors: rule.backward(after, tensors)[::-1]),
    )


def next_class(monkeypatch: Monkey) -> None:
    """Compute the maps of the next classes."""
    original = gradient_maps.GradientMaps._backward
    monkeypatch.setattr(
        gradient_maps.GradientMaps, "_backward", lambda self, best, tensors: original(self, (best + 1) % 6, tensors)
    )


FAULTS: dict[str, Callable[[Monkey], None]] = {
    "the derivative of ReLU forgotten": forgotten_activation("relu"),
    "the derivative of swish forgotten": forgotten_activation("silu"),
    "the wrong cell of the maximum": wrong_cell,
    "the number of positions forgotten": forgotten_size,
    "the deviation taken for a constant": forgotten_deviation,
    "average and maximum swapped": swapped_branches,
    "the wrong class": next_class,
}


def mean_forgotten(monkeypatch: Monkey) -> None:
    """Take the mean of a group for a constant."""
    before = normalization_rules._before_moments
    monkeypatch.setattr(
        normalization_rules,
        "_before_moments",
        lambda after, inputs, axes, epsilon, centered: before(
            after,
            inputs - tf.reduce_mean(inputs, axes, keepdims=True) if centered else inputs,
            axes,
            epsilon,
            centered=False,
        ),
    )


def constant_size(layer: type) -> Callable[[Monkey], None]:
    """Take what a layer divides by for a constant: leave out the part of a derivative that is along the values."""

    def of_size(monkeypatch: Monkey) -> None:
        def constant(rule: Rule) -> Rule:
            def backward(after: Any, tensors: Any) -> list[Product]:
                length = tf.norm(tensors[0], axis=-1, keepdims=True)
                count = 1.0 if layer is layers.UnitNormalization else float(tensors[0].shape[-1])
                return [Product(after * tf.expand_dims(count**0.5 / length, 1))]

            return replace(rule, backward=backward)

        with_layer(monkeypatch, layer, constant)

    return of_size


def sum_of_softmax_forgotten(monkeypatch: Monkey) -> None:
    """Take what a softmax divides by for a constant."""
    monkeypatch.setattr(derivatives.Derivative, "before", lambda self, after, tensor: Product(after, self.at(tensor)))


def depthwise_forgotten(monkeypatch: Monkey) -> None:
    """Give every position of the grid the weights of the first."""
    spread = weighted_rules._spread
    monkeypatch.setattr(weighted_rules, "_spread", lambda after, kernel: spread(after, kernel[:1, :1] + 0 * kernel))


FAULTS_OF_NORMALIZATIONS: dict[str, Callable[[Monkey], None]] = {
    "the derivative of GELU forgotten": forgotten_activation("gelu"),
    "the mean of a group forgotten": mean_forgotten,
    "the mean square taken for a constant": constant_size(layers.RMSNormalization),
    "the length taken for a constant": constant_size(layers.UnitNormalization),
    "the sum of a softmax forgotten": sum_of_softmax_forgotten,
    "one weight at all positions": depthwise_forgotten,
}
