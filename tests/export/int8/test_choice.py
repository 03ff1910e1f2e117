"""`--int8-layers`: what it accepts, and which layers it chooses."""

from __future__ import annotations

import pytest

from camserve.errors import UsageError
from camserve.export.int8.choice import LayerChoice

LAYERS = ("conv1", "block_1_expand", "block_1_depthwise", "block_2_depthwise", "conv[2]")


@pytest.mark.parametrize("text", ["auto", "all", "all,-conv1", "all,-conv1,-block_*"])
def test_choice_is_written_as_it_is_read(text: str) -> None:
    assert str(LayerChoice.parse(text)) == text


def test_only_auto_is_repaired() -> None:
    assert LayerChoice.parse("auto") == LayerChoice()
    assert LayerChoice.parse("auto").repaired
    assert not LayerChoice.parse("all").repaired
    assert not LayerChoice.parse(" all , -conv1 ").repaired


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "int8_layers must begin with auto or all, got ''"),
        ("none", "int8_layers must begin with auto or all, got 'none'"),
        ("-conv1", "int8_layers must begin with auto or all, got '-conv1'"),
        ("auto,-conv1", "int8_layers must begin with auto or all, got 'auto,-conv1'"),
        ("all,conv1", "int8_layers: expected -NAME after all, got 'conv1'"),
        ("all,-", "int8_layers: expected -NAME after all, got '-'"),
    ],
)
def test_other_text_is_refused_with_an_example(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as raised:
        LayerChoice.parse(text)
    assert raised.value.message == problem
    assert "--int8-layers all,-NAME,-NAME" in str(raised.value.hint)


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        ("auto", ()),
        ("all", ()),
        ("all,-conv1", ("conv1",)),
        ("all,-*depthwise,-conv1", ("conv1", "block_1_depthwise", "block_2_depthwise")),
        ("all,-block_1_*", ("block_1_expand", "block_1_depthwise")),
        ("all,-conv[2]", ("conv[2]",)),
    ],
)
def test_patterns_choose_layers_in_the_order_of_the_network(text: str, chosen: tuple[str, ...]) -> None:
    assert LayerChoice.parse(text).float_layers(LAYERS) == chosen


def test_unknown_layer_is_refused_with_close_names() -> None:
    with pytest.raises(UsageError) as raised:
        LayerChoice.parse("all,-block_1_depthwse").float_layers(LAYERS)
    assert raised.value.message == (
        "--int8-layers all,-block_1_depthwse: no layer that int8 quantizes is named 'block_1_depthwse'"
    )
    hint = str(raised.value.hint)
    assert hint.startswith("Did you mean 'block_1_depthwise' or 'block_2_depthwise'")
    assert "model.summary()" in hint
    assert "int8 quantizes 5 layers: 'conv1', 'block_1_expand'" in hint


def test_no_layer_left_is_refused() -> None:
    with pytest.raises(UsageError, match=r"--int8-layers all,-\* leaves no layer to quantize"):
        LayerChoice.parse("all,-*").float_layers(LAYERS)
