"""The kernel that grid worlds share: boards of bits, moves, search, the agent's view, tiles and their drawing."""
