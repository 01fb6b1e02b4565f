import json
import shutil
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from run_world import Program

from minied.config import load_config
from minied.errors import UserError
from minied.run.checkpoint import Checkpoints

ROWS = {"metrics": 1, "timing": 1, "evaluations": 0}


@pytest.fixture
def program(config_file):
    return Program(load_config(config_file, ["--num-seeds", "3", "--updates", "1000"]))


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "checkpoints"
    path.mkdir()
    return path


def host(state):
    return jax.tree.map(lambda leaf: np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf), state)


def is_key(leaf):
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def assert_same(one, other):
    assert jax.tree.structure(one) == jax.tree.structure(other)
    for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(other), strict=True):
        assert a.dtype == b.dtype
        assert not is_key(a) or jax.random.key_impl(a) == jax.random.key_impl(b)
    jax.tree.map(np.testing.assert_array_equal, host(one), host(other))


def save_some(program, directory, steps, keep=10):
    """Save at each step; return a copy of the state at each."""
    copies, state = {}, program.init()
    with Checkpoints(directory, "f") as checkpoints:
        for step in steps:
            state, _ = program.advance(state, step)
            copies[step] = jax.tree.map(jnp.copy, state)
            checkpoints.save(step, state, program.counters(state), ROWS, keep)
    return copies


def restore(program, directory, step=None):
    with Checkpoints(directory, "f") as checkpoints:
        return checkpoints.restore(jax.eval_shape(program.init), step)


def test_round_trip_is_bit_equal(program, directory):
    copies = save_some(program, directory, [3, 6])
    restored = restore(program, directory)
    assert_same(restored.state, copies[6])
    assert (restored.step, restored.row_counts, restored.skipped) == (6, ROWS, ())
    assert restored.counters == program.counters(copies[6])
    assert_same(restore(program, directory, 3).state, copies[3])
    # What follows is the same too: keys have come back as keys.
    onward, _ = program.advance(restored.state, 9)
    assert_same(onward, program.advance(copies[6], 9)[0])


def test_what_was_saved_is_a_copy(program, directory):
    """The state is donated after a save: its memory is another's by the time that anyone reads back."""
    with Checkpoints(directory, "f") as checkpoints:
        state, _ = program.advance(program.init(), 2)
        copy = jax.tree.map(jnp.copy, state)
        checkpoints.save(2, state, program.counters(state), ROWS, 3)
        jax.tree.map(lambda leaf: leaf.delete(), state)
        assert_same(checkpoints.restore(jax.eval_shape(program.init)).state, copy)


def test_only_the_newest_are_kept(program, directory):
    save_some(program, directory, [1, 2, 3, 4], keep=2)
    with Checkpoints(directory, "f") as checkpoints:
        assert checkpoints.steps() == [3, 4]


def test_nothing_old_goes_before_the_new_one_is_read_back(program, directory, monkeypatch):
    save_some(program, directory, [1, 2], keep=2)

    def damage_then_read(self, step):
        damage_flip(directory / str(step))
        return read(self, step)

    read = Checkpoints._read
    monkeypatch.setattr(Checkpoints, "_read", damage_then_read)
    state, _ = program.advance(program.init(), 3)
    with Checkpoints(directory, "f") as checkpoints, pytest.raises(OSError, match="not written whole"):
        checkpoints.save(3, state, program.counters(state), ROWS, 2)
    monkeypatch.undo()
    assert restore(program, directory).step == 2
    assert restore(program, directory, 1).step == 1


def files(step):
    return sorted(path for path in Path(step).rglob("*") if path.is_file() and path.stat().st_size)


def damage_flip(step):
    """Flip a bit in the largest file, which holds arrays."""
    file = max(files(step), key=lambda path: path.stat().st_size)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 16
    file.write_bytes(bytes(data))


def damage_flip_everywhere(step):
    for file in files(step):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(bytes(data))


def damage_truncate(step):
    file = max(files(step), key=lambda path: path.stat().st_size)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def damage_delete_page(step):
    (Path(step) / "meta" / "metadata").unlink()


def damage_delete_state(step):
    shutil.rmtree(Path(step) / "state")


def damage_page_number(step):
    page = Path(step) / "meta" / "metadata"
    page.write_text(page.read_text().replace('"digest": "', '"digest": "0', 1))


def damage_empty(step):
    for file in files(step):
        file.write_bytes(b"")


