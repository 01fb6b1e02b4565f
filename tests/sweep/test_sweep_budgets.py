"""Members of a sweep that end early, by their target or by successive halving, whatever else happens."""

import signal

import pytest
from commands import killed
from swept import QUIET, Counted, members, rows, tables

from minied.run.folder import RunFolder
from minied.sweep.folder import open_sweep
from minied.train import group as groups


def test_halving_cuts_the_hopeless_and_the_rest_end_as_without(minied, unbroken, sweep_file, workplace, monkeypatch):
    """16 iterations of 4 x 12 steps are 768; no program is compiled anew."""
    lowered = []
    monkeypatch.setattr(groups, "_advance", Counted(groups._advance, lowered))
    file = sweep_file(more="halving: {first_env_steps: 768, factor: 2}", name="half.yaml")
    assert minied("sweep", file, "--sweep-dir", "half", *QUIET)[0] == 0
    assert lowered == ["lowered"]
    ends = open_sweep(workplace / "half").status(0)["members"]
    cut = [int(number) for number, end in ends.items() if end.startswith("cut: cut at 768 environment steps")]
    assert len(cut) >= 4
    for number, path in enumerate(members(workplace / "half")):
        mine, theirs = ((each / "metrics.jsonl").read_bytes() for each in (path, members(unbroken)[number]))
        last = RunFolder(path).read_rows("evaluations")[-1]
        if number in cut:
            assert theirs.startswith(mine)
            assert len(mine) < len(theirs)
            assert last["env_steps"] >= 768
            assert [int(each.name) for each in (path / "checkpoints").iterdir()] == [last["iterations"]]
        else:
            assert mine == theirs


def test_rungs_that_one_chunk_passes_are_judged_once(minied, sweep_file, workplace):
    """A chunk is 2 iterations of 4 x 12 steps: the rungs of 24, 48 and 96 lie in the first, that of 192 ends the second."""
    file = sweep_file(more="halving: {first_env_steps: 24, factor: 2}", updates=3)
    assert minied("sweep", file, "--sweep-dir", "s", *QUIET)[0] == 0
    ends = open_sweep(workplace / "s").status(0)["members"].values()
    cuts = [end.split("cut at ")[1].split()[0] for end in ends if end.startswith("cut")]
    assert sorted(cuts) == ["192", "192", "24", "24", "24", "24"]  # of 4 settings of two seeds 2, then 1


@pytest.mark.slow
def test_a_killed_halving_cuts_the_same(start, sweep_file, workplace, minied):
    file = sweep_file(more="halving: {first_env_steps: 400, factor: 2}", name="half.yaml")
    assert minied("sweep", file, "--sweep-dir", "half", *QUIET)[0] == 0
    broken = workplace / "broken"
    for moment in (0.3, 0.8):
        process = start("sweep", file, "--sweep-dir", "broken", *QUIET, *(["--resume"] if broken.exists() else []))
        killed(process, broken, moment)
    assert minied("sweep", file, "--sweep-dir", "broken", "--resume", *QUIET)[0] == 0
    assert tables(broken) == tables(workplace / "half")
    assert rows(broken) == rows(workplace / "half")


def test_members_end_at_the_target(minied, sweep_file, workplace):
    file = sweep_file("{target: [0.01, 1.0]}", updates=12)
    assert minied("sweep", file, "--sweep-dir", "s", *QUIET)[0] == 0
    ends = open_sweep(workplace / "s").status(0)["members"]
    rates = [RunFolder(path).read_rows("evaluations")[-1]["solve_rate"] for path in members(workplace / "s")]
    assert ends == {"0": "target" if rates[0] >= 0.01 else "finished", "1": "target" if rates[1] >= 1 else "finished"}


@pytest.mark.parametrize("more", ["", "halving: {first_env_steps: 400, factor: 2}"])
@pytest.mark.slow
def test_members_of_one_lane_that_end_early_stay_as_they_were_after_a_resume(
    minied, sweep_file, workplace, monkeypatch, more
):
    """As on an accelerator, where they go on beside their neighbours, unread; stopped after every chunk."""
    real = groups.lanes_of
    monkeypatch.setattr(groups, "lanes_of", lambda configs, settings, width: real(configs, settings, 8))
    file = sweep_file("{target: [0.01, 1.0], ppo.learning_rate: [1e-3, 1e-2, 1e-1]}", more=more, updates=12)
    assert minied("sweep", file, "--sweep-dir", "unbroken", *QUIET)[0] == 0
    advance = groups.Group.advance

    def advance_and_signal(self, state, untils):
        signal.raise_signal(signal.SIGUSR1)
        return advance(self, state, untils)

    monkeypatch.setattr(groups.Group, "advance", advance_and_signal)
    stops = 0
    while (code := minied("sweep", file, "--sweep-dir", "s", *QUIET, *(["--resume"] if stops else []))[0]) == 138:
        stops += 1
    assert code == 0
    assert stops > 5
    assert tables(workplace / "s") == tables(workplace / "unbroken")
    assert rows(workplace / "s") == rows(workplace / "unbroken")
    # Saved at the sum of what the members have done, each until its own end.
    steps = [
        max(int(path.name) for path in (workplace / name / "groups/000/checkpoints").iterdir())
        for name in ("s", "unbroken")
    ]
    last = [RunFolder(path).read_rows("metrics")[-1]["iterations"] for path in members(workplace / "s")]
    assert steps == [sum(last)] * 2
    ends = open_sweep(workplace / "s").status(0)["members"]
    assert {"finished", "target" if not more else "cut"} <= {end.partition(":")[0] for end in ends.values()}
