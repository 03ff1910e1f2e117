"""What stands in a model repository."""
