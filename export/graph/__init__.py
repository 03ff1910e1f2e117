"""The network as steps, and what is made of it: folded, its head read, its maps added."""
