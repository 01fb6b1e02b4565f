"""Tasks in the world of hide and seek for one agent: what has been learnt there, and how soon is it put to use here?"""

from minied_envs.hide_and_seek.tasks.blueprint import Blueprint
from minied_envs.hide_and_seek.tasks.lock_and_return import LockAndReturn
from minied_envs.hide_and_seek.tasks.object_counting import ObjectCounting
from minied_envs.hide_and_seek.tasks.sequential_lock import SequentialLock
from minied_envs.hide_and_seek.tasks.shelter import Shelter

__all__ = ["Blueprint", "LockAndReturn", "ObjectCounting", "SequentialLock", "Shelter"]
