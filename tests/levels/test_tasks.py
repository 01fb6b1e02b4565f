"""A list of tasks: what an author writes, what follows from it, and what is told of a list that is none."""

import dataclasses

import jax
import jax.numpy as jnp
import pytest

from minied.errors import UserError
from minied.levels.finite import FiniteLevelSpace
from minied.levels.space import LevelSpace
from minied.levels.tasks import Tasks, check_tasks


@dataclasses.dataclass(frozen=True)
class Doors(Tasks):
    names: tuple[str, ...] = ("open", "locked", "two locks")  # type: ignore[assignment]
    success_statistics: tuple[str, ...] = ()  # type: ignore[assignment]

    def level(self, key, tasks):
        return tasks


@dataclasses.dataclass(frozen=True)
class Rooms(LevelSpace):
    @property
    def tasks(self):
        return Doors()

    def sample(self, key):
        return jax.random.randint(key, (1,), 0, 3)


def test_a_level_has_one_task_unless_statistics_tell_of_several():
    assert Doors().per_level == 1
    assert Doors().success_statistics == ()
    assert Doors(success_statistics=("done",)).per_level == 1
    assert Doors(success_statistics=("first_done", "second_done")).per_level == 2
    assert Doors().level(jax.random.key(0), jnp.asarray([2])).tolist() == [2]


def test_the_defaults_are_those_of_one_task_a_level():
    class Plain(Tasks):
        names = ("a",)

        def level(self, key, tasks):
            return tasks

    assert Plain().success_statistics == ()
    assert Plain().per_level == 1
    check_tasks(Plain(), "somebody")


@pytest.mark.parametrize("lacking", ["names", "level"])
def test_names_and_level_must_be_written(lacking):
    parts = {"names": ("a",), "level": lambda self, key, tasks: tasks}
    del parts[lacking]
    with pytest.raises(TypeError, match=lacking):
        type("Half", (Tasks,), parts)()


def test_a_space_has_tasks_or_says_that_it_lacks_them():
    assert Rooms().has("tasks")
    assert "tasks" in Rooms().offered
    Rooms().require("tasks", "somebody")

    class Bare(Rooms):
        tasks = LevelSpace.tasks

    with pytest.raises(
        UserError, match=r"^somebody needs `tasks`, which Bare does not have \(it has: only sample\); allowed: "
    ):
        Bare().require("tasks", "somebody")
    with pytest.raises(UserError, match="which would leave the 3 levels of num_train_levels"):
        FiniteLevelSpace(Rooms(), 3, 0).require("tasks", "somebody")


@pytest.mark.parametrize(
    ("tasks", "told"),
    [
        (None, "`tasks` of a level space is None; allowed: an instance of minied.levels.tasks.Tasks, by a property"),
        (Doors, "allowed: an instance of minied.levels.tasks.Tasks, by a property"),  # the class and no instance of it
        (("a", "b"), "`tasks` of a level space is ('a', 'b'); allowed: an instance of minied.levels.tasks.Tasks"),
        (Doors(()), "names of Doors is empty; allowed with learning progress: at least one task"),
        (Doors(("a", "b", "a")), "names of Doors has 'a' twice; allowed: different names"),
        (Doors(("b", "a", "a", "b")), "names of Doors has 'a' twice"),
        (Doors("chop"), "names of Doors is 'chop'; allowed: a tuple of names"),  # type: ignore[arg-type]
        (Doors((1, 2)), "names of Doors is (1, 2); allowed: a tuple of names"),  # type: ignore[arg-type]
        (Doors(success_statistics="done"), "success_statistics of Doors is 'done'; allowed: a tuple of names"),  # type: ignore[arg-type]
        (Doors(success_statistics=("done", "done")), "success_statistics of Doors has 'done' twice"),
    ],
    ids=["none", "class", "tuple", "empty", "twice", "two-twice", "string", "numbers", "statistic", "statistics-twice"],
)
def test_what_is_no_list_of_tasks_is_told_in_one_line(tasks, told):
    with pytest.raises(UserError) as error:
        check_tasks(tasks, "learning progress")
    assert told in str(error.value)
    assert "\n" not in str(error.value)


def test_right_ones_pass():
    check_tasks(Doors(), "learning progress")
    check_tasks(Doors(("one",)), "learning progress")
    check_tasks(Doors(success_statistics=("first_done", "second_done")), "learning progress")
