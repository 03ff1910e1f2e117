"""Which layers int8 quantizes: the effect of each, and the cheapest that must stay float32 for the gate to pass."""
