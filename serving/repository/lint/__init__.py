"""Find common problems in a model repository before a server loads it."""
