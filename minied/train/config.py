"""The whole description of a run: frozen, validated, and enough to repeat it."""

import dataclasses
import hashlib
import json
import math
from typing import Any, Literal, get_args

from minied.env import Environment, with_agent_axis
from minied.errors import UserError
from minied.hyperparameters import require_range
from minied.levels.finite import FiniteLevelSpace
from minied.levels.space import LevelSpace
from minied.registry import load, name_of
from minied.scores.base import validate_score
from minied.students.bonuses.base import Bonus, BonusChoice, NoBonus, Surroundings
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.students.transfer import Reset
from minied.teachers.base import Teacher
from minied.train.missing import missing_signals
from minied.train.self_play import SelfPlayConfig

Cloning = Literal["none", "protagonist", "all"]

FREE_WHEN_RESUMING = ("num_devices", "checkpoint_every", "keep_checkpoints", "max_hours", "target")
"""Fields that a resumed run may change: they decide where it is computed, what is kept on disk and when it pauses, but
nothing of what is learnt except the order of sums."""

LENGTHS = ("updates", "env_steps")
"""Fields that a resumed run may change too where nothing in it goes by its length: with a constant learning rate."""


@dataclasses.dataclass(frozen=True)
class StartFrom:
    """Another run to go on from: fine-tuning. Its student's parameters are taken where this network has them too."""

    run: str = ""
    """Folder of the run; empty: fresh parameters. It is read when the run begins, and not needed any more when resumed."""
    checkpoint: int = 0
    """Iteration of the checkpoint; 0: the newest whole one."""
    reset: Reset = "last"
    """Layers that are drawn anew all the same: none; last, the last dense layer before the memory with its layer norm, as
    published; heads, those of policy and values."""

    def __post_init__(self) -> None:
        if self.reset not in get_args(Reset):
            raise UserError(f"reset is {self.reset!r}; allowed: {', '.join(get_args(Reset))}")
        if self.checkpoint < 0:
            raise UserError(f"checkpoint is {self.checkpoint}; allowed: at least 0")
        if self.checkpoint and not self.run:
            raise UserError(f"checkpoint is {self.checkpoint} without start_from.run; allowed: 0")


