"""Mistakes in a sweep are told in one line before anything starts."""

from minied.sweep.folder import open_sweep
from minied.train import group as groups


def told(minied, *arguments):
    code, _, err = minied(*arguments)
    assert code == 2
    assert err.count("\n") == 1
    return err


def test_mistakes_are_told_before_anything_starts(minied, sweep_file, workplace, monkeypatch):
    file = sweep_file()
    monkeypatch.setattr(groups.Group, "compile", lambda self: 1 / 0)
    assert "needs a sweep file" in told(minied, "sweep")
    assert "the sweep file or folder nothing.yaml does not exist" in told(minied, "sweep", "nothing.yaml")
    assert "unknown option '--jbos'" in told(minied, "sweep", file, "--jbos", "3")
    assert "--jobs is 0; allowed: at least 1" in told(minied, "sweep", file, "--jobs", "0")
    assert "listed twice" in told(minied, "sweep", file, "--seed", "3")
    other = sweep_file("{ppo.num_minibatches: [1, 2]}", name="other.yaml")
    assert "these fields split them: ppo.num_minibatches" in told(minied, "sweep", other, "--one-program")
    assert "num_devices is 3; allowed here: at most 2" in told(minied, "sweep", file, "--num-devices", "3")
    assert "is not the folder of a sweep" in told(minied, "sweep", workplace, "--resume")
    (workplace / "taken").mkdir()
    assert "--sweep-dir is 'taken', which exists already" in told(minied, "sweep", file, "--sweep-dir", "taken")
    assert "--slurm.hours is 0" in told(minied, "sweep", file, "--launcher", "slurm", "--slurm.hours", "0")
    assert not (workplace / "runs").exists()


def test_a_folder_of_another_sweep_is_refused(minied, sweep_file, workplace):
    file = sweep_file()
    assert minied("sweep", file, "--sweep-dir", "s", "--launcher", "print")[0] == 0
    assert "s exists already: go on with --resume" in told(minied, "sweep", file, "--sweep-dir", "s")
    other = sweep_file("{seed: [5]}", name="other.yaml")
    for arguments in (["--resume"], []):
        assert "s holds the results of another sweep" in told(minied, "sweep", other, "--sweep-dir", "s", *arguments)
    assert "--group is 7; allowed in s: 0 to 0" in told(minied, "sweep", "s", "--group", "7")
    assert "s is a sweep already" in told(minied, "sweep", "s")
    assert "is a member of a sweep; allowed: `minied sweep s --resume`" in told(minied, "resume", "s/members/000")
    (workplace / "s/sweep.json").write_text('{"members": [], "schema_version": 9}')
    assert "schema_version 9; allowed: 1" in told(minied, "sweep", "s", "--resume")
    (workplace / "s/sweep.json").write_text("nonsense")
    assert "sweep.json cannot be read" in told(minied, "sweep", "s", "--resume")


def test_a_group_is_worked_on_by_one_process_at_a_time(minied, sweep_file, workplace):
    assert minied("sweep", sweep_file(), "--sweep-dir", "s", "--launcher", "print")[0] == 0
    with open_sweep(workplace / "s").locked(0):
        assert "is being worked on by another process" in told(minied, "sweep", "s", "--group", "0")
