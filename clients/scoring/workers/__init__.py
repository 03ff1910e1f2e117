"""Worker processes that score chunks of items for a coordinator."""
