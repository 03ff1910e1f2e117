"""What an export tells of itself, for people and for programs."""
