"""Measure the choices of serving on this host, and plot what was measured."""
