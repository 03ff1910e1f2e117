"""How good the answers of a scored table are: metrics against true labels, and two tables against each other."""
