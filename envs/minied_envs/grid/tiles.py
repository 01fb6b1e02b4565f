"""What can be in a cell, and what does a network or a person see there?

A tile is one byte, its code. ``TRIPLES`` are MiniGrid's (object, colour, state) of each code; ``FEATURES`` are the same
numbers divided by 10, as the published maze students see them (minimax ``normalize_obs``, jaxued and DCD). MiniGrid has no
television: here it is a purple box, which no maze has.
"""

EMPTY, WALL, GOAL, RED_GOAL, AGENT, TELEVISION = range(6)

TRIPLES = ((1, 0, 0), (2, 5, 0), (8, 1, 0), (8, 0, 0), (10, 0, 0), (7, 3, 0))
FEATURES = tuple(tuple(number / 10 for number in triple) for triple in TRIPLES)

AGENT_COLOUR = (38, 99, 190)  # RGB
COLOURS = ((236, 236, 232), (58, 62, 70), (76, 175, 100), (214, 72, 66), AGENT_COLOUR, (142, 84, 200))  # RGB, by code
GRID_LINE = (206, 206, 202)
HIGHLIGHT = (255, 214, 92)
