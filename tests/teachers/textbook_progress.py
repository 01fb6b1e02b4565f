"""The textbook's learning progress in plain NumPy, as a curriculum of `benchmarks/tech_tree.py` (spec B.1).

p_fast ← p_fast + α (p − p_fast);  p_slow ← p_slow + α (p_fast − p_slow);  both p at first
LP = |f(p_fast) − f(p_slow)|, or what of it is gain;  f(p) = (1 − θ) p / (p + θ (1 − 2 p))
share ∝ σ(s ((LP − mean) / std − z₀)), uniform where all LP are the same
"""

import numpy as np
import scipy.special
from tabular import benchmark

simulator = benchmark("tech_tree")


def reweighted(success, theta):
    return (1 - theta) * success / (success + theta * (1 - 2 * success))


def shares_of(progress, sharpness=3.0, centre=1.28):
    deviation = progress.std()
    if deviation < 1e-12:
        return np.full(progress.size, 1 / progress.size)
    weights = scipy.special.expit(sharpness * ((progress - progress.mean()) / deviation - centre))
    return weights / weights.sum()


def textbook_progress(alpha=0.1, theta=0.1, bidirectional=True):
    """The curriculum, and the state in which nothing was seen."""

    def curriculum(averages, success):
        fast, slow = (success, success) if averages is None else averages
        fast = fast + alpha * (success - fast)
        slow = slow + alpha * (fast - slow)
        change = reweighted(fast, theta) - reweighted(slow, theta)
        return (fast, slow), shares_of(np.abs(change) if bidirectional else np.maximum(change, 0.0))

    return curriculum, None
