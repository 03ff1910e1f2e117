"""The parity gate: measure exported files against Keras, and refuse an export that differs."""