_COUNTS = (
    "updates", "num_students", "num_envs", "num_steps", "num_train_levels", "train_levels_seed",
    "log_every", "evaluate_every", "checkpoint_every", "attempts",
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """A training run. One *iteration* proposes levels, rolls the students out on them, and perhaps trains."""

    env: Environment
    """The world and its options."""
    teacher: Teacher
    """Who decides which levels come next."""
    network: NetworkConfig = NetworkConfig()
    """The student's network."""
    ppo: PPOConfig = PPOConfig()
    """The student's learner."""
    bonus: BonusChoice = NoBonus()
    """What the learner adds to the rewards for exploring, and its options."""
    start_from: StartFrom = StartFrom()
    """Another run to go on from."""
    seed: int = 0
    """Seed of the first member; member i has seed + i."""
    num_seeds: int = 1
    """S, members of one program, each a run with a seed of its own."""
    num_students: int = 1
    """P, students that play the same levels and learn each from its own play. The first, the protagonist, is the one that is
    evaluated and whose signals teachers read; scores of regret compare it with the others (PAIRED needs 2), and without one
    the others only cost steps."""
    cloning: Cloning = "none"
    """Whether students also learn to act as another one of them does (behaviour cloning, by ``ppo.cloning_coefficient``):
    `protagonist`, the first from the second; `all`, each from the next, the last from the first."""
    self_play: SelfPlayConfig = SelfPlayConfig()
    """Games against past policies, in worlds with several teams."""
    schedule_seed: int = 0
    """Seed of what all members share: when to replay and when to take new levels."""
    updates: int = 30_000
    """Length of the run in student updates."""
    env_steps: int = 0
    """Also end the run when this many environment steps were simulated, those for scoring included; 0: no such limit."""
    max_hours: float = 0.0
    """Also end when the run has taken so many hours of wall time in all its sessions, all told; 0: no such limit.
    Where it ends then is not repeatable; it goes on with `minied resume` and more hours."""
    target: float = 0.0
    """Also end at the first evaluation on the suite whose solve rate, mean over members, is at least this; 0: no target."""
    num_envs: int = 32
    """B, levels in a batch, one environment a level."""
    num_steps: int = 256
    """T, steps of a rollout. Episodes that do not end within it give no score."""
    num_devices: int = 0
    """Devices that the run is spread over, its members or its environments; 0: on CPU one a core where they divide the work,
    elsewhere one. Runs on other numbers of devices differ by rounding."""
    num_train_levels: int = 0
    """Train on this many levels of the generator only, the same for all members (Procgen's protocol; evaluations then report
    the generalisation gap); 0: on as many as it gives."""
    train_levels_seed: int = 0
    """Which levels those are."""
    log_score_correlations: tuple[str, ...] = ()
    """Scores whose rank correlation with exact regret over the levels of an iteration is logged, for worlds that know the
    best return. The regret is that of a second play of the levels, which ``env_steps`` counts."""
    log_every: int = 10
    """Iterations between two rows of metrics; the compiled program runs this long without a pause."""
    evaluate_every: int = 200
    """Iterations between two evaluations on the suite; 0: only at the end."""
    checkpoint_every: int = 200
    """Iterations between two checkpoints; 0: only at the end and when stopped."""
    keep_checkpoints: int = 3
    """Newest checkpoints to keep."""
    suite: str = ""
    """Held-out suite of the evaluations; empty: the world's default."""
    attempts: int = 10
    """Episodes a level in an evaluation."""

    def __post_init__(self) -> None:
        from_one = ("num_seeds", "num_students", "updates", "num_envs", "num_steps", "log_every", "attempts")
        at_least = dict.fromkeys(from_one, 1)
        at_least |= {"evaluate_every": 0, "checkpoint_every": 0, "keep_checkpoints": 2}
        at_least |= {
            "num_devices": 0,
            "seed": 0,
            "schedule_seed": 0,
            "env_steps": 0,
            "num_train_levels": 0,
            "train_levels_seed": 0,
        }
        for name, least in at_least.items():
            if getattr(self, name) < least:
                raise UserError(f"{name} is {getattr(self, name)}; allowed: at least {least}")
        for name in _COUNTS:
            if getattr(self, name) >= 2**31:
                raise UserError(f"{name} is {getattr(self, name)}; allowed: less than 2147483648")
        if self.num_envs * self.num_steps >= 2**31:
            raise UserError(f"num_envs is {self.num_envs}; allowed: num_envs x num_steps less than 2147483648")
        for name in ("seed", "schedule_seed"):
            if getattr(self, name) + self.num_seeds > 2**31:
                raise UserError(f"{name} is {getattr(self, name)}; allowed: {name} + num_seeds at most 2147483648")
        require_range(self, "max_hours", 0.0, math.inf)
        require_range(self, "target", 0.0, 1.0)
        if self.target and not self.level_space.suites:
            raise UserError(
                f"target is {self.target:g}; allowed in a world without suites: 0, nothing is evaluated there"
            )
        for name in ("evaluate_every", "checkpoint_every"):
            if getattr(self, name) % self.log_every:
                raise UserError(
                    f"{name} is {getattr(self, name)}; allowed: 0 or a multiple of log_every = {self.log_every}"
                )
        if self.num_envs % self.ppo.num_minibatches:
            raise UserError(
                f"ppo.num_minibatches is {self.ppo.num_minibatches}, which does not divide num_envs = {self.num_envs};"
                " allowed: a divisor of num_envs"
            )
        space = self.level_space
        if self.suite and self.suite not in space.suites:
            space.suite(self.suite)
        missing = missing_signals(self.network, space, type(self.env).__name__, self.num_students)
        self.teacher.validate(space, self.num_envs, missing)
        self._check_students()
        if isinstance(self.bonus, Bonus):
            self.bonus.validate(self.surroundings)
        if self.self_play.past_share == 1 and self.teacher.needs:
            raise UserError(
                f"self_play.past_share is 1; allowed with {name_of(type(self.teacher))}, which scores games of current"
                " policies: less than 1"
            )
        self.self_play.games_of_each_team(self.env, self.num_envs)
        self._check_correlations(missing)

    def _check_students(self) -> None:
        if self.cloning not in get_args(Cloning):
            raise UserError(f"cloning is {self.cloning!r}; allowed: {', '.join(get_args(Cloning))}")
        if self.cloning != "none" and self.num_students < 2:
            raise UserError(f"cloning is {self.cloning!r} and num_students is {self.num_students}; allowed: at least 2")
        if self.start_from.run and self.num_students > 1:
            raise UserError(f"num_students is {self.num_students}; allowed with start_from.run: 1")
        if self.ppo.ensemble_data == "own" and self.network.num_value_heads < 2:
            raise UserError(
                f"ppo.ensemble_data is 'own' and network.num_value_heads is {self.network.num_value_heads};"
                " allowed: at least 2"
            )
        if (own := self.teacher.num_own_batches) and own != self.num_students:
            raise UserError(
                f"num_students is {self.num_students}; allowed with {name_of(type(self.teacher))}: {own}, each with"
                " levels of its own"
            )
        if own and self.log_score_correlations:
            raise UserError("log_score_correlations is set; allowed where students have levels of their own: nothing")

    def _check_correlations(self, missing: dict[str, str]) -> None:
        if self.log_score_correlations and "optimal_return" in missing:
            raise UserError(f"log_score_correlations needs exact regret: {missing['optimal_return']}")
        for name in self.log_score_correlations:
            validate_score(load("score", name), name, missing)

    @property
    def level_space(self) -> LevelSpace:
        """The levels that are trained on."""
        space = self.env.level_space
        return (
            FiniteLevelSpace(space, self.num_train_levels, self.train_levels_seed) if self.num_train_levels else space
        )

    @property
    def max_rollouts(self) -> int:
        """Batches of num_envs × num_steps steps that `env_steps` allows."""
        rollouts = -(-self.env_steps // (self.num_envs * self.num_steps)) if self.env_steps else 2**31 - 1
        return min(rollouts, 2**31 - 1)

    @property
    def surroundings(self) -> Surroundings:
        """In what a bonus works, but for the devices."""
        return Surroundings(with_agent_axis(self.env), self.network, self.num_envs, self.num_steps)

    def to_dict(self) -> dict[str, Any]:
        """Return the config as plain nested data, the form of ``config.json`` and of presets."""
        return {f.name: _plain(getattr(self, f.name)) for f in dataclasses.fields(self)}

    @property
    def fingerprint(self) -> str:
        """Twelve hexadecimal digits: equal for equal configs, whatever order or file they came from."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        named = isinstance(value, (Environment, Teacher, BonusChoice))
        return ({"name": name_of(type(value))} if named else {}) | fields
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
