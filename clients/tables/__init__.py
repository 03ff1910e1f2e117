"""Tables of scored rows: columns, formats, and files that are replaced when they are complete."""