DAMAGES = [
    damage_flip,
    damage_flip_everywhere,
    damage_truncate,
    damage_delete_page,
    damage_delete_state,
    damage_page_number,
    damage_empty,
]


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_newest_falls_back(program, directory, damage):
    copies = save_some(program, directory, [3, 6, 9])
    damage(directory / "9")
    restored = restore(program, directory)
    assert restored.step == 6
    assert_same(restored.state, copies[6])
    assert len(restored.skipped) == 1
    assert "iteration 9 is damaged" in restored.skipped[0]
    # The run repeats iteration 9: the damaged one is put aside, not overwritten, and the new one is whole.
    with Checkpoints(directory, "f") as checkpoints:
        checkpoints.save(9, copies[9], {}, ROWS, 3)
    again = restore(program, directory)
    assert again.step == 9
    assert_same(again.state, copies[9])
    assert (directory / "damaged" / "9-0").is_dir()


def test_every_file_counts(program, directory, tmp_path):
    """Whichever file of a checkpoint is cut short, what is restored is a state that was saved."""
    copies = save_some(program, directory, [3, 6])
    for file in files(directory / "6"):
        copy = tmp_path / "copy"
        shutil.copytree(directory, copy)
        target = copy / file.relative_to(directory)
        target.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
        restored = restore(program, copy)
        assert_same(restored.state, copies[restored.step])
        shutil.rmtree(copy)


def test_none_left(program, directory):
    save_some(program, directory, [3, 6])
    damage_flip(directory / "3")
    damage_flip(directory / "6")
    with pytest.raises(UserError, match=r"iteration 6 is damaged .*; the checkpoint of iteration 3 is damaged"):
        restore(program, directory)
    with pytest.raises(UserError, match="iteration 3 is damaged"):
        restore(program, directory, 3)
    with pytest.raises(UserError, match=r"--checkpoint is 4; allowed: 3, 6"):
        restore(program, directory, 4)


def test_another_config_or_state(program, directory, config_file):
    save_some(program, directory, [3])
    with Checkpoints(directory, "g") as checkpoints, pytest.raises(UserError, match="belongs to another config"):
        checkpoints.restore(jax.eval_shape(program.init))
    other = Program(load_config(config_file, ["--num-seeds", "2"]))
    with pytest.raises(UserError, match=r"does not fit .*keys.* is uint32\[3, 2\]; allowed: uint32\[2, 2\]"):
        restore(other, directory)


def test_leftovers_of_a_killed_save(program, directory):
    save_some(program, directory, [3])
    for name in ("6.orbax-checkpoint-tmp", "9.orbax-checkpoint-tmp-17"):
        shutil.copytree(directory / "3", directory / name)
    assert restore(program, directory).step == 3
    with Checkpoints(directory, "f") as checkpoints:
        state = program.init()
        checkpoints.save(6, state, {}, ROWS, 3)
        checkpoints.save(9, state, {}, ROWS, 3)
        assert checkpoints.steps() == [3, 6, 9]
    assert restore(program, directory).step == 9


def test_a_reader_changes_nothing(program, directory):
    save_some(program, directory, [3, 6])
    (directory / "9.orbax-checkpoint-tmp").mkdir()
    before = sorted(directory.rglob("*"))
    with Checkpoints(directory, "f", read_only=True) as checkpoints:
        assert checkpoints.restore(jax.eval_shape(program.init)).step == 6
    assert sorted(directory.rglob("*")) == before


def test_the_page_is_plain_json(program, directory):
    save_some(program, directory, [3])
    page = json.loads((directory / "3" / "meta" / "metadata").read_text())
    assert page["schema_version"] == 1
    assert list(page["key_impls"]) == [".schedule_key:key<rbg>", ".keys:key<fry>"]
    assert len(page["digest"]) == 64


def test_a_damaged_checkpoint_takes_no_place_of_a_whole_one(program, directory):
    """Retention counts whole checkpoints: after a fall-back, the one that was fallen back to is kept."""
    save_some(program, directory, [10, 17])
    damage_truncate(directory / "17")
    with Checkpoints(directory, "f") as checkpoints:
        restored = checkpoints.restore(jax.eval_shape(program.init))
        assert restored.step == 10
        state, _ = program.advance(restored.state, 20)
        checkpoints.save(20, state, program.counters(state), ROWS, 2)
        assert checkpoints.steps() == [10, 17, 20]
        state, _ = program.advance(state, 30)
        checkpoints.save(30, state, program.counters(state), ROWS, 2)
        assert checkpoints.steps() == [17, 20, 30]
