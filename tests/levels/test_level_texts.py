"""Files of levels that people wrote: parted by empty lines, and told where they are wrong."""

import pytest
from toy_designers import EditableCorridor
from toy_worlds import Meeting

from minied.errors import UserError
from minied.levels.text import read_levels

SPACE = EditableCorridor(length=4).level_space


def read(tmp_path, text):
    path = tmp_path / "levels.txt"
    path.write_text(text, encoding="utf-8")
    return [int(level.start) for level in read_levels(SPACE, path, "teacher.file")]


@pytest.mark.parametrize(
    "text",
    [
        "S.G\n\nSG\n\nS...G\n",
        "S.G\n\n\n\nSG\n \t\nS...G",
        "\n\n\nS.G\n\nSG\n\nS...G\n\n\n",
        "S.G\r\n\r\nSG\r\n\r\nS...G",
    ],
)
def test_levels_are_read_in_order_whatever_empty_lines_part_them(tmp_path, text):
    assert read(tmp_path, text) == [2, 1, 4]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("S.G\n\n\nS.X\n\nSG\n", ("line 4", "'S.X'", "allowed")),
        ("S....G\n", ("line 1", "'S....G'", "at most 3 dots")),  # a level of another size
        ("SG\nSG\n", ("line 1",)),  # two levels that nothing parts
        ("\n \n", ("holds no level",)),
        ("", ("holds no level",)),
    ],
)
def test_a_bad_file_is_told_by_the_line_on_which_the_level_starts(tmp_path, text, parts):
    with pytest.raises(UserError) as error:
        read(tmp_path, text)
    assert all(part in str(error.value) for part in ("levels.txt", *parts))
    assert "\n" not in str(error.value)


def test_a_file_that_is_not_there_or_no_text_is_told(tmp_path):
    with pytest.raises(
        UserError, match=r"none\.txt cannot be read: No such file or directory; allowed: a text file with drawn levels"
    ):
        read_levels(SPACE, tmp_path / "none.txt", "teacher.file")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(UserError, match=r"bytes\.txt cannot be read: it is not UTF-8"):
        read_levels(SPACE, tmp_path / "bytes.txt", "teacher.file")


def test_a_world_that_reads_no_text_is_told_who_asks(tmp_path):
    with pytest.raises(UserError, match=r"teacher\.file needs `from_text`"):
        read_levels(Meeting().level_space, tmp_path / "none.txt", "teacher.file")
