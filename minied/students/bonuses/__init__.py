"""Rewards that a learner adds of its own, to explore. Only the learner sees them: no return, score or evaluation does.

(The values that it learns may be of both together, and what reads values reads that; see `minied.students.bonuses.base`.)
"""
