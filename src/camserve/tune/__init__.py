"""What was measured of several ways to serve a model on a host, and its plot."""
