"""What can be in a cell, and what does a network or a person see there?

A tile is one byte, its code. ``TRIPLES`` are MiniGrid's (object, colour, state) of each code; ``FEATURES`` are the same
numbers divided by 10, as the published maze students see them (minimax ``normalize_obs``, jaxued and DCD).
"""

EMPTY, WALL, GOAL, RED_GOAL = range(4)

TRIPLES = ((1, 0, 0), (2, 5, 0), (8, 1, 0), (8, 0, 0))
FEATURES = tuple(tuple(number / 10 for number in triple) for triple in TRIPLES)

COLOURS = ((236, 236, 232), (58, 62, 70), (76, 175, 100), (214, 72, 66))  # RGB, by code
GRID_LINE = (206, 206, 202)
AGENT = (38, 99, 190)
HIGHLIGHT = (255, 214, 92)
