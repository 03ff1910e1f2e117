"""How good maps are: deletion and insertion curves, the pointing game, and maps of other weights."""
