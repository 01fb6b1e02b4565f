"""A long comparison goes on where it was cut off."""

import runpy
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kept_rows.py"


@pytest.fixture
def kept():
    return runpy.run_path(str(SCRIPT))


def test_rows_are_kept_and_found(kept, tmp_path, capsys):
    path, done = tmp_path / "rows.jsonl", []
    assert kept["read"](path) == []
    kept["keep"](done, path, {"task": "a", "seeds": 2, "curve": [1, 2]}, unsaid=("curve",))
    kept["keep"](done, path, {"task": "b", "seeds": 2})
    assert capsys.readouterr().out == "{'task': 'a', 'seeds': 2}\n{'task': 'b', 'seeds': 2}\n"
    assert kept["read"](path) == done
    assert kept["found"](done, {"task": "a", "seeds": 2}) == done[:1]
    assert kept["found"](done, {"task": "a", "seeds": 3}) == kept["found"](done, {"levels": 1}) == []


def test_a_line_that_was_cut_off_is_measured_again(kept, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"task": "a"}\n{"task": "b')
    done = kept["read"](path)
    assert done == [{"task": "a"}]
    kept["keep"](done, path, {"task": "c"})
    assert kept["read"](path) == [{"task": "a"}, {"task": "c"}]
    path.write_text('{"task"')
    assert kept["read"](path) == []


def test_a_whole_line_without_an_end_is_kept(kept, tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text('{"task": "a"}\n{"task": "b"}')
    done = kept["read"](path)
    assert done == [{"task": "a"}, {"task": "b"}]
    kept["keep"](done, path, {"task": "c"})
    assert kept["read"](path) == [{"task": "a"}, {"task": "b"}, {"task": "c"}]
