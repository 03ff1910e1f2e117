"""Seals."""

from camserve.serving.repository.seal import is_sealed, seal, without_seal

TEXT = 'name: "toy"\n# a comment\nbackend: "onnxruntime"\n'


def test_sealing_twice_changes_nothing() -> None:
    assert not is_sealed(TEXT)
    assert is_sealed(seal(TEXT))
    assert seal(seal(TEXT)) == seal(TEXT)
    assert without_seal(seal(TEXT)) == TEXT


def test_any_changed_bit_breaks_the_seal() -> None:
    sealed = seal(TEXT).encode()
    for position in range(len(sealed)):
        for bit in range(7):  # the eighth makes it another encoding, which reading notices
            changed = bytearray(sealed)
            changed[position] ^= 1 << bit
            assert not is_sealed(changed.decode()), (position, bit)


def test_two_seals_are_invalid() -> None:
    assert not is_sealed(seal(TEXT).splitlines(keepends=True)[0] + seal(TEXT))
