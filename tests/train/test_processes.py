"""One run over several processes on loopback: what one process with as many devices computes, and one checkpoint for all."""

import json
import signal
import socket

import pytest
import yaml
from commands import ended, final_state, started_commands, wait_for_rows

from minied import hosts
from minied.errors import UserError

CONFIG = {
    "env": {"name": "maze", "height": 5, "width": 5, "max_steps": 12, "levels": {"num_walls": 6, "holdout": 8}},
    "teacher": {"name": "robust_plr", "buffer_size": 32, "minimum_fill": 0.5},
    "network": {"memory_size": 4, "head_size": 4},
    "ppo": {"num_epochs": 1},
    "num_envs": 4,
    "num_steps": 12,
    "updates": 30,
    "log_every": 2,
    "evaluate_every": 20,
    "checkpoint_every": 20,
    "attempts": 1,
    "suite": "held_out",
}


def free_port():
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return held.getsockname()[1]


@pytest.fixture
def start(tmp_path):
    """Start a command in a process with so many devices; killed at the end of the test if it still runs."""
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    with started_commands(tmp_path) as start:

        def begin(devices, *arguments):
            cache = str(tmp_path.parent / "cache")
            return start(*arguments, JAX_NUM_CPU_DEVICES=str(devices), JAX_COMPILATION_CACHE_DIR=cache)

        yield begin


def together(start, *arguments):
    """Two processes of one device each, as one run."""
    meet = ["--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2", "--process-id"]
    return [start(1, *arguments, *meet, number) for number in range(2)]


@pytest.mark.parametrize("members", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_two_processes_are_one_with_two_devices(start, tmp_path, members):
    """Environments, or members, over both: byte for byte; one of them speaks and writes."""
    options = ["config.yaml", "--num-seeds", members, "--num-devices", "2"]
    ended(start(2, "train", *options, "--run-dir", "one", "--quiet", "--no-pictures"))
    (out, _), (silent, _) = ended(*together(start, "train", *options, "--run-dir", "two"))
    assert out.endswith("finished 30 updates: two\n")
    assert [line for line in silent.splitlines() if not line.startswith("[Gloo]")] == []
    assert final_state(tmp_path / "two") == final_state(tmp_path / "one")
    assert (tmp_path / "two/pictures/learning_curve.png").exists()


@pytest.mark.slow
def test_a_signal_to_either_stops_both_at_the_same_step_and_one_goes_on(start, tmp_path):
    options = ["config.yaml", "--updates", "400", "--num-devices", "2", "--no-pictures", "--quiet"]
    ended(start(2, "train", *options, "--run-dir", "one"))
    both = together(start, "train", *options, "--run-dir", "two")
    wait_for_rows(both[0], tmp_path / "two")
    both[1].send_signal(signal.SIGUSR1)
    (out, _), _ = ended(*both, code=138)
    assert "go on with: minied resume two" in out
    last = json.loads((tmp_path / "two/metrics.jsonl").read_text().splitlines()[-1])
    assert last["student_updates"] < 400
    assert max(int(path.name) for path in (tmp_path / "two/checkpoints").iterdir()) == last["iterations"]
    ended(start(2, "resume", "two", "--no-pictures", "--quiet"))
    assert final_state(tmp_path / "two") == final_state(tmp_path / "one")


@pytest.mark.slow
def test_what_one_process_saved_two_go_on_with(start, tmp_path):
    options = ["config.yaml", "--updates", "400", "--num-devices", "2", "--no-pictures", "--quiet"]
    ended(start(2, "train", *options, "--run-dir", "one"))
    process = start(2, "train", *options, "--run-dir", "two")
    wait_for_rows(process, tmp_path / "two")
    process.send_signal(signal.SIGTERM)
    ended(process, code=143)
    ended(*together(start, "resume", "two", "--no-pictures", "--quiet"))
    assert final_state(tmp_path / "two") == final_state(tmp_path / "one")


@pytest.mark.slow
def test_what_no_process_can_read_is_told_by_both(start, tmp_path):
    ended(start(2, "train", "config.yaml", "--num-devices", "2", "--run-dir", "run", "--no-pictures", "--quiet"))
    for page in (tmp_path / "run/checkpoints").glob("*/meta/metadata"):
        page.unlink()
    for _, err in ended(*together(start, "resume", "run"), code=2):
        assert "is damaged" in err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"num_processes": 2}, "are set without --coordinator"),
        ({"coordinator": "host:1", "slurm": True}, "--distributed and --coordinator are both set"),
        ({"slurm": True}, "needs Slurm's variables, and SLURM_JOB_ID, SLURM_NTASKS, SLURM_PROCID is not set"),
        ({"coordinator": "host:1"}, "--num-processes is 0 and --process-id is -1"),
        ({"coordinator": "host:1", "num_processes": 2, "process_id": 2}, "--process-id is 2"),
        ({"coordinator": "host", "num_processes": 2, "process_id": 0}, "--coordinator is 'host'; allowed: HOST:PORT"),
    ],
)
def test_options_that_do_not_go_together_are_told(options, told, monkeypatch):
    for name in ("SLURM_JOB_ID", "SLURM_NTASKS", "SLURM_PROCID"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match=told):
        hosts.start(**options)


def test_one_process_agrees_with_itself():
    assert (hosts.count(), hosts.is_primary(), hosts.agreed(3), hosts.any_says(4)) == (1, True, 3, 4)
    assert hosts.shared_text("é") == "é"
    hosts.start()
    hosts.meet("here")
