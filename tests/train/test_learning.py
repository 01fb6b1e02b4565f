"""Students do learn, from each kind of teacher, on worlds whose answers are known."""

import jax
import jax.numpy as jnp
import numpy as np
from toy_worlds import Corridor, CorridorLevel, Meeting, Recall

from minied.levels.space import Suite
from minied.students.networks.config import NetworkConfig
from minied.students.ppo import PPOConfig
from minied.teachers.domain_randomization import DomainRandomization
from minied.teachers.prioritized_level_replay import RobustPrioritizedLevelReplay
from minied.train.config import TrainConfig
from minied.train.program import Program

NETWORK = NetworkConfig(memory="none", memory_size=16, head_size=16, embedding_size=8)
PPO = PPOConfig(learning_rate=0.01, num_epochs=4, discount=0.9, gae_lambda=0.9, entropy_coefficient=0.01)


def suite_of(env):
    starts = jnp.arange(1, env.length + 1, dtype=jnp.int32)
    return Suite("all", env, CorridorLevel(starts), tuple(f"start {i}" for i in range(1, env.length + 1)))


def test_robust_plr_learns_the_corridor_whole():
    # Always walking solves every start. A uniform walk from cell 8 arrives within 12 steps with chance 0.044.
    env = Corridor(length=8, max_steps=12)
    config = TrainConfig(
        env=env,
        teacher=RobustPrioritizedLevelReplay(buffer_size=16, replay_probability=0.7),
        network=NETWORK,
        ppo=PPO,
        num_envs=16,
        num_steps=48,
        updates=80,
    )
    program = Program(config)
    state = program.init()
    before = program.evaluate(state, suite_of(env), jax.random.key(0), 20)
    assert before.solve_rate[0, -1] < 0.4
    state, _ = program.advance(state, 1000)
    assert program.is_finished(state)
    after = program.evaluate(state, suite_of(env), jax.random.key(0), 20)
    assert after.solve_rate.min() > 0.9
    assert after.mean_length[0, -1] < 10


def test_max_mc_ranks_far_starts_above_near_ones_once_learning_has_begun():
    # Near the goal the value is close to the best return; far from it the discounted value is low: R⁺ − V is larger.
    env = Corridor(length=8, max_steps=12)
    config = TrainConfig(
        env=env,
        teacher=RobustPrioritizedLevelReplay(buffer_size=16, replay_probability=0.5, staleness_coefficient=0.5),
        network=NETWORK,
        ppo=PPO,
        num_envs=16,
        num_steps=48,
        updates=60,
        num_seeds=2,
    )
    program = Program(config)
    state, _ = program.advance(program.init(), 80)
    for member in range(2):
        buffer = jax.tree.map(lambda leaf, member=member: np.asarray(leaf[member]), state.members.teacher)
        score = {int(s): v for s, v, f in zip(buffer.levels.start, buffer.scores, buffer.filled, strict=True) if f}
        assert set(score) == set(range(1, 9))
        near, far = np.mean([score[i] for i in (1, 2, 3)]), np.mean([score[i] for i in (6, 7, 8)])
        assert far > near + 0.05, score


def test_two_agents_learn_to_meet():
    config = TrainConfig(
        env=Meeting(),
        teacher=DomainRandomization(),
        network=NETWORK,
        ppo=PPO,
        num_envs=16,
        num_steps=32,
        updates=60,
    )
    program = Program(config)
    state, first = program.advance(program.init(), 3)
    state, _ = program.advance(state, 57)
    _, last = program.advance(state, 60)
    # random walkers meet often, but late: what learning shows is a shorter episode and nearly every meeting made
    assert last["new/return"][0] > first["new/return"][0] + 0.05
    assert last["new/return"][0] > 0.95
    assert last["new/episode_length"][0] < 0.7 * first["new/episode_length"][0]


def test_trap_05_memory_carries_a_cue_across_blank_steps_and_no_further():
    """With a memory the cue is recalled nearly always; without, half of the time, whatever is learnt."""
    rates = {}
    for memory in ("gru", "none"):
        config = TrainConfig(
            env=Recall(),
            teacher=DomainRandomization(),
            network=NetworkConfig(memory=memory, memory_size=12, head_size=8, embedding_size=4),
            ppo=PPO,
            num_envs=32,
            num_steps=9,
            updates=60,
        )
        program = Program(config)
        state, row = program.advance(program.init(), 60)
        assert row["student/first_ratio_error"][0] < 1e-5
        suite = Suite("cues", Recall(), jnp.asarray([0, 1], jnp.int32), ("left", "right"))
        rates[memory] = float(program.evaluate(state, suite, jax.random.key(0), 50).solve_rate.mean())
    assert rates["gru"] > 0.9
    assert 0.3 < rates["none"] < 0.7
