"""The level buffer again, in plain Python, one level after the other, from the docstrings: what the batched one must equal.

And the closed forms of the replay distribution in NumPy, float64. Levels are integers here.
"""

import copy
import dataclasses
import math

import numpy as np

NONE = -math.inf


def distribution_by_score(kind, scores, filled, temperature, staleness, top_k):
    """P_score of the table in `minied.levels.priority`, over the filled slots; float64."""
    slots = [j for j in range(len(scores)) if filled[j]]
    falling = sorted(slots, key=lambda j: -scores[j])  # stable: among equals the lower slot
    logs = {}
    if kind == "rank":
        logs = {j: math.log(1 / rank) / temperature for rank, j in enumerate(falling, start=1)}
    elif kind == "power":
        floor = 0.0 if staleness > 0 else 1e-3
        powers = {j: max(scores[j], 0.0) + floor for j in slots}
        if not any(powers.values()):
            powers = dict.fromkeys(slots, 1.0)
        logs = {j: math.log(p) / temperature for j, p in powers.items() if p > 0}
    elif kind == "uniform":
        logs = dict.fromkeys(slots, 0.0)
    else:
        taken = falling if kind == "softmax" else falling[:top_k]
        logs = {j: scores[j] / temperature for j in taken}
    highest = max(logs.values(), default=0.0)
    weights = {j: math.exp(log - highest) for j, log in logs.items()}
    probabilities = np.zeros(len(scores))
    for j, weight in weights.items():
        probabilities[j] = weight / sum(weights.values())
    return probabilities


def distribution(kind, scores, ages, filled, temperature, staleness, top_k=1):
    """(1 − ρ) P_score + ρ P_stale; zeros if nothing is filled; float64."""
    by_score = distribution_by_score(kind, scores, filled, temperature, staleness, top_k)
    number, total = sum(map(bool, filled)), sum(age for age, full in zip(ages, filled, strict=True) if full)
    stale = [age / total if total else 1 / number for age in ages] if number else [0.0] * len(scores)
    columns = zip(by_score, stale, filled, strict=True)
    return np.asarray([(1 - staleness) * p + staleness * s if full else 0.0 for p, s, full in columns])


@dataclasses.dataclass
class Stored:
    """A level in its slot."""

    level: int
    score: float
    max_return: float
    last_seen: int
    visits: int
    born: int
    identity: int
    parent: int = -1
    lineage: int = -1
    generation: int = 0


@dataclasses.dataclass
class Visit:
    """A level that was played. `parent` is the slot of the level that was edited, −1 for one of the generator."""

    level: int
    score: float
    max_return: float
    valid: bool
    parent: int = -1


class ReferenceBuffer:
    """The buffer of `minied.levels.buffer`: a list of `Stored` or None."""

    def __init__(self, capacity):
        self.slots = [None] * capacity
        self.clock = 0
        self.generator = [900 + j for j in range(capacity)]  # what stands in the slots that are not filled
        self.next_identity = 0

    def tick(self):
        self.clock += 1

    def _store(self, j, level, score, max_return, family=(-1, -1, 0)):
        identity, self.next_identity = self.next_identity, self.next_identity + 1
        parent, lineage, generation = family
        lineage = identity if lineage < 0 else lineage
        self.slots[j] = Stored(
            level, score, max_return, self.clock, 1, self.clock, identity, parent, lineage, generation
        )

    def _seen(self, j, score, max_return, smoothing):
        """One visit to slot j; score None if it gave none."""
        stored = self.slots[j]
        if stored is None:
            if score is not None:
                self._store(j, self.generator[j], score, max_return)
            return
        stored.last_seen, stored.visits = self.clock, stored.visits + 1
        stored.max_return = max(stored.max_return, max_return)
        if score is not None:
            stored.score = (1 - smoothing) * stored.score + smoothing * score

    def revisit(self, slots, visits, smoothing=1.0):
        for j in sorted({j for j in slots if j >= 0}):
            mine = [v for slot, v in zip(slots, visits, strict=True) if slot == j]
            scores = [v.score for v in mine if v.valid]
            score = sum(scores) / len(scores) if scores else None
            self._seen(j, score, max(v.max_return for v in mine), smoothing)

    def families(self, visits):
        """(parent, lineage, generation) of each, as it is when they are edited."""
        families = []
        for visit in visits:
            parent = self.slots[visit.parent] if visit.parent >= 0 else None
            families.append((parent.identity, parent.lineage, parent.generation + 1) if parent else (-1, -1, 0))
        return families

    def insert(self, visits, keep_order, unique=True, smoothing=1.0):
        """`keep_order(self)` gives a number a slot: the lowest is let go first, of equals the lower score. Asked once."""
        newcomers, families = [], self.families(visits)
        if unique:
            for level in dict.fromkeys(v.level for v in visits if v.valid):
                rows = [i for i, v in enumerate(visits) if v.valid and v.level == level]
                score = sum(visits[i].score for i in rows) / len(rows)
                best = max(visits[i].max_return for i in rows)
                known = [j for j, stored in enumerate(self.slots) if stored and stored.level == level]
                if known:
                    self._seen(known[0], score, best, smoothing)
                else:
                    newcomers.append((level, score, best, families[rows[0]]))
        else:
            newcomers = [(v.level, v.score, v.max_return, f) for v, f in zip(visits, families, strict=True) if v.valid]
        newcomers.sort(key=lambda newcomer: -newcomer[1])  # stable: among equals the first of the batch
        order, keep = range(len(self.slots)), keep_order(self)
        order = sorted(order, key=lambda j: (True, keep[j], self.slots[j].score) if self.slots[j] else (False,))
        for newcomer, j in zip(newcomers, order, strict=False):
            if self.slots[j] is None or newcomer[1] > self.slots[j].score:
                self._store(j, *newcomer)

    def insert_at(self, slots, visits, smoothing=1.0):
        families = self.families(visits)
        for j in sorted({j for j in slots if j >= 0}):
            mine = [i for i, slot in enumerate(slots) if slot == j and visits[i].valid]
            held = [visits[i] for i in mine if self.slots[j] and visits[i].level == self.slots[j].level]
            if held:
                mine = [i for i in mine if visits[i].level != self.slots[j].level]
                score = sum(v.score for v in held) / len(held)
                self._seen(j, score, max(v.max_return for v in held), smoothing)
            best = max(mine, key=lambda i: (visits[i].score, -i), default=None)
            if best is not None and (self.slots[j] is None or visits[best].score > self.slots[j].score):
                self._store(j, visits[best].level, visits[best].score, visits[best].max_return, families[best])

    def copy(self):
        return copy.deepcopy(self)
