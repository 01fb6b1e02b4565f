"""One iteration of a population by hand: each student on its own, with its own keys, its own levels and its own learner."""

import jax
from toy_worlds import no_probe

from minied.train.playing import play
from minied.train.update import _learn


@jax.jit
def _by_hand(setting, state):
    schedule, member = state.schedule, jax.tree.map(lambda leaf: leaf[0], state.members)
    plan = setting.teacher.plan(jax.random.fold_in(schedule.key, schedule.iterations), schedule, setting.num_levels)
    propose_key, play_key, update_key, _ = jax.random.split(jax.random.fold_in(member.key, schedule.iterations), 4)
    teacher, space = setting.teacher, setting.space
    _, proposal = teacher.propose(propose_key, member.teacher, plan, space, setting.num_levels, no_probe)
    students = [member.student]
    for number in range(1, setting.num_students):
        students.append(jax.tree.map(lambda leaf, i=number - 1: leaf[i], member.others))
    after, every = [], []
    for number, student in enumerate(students):
        keys = [jax.random.fold_in(key, number) if len(students) > 1 else key for key in (play_key, update_key)]
        own = (
            slice(number * setting.num_levels, (number + 1) * setting.num_levels)
            if teacher.num_own_batches
            else slice(None)
        )
        levels, known = jax.tree.map(lambda leaf, own=own: leaf[own], (proposal.levels, proposal.max_returns))
        played = play(setting, student.parameters, keys[0], levels, known)
        every.append(played)
        after.append(_learn(setting, plan, student, played, keys[1])[0])
    return proposal, every, after


def by_hand(program, state):
    """Return the proposal of the coming iteration, what each student plays, and each student after it; state as it is."""
    return _by_hand(program._setting, state)


def students_of(state):
    """The students of the first member, one after the other."""
    population = jax.tree.map(lambda leaf: leaf[0], state.members).population
    number = jax.tree.leaves(population)[0].shape[0]
    return [jax.tree.map(lambda leaf, i=i: leaf[i], population) for i in range(number)]
