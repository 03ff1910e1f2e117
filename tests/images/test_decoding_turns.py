"""Decoding at once and in turn."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from camserve.images.decoding_turns import DecodingTurns


@pytest.mark.parametrize("in_turn", [False, True])
def test_threads_decode_at_once_until_they_take_turns(in_turn: bool) -> None:
    turns, active, most, lock = DecodingTurns(), 0, 0, threading.Lock()
    if in_turn:
        turns.take_turns()
    both = threading.Barrier(2)

    def decode() -> None:
        nonlocal active, most
        both.wait()
        with turns.turn():
            with lock:
                active += 1
                most = max(most, active)
            time.sleep(0.1)
            with lock:
                active -= 1

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(decode) for _ in range(2)]:
            done.result()
    assert most == (1 if in_turn else 2)


def test_an_error_ends_the_turn() -> None:
    turns = DecodingTurns()
    turns.take_turns()
    with pytest.raises(ValueError, match="corrupt"), turns.turn():
        raise ValueError("corrupt")
    with turns.turn():
        pass
