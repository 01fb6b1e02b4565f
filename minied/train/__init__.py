"""Training: the state of a run, one iteration, the compiled chunk, and the program that holds them."""
