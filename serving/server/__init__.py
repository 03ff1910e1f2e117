"""The embedded Triton: found, started, watched and ended."""
