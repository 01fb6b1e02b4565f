"""Pictures of a run: the learning curve, what the teacher proposes, and the agent at work.

Nothing here may cost a run: a picture that fails is told in one line.
"""

import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from minied.env import Milestone
from minied.levels.space import LevelSpace, Suite
from minied.run import task_pictures
from minied.run.evaluation import evaluation_key
from minied.run.files import Write, write_all
from minied.run.folder import RunFolder
from minied.run.metrics import member_values
from minied.run.milestones import History, histories
from minied.run.plots import empty_figure

GALLERY_SHAPE = (4, 8)
NUM_PROPOSALS = 256
MAX_FRAMES = 300  # of an episode; each of the published worlds' ends before
CAPTION_HEIGHT = 16
FRAME_MILLISECONDS = 80
_SOURCES = {"new": "new levels", "designed": "designed levels", "replay": "replayed levels"}
_COLOURS = ("tab:blue", "tab:purple", "tab:orange", "tab:green")
_ALONG_THE_PANEL = ("axes fraction", "data")
_PAY = {
    "teacher/pay": "pay of a design",
    "designed/return": "return of the student",
    "student_1/designed/return": "return of the second student",
}
"""What a designer is paid, and the returns that regret is made of: by metric, the name in the picture."""


def draw_run(folder: RunFolder, program: Any, state: Any, suite: str, *, with_agent: bool) -> list[str]:
    """Draw the pictures of a run into its folder; return one line for each that failed."""
    env = program.config.env
    space = env.level_space
    pictures: dict[Path, Write] = {
        folder.pictures / "learning_curve.png": lambda path: draw_learning_curve(folder, path)
    }
    if statistics := histories(folder):
        pictures[folder.pictures / "statistics.png"] = lambda path: draw_statistics(statistics, env.milestones, path)
    if space.has("tasks") and task_pictures.has_tasks(metrics := folder.read_rows("metrics")):
        names = [space.tasks.names[number] for number in space.tasks.by_difficulty]
        pictures[folder.pictures / "tasks.png"] = lambda path: task_pictures.draw_tasks(metrics, names, path)
    if space.has("draw"):
        pictures[folder.pictures / "gallery.png"] = lambda path: _draw_proposals(program, state, path)
        if with_agent and suite:
            pictures[folder.pictures / "agent.gif"] = lambda path: _draw_agent(program, state, suite, path)
    return write_all(pictures, made="drawn")[1]


# -- learning curve ----------------------------------------------------------------------------------------------------


def draw_learning_curve(folder: RunFolder, path: Path) -> None:
    """Draw solve rates against environment steps and student updates: members as thin lines, their mean as a thick one.

    Of a teacher that designs, also its pay and what the students earned on its levels.
    """
    metrics, evaluations = folder.read_rows("metrics"), folder.read_rows("evaluations")
    curves: list[tuple[str, list[dict[str, Any]], Callable[[dict[str, Any]], Any]]] = []
    for source, label in _SOURCES.items():
        curves.append((label, metrics, _metric(f"{source}/solve_rate")))
    if evaluations:
        curves.append((f"held out: {evaluations[-1]['suite']}", evaluations, lambda row: row["solve_rate"]))
    designs = any(_metric("teacher/pay")(row) is not None for row in metrics)
    figure = empty_figure(16 if designs else 11, 4)
    axes = figure.subplots(1, 3 if designs else 2)
    counters = (("env_steps", "environment steps"), ("student_updates", "student updates"))
    for axis, (counter, title) in zip(axes, counters, strict=False):
        for (label, rows, pick), colour in zip(curves, _COLOURS, strict=False):
            _draw_curve(axis, [row[counter] for row in rows], [pick(row) for row in rows], label, colour)
        axis.set_xlabel(f"{title} of one member")
        axis.set_ylim(-0.03, 1.03)
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("solve rate")
    if designs:
        _draw_pay(axes[2], metrics)
    figure.suptitle(folder.path.name, fontsize=9)
    _name_curves(axes[0])
    figure.tight_layout()
    figure.savefig(path, dpi=120)


def _metric(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda row: row["metrics"].get(name)


def _draw_pay(axis: Any, metrics: list[dict[str, Any]]) -> None:
    """Draw a designer's pay, before it is brought to scale, and the returns on its levels."""
    for (name, label), colour in zip(_PAY.items(), ("black", *_COLOURS), strict=False):
        values = [_metric(name)(row) for row in metrics]
        if any(value is not None for value in values):
            _draw_curve(axis, [row["env_steps"] for row in metrics], values, label, colour)
    axis.set_xlabel("environment steps of one member")
    axis.grid(alpha=0.3)
    _name_curves(axis)


def _name_curves(axis: Any) -> None:
    """Name the curves in a legend, if there are any."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(loc="best", fontsize=8)


def _draw_curve(axis: Any, counts: Sequence[int], values: Sequence[Any], label: str, colour: str) -> None:
    points = [(count, member_values(value)) for count, value in zip(counts, values, strict=True)]
    points = [(count, value) for count, value in points if not np.all(np.isnan(value))]
    if not points:
        return
    xs = np.asarray([count for count, _ in points])
    ys = np.stack([value for _, value in points])  # [rows, S]
    if ys.shape[1] > 1:
        for member in range(ys.shape[1]):
            axis.plot(xs, ys[:, member], color=colour, alpha=0.3, linewidth=0.8)
    axis.plot(xs, np.nanmean(ys, axis=1), color=colour, linewidth=2, label=label, marker="." if len(xs) < 30 else "")


def draw_statistics(statistics: Mapping[str, History], milestones: Sequence[Milestone], path: Path) -> None:
    """Draw statistics of episodes against environment steps, a panel each: members as thin lines, thresholds dashed.

    Those that were one number in every row have no panel, unless all of them were.
    """
    changing = {
        name: history
        for name, history in statistics.items()
        if len(history.env_steps) == 1 or np.nanmin(history.values) < np.nanmax(history.values)
    }
    statistics = changing or statistics
    columns = min(4, len(statistics))
    rows = -(-len(statistics) // columns)
    figure = empty_figure(3.2 * columns, 0.4 + 2.2 * rows)
    axes = np.asarray(figure.subplots(rows, columns, squeeze=False)).reshape(-1)
    for axis in axes[len(statistics) :]:
        axis.set_axis_off()
    for axis, (name, history) in zip(axes, statistics.items(), strict=False):
        for member in history.values.T:
            known = ~np.isnan(member)
            steps, marker = np.asarray(history.env_steps)[known], "." if known.sum() < 30 else ""
            axis.plot(steps, member[known], color=_COLOURS[0], alpha=0.6, linewidth=0.8, marker=marker, markersize=3)
        for milestone in milestones:
            if milestone.statistic == name:
                axis.axhline(milestone.threshold, color="black", linestyle="--", linewidth=0.8)
                place = {"xy": (0.01, milestone.threshold), "xycoords": _ALONG_THE_PANEL}
                above_the_line = {"xytext": (0, 2), "textcoords": "offset points"}
                axis.annotate(milestone.name, **place, **above_the_line, fontsize=6)
        axis.set_title(name, fontsize=8)
        axis.tick_params(labelsize=6)
        axis.xaxis.get_offset_text().set_fontsize(6)
        axis.grid(alpha=0.3)
    figure.supxlabel("environment steps of one member", fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


# -- levels ------------------------------------------------------------------------------------------------------------


def _draw_proposals(program: Any, state: Any, path: Path) -> None:
    """Draw the levels that the teacher proposes most often, each once, with its share of `NUM_PROPOSALS` proposals."""
    space = program.config.env.level_space
    found: dict[bytes, list[Any]] = {}
    levels, notes = program.annotated_proposals(state, NUM_PROPOSALS)
    for level, note in zip(unstack(levels), unstack(notes) or [{}] * NUM_PROPOSALS, strict=True):
        found.setdefault(b"".join(leaf.tobytes() for leaf in jax.tree.leaves(level)), []).append((level, note))
    often = sorted(found.values(), key=len, reverse=True)[: GALLERY_SHAPE[0] * GALLERY_SHAPE[1]]
    named = [
        (space, level, "\n".join([*_share(len(same)), *_features(note)])) for same in often for level, note in same[:1]
    ]
    draw_gallery(named, path, columns=GALLERY_SHAPE[1])


def _share(count: int) -> list[str]:
    """Return a line that tells how often a level is proposed, none if it is only once among `NUM_PROPOSALS`."""
    return [f"{count / NUM_PROPOSALS:.1%} of proposals"] if count > 1 else []


def draw_gallery(levels: Sequence[tuple[LevelSpace, Any, str]], path: Path, columns: int = 8) -> None:
    """Draw levels side by side, each ``(its level space, level, name)``, with their features in small print."""
    columns = max(1, min(columns, len(levels)))
    rows = -(-len(levels) // columns)
    describers: dict[LevelSpace, Callable] = {}
    told: list[tuple[np.ndarray, list[str], list[str]]] = []
    for space, level, name in levels:
        describe = describers.setdefault(space, jax.jit(space.describe))
        heads = [line for line in (name, textwrap.fill(space.title(level), 34)) if line]
        told.append((space.draw(level), heads, _features(describe(level))))
    # What all of them have alike tells nothing of any.
    common = set.intersection(*(set(features) for *_, features in told)) if len(told) > 1 else set()
    shown = [
        (picture, [*heads, *(line for line in features if line not in common)]) for picture, heads, features in told
    ]
    heights = (1.9 * picture.shape[0] / picture.shape[1] + 0.1 * (len(lines) + 1) for picture, lines in shown)
    figure = empty_figure(1.9 * columns, max(1.0, *heights) * rows)
    axes = np.asarray(figure.subplots(rows, columns, squeeze=False)).reshape(-1)
    for axis in axes:
        axis.set_axis_off()
    for axis, (picture, lines) in zip(axes, shown, strict=False):
        axis.imshow(picture, interpolation="nearest")
        axis.set_title("\n".join(lines), fontsize=5, pad=2)
    figure.tight_layout()
    figure.savefig(path, dpi=160, bbox_inches="tight")


def _features(description: dict[str, Any]) -> list[str]:
    values = {name: float(np.asarray(value)) for name, value in description.items()}
    return [f"{name.replace('_', ' ')} {value:.4g}" for name, value in values.items() if not np.isnan(value)]


def unstack(levels: Any) -> list[Any]:
    """Return the levels of a batch ``[L, ...]`` one by one."""
    leaves = jax.tree.leaves(levels)
    count = len(leaves[0]) if leaves else 0
    return [jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], levels) for i in range(count)]


# -- the agent ---------------------------------------------------------------------------------------------------------


def _draw_agent(program: Any, state: Any, suite: str, path: Path) -> None:
    """Draw the first member at work on up to four entries of the suite, side by side."""
    episodes: list[tuple[str, list[np.ndarray]]] = []
    for index, (part, level, name) in enumerate(_first_entries(program.config.env.level_space.suite(suite), 4)):
        key = jax.random.fold_in(evaluation_key(program.config), 1000 + index)
        states = program.record_episode(state, part.env, level, key, MAX_FRAMES)
        cut = (
            f" (its first {MAX_FRAMES} of {part.env.max_steps})"
            if len(states) == MAX_FRAMES < part.env.max_steps
            else ""
        )
        episodes.append((name + cut, [part.env.level_space.draw(level, each) for each in states]))
    write_animation(episodes, path)


def _first_entries(parts: Sequence[Suite], count: int) -> Iterator[tuple[Suite, Any, str]]:
    """Yield the first level of each of the first ``count`` names."""
    seen: set[str] = set()
    for part in parts:
        for index, name in enumerate(part.names):
            if name not in seen and len(seen) < count:
                seen.add(name)
                yield part, jax.tree.map(lambda leaf, i=index: np.asarray(leaf)[i], part.levels), name


def write_animation(episodes: Sequence[tuple[str, Sequence[np.ndarray]]], path: Path) -> None:
    """Write several episodes, each a name and pictures ``u8[h, w, 3]``, side by side as a GIF; one that is over waits."""
    from PIL import Image, ImageDraw

    length = max(len(frames) for _, frames in episodes)
    height = max(frames[0].shape[0] for _, frames in episodes)
    gap = np.full((height + CAPTION_HEIGHT, 8, 3), 255, np.uint8)

    def caption(name: str, width: int) -> np.ndarray:
        strip = Image.new("RGB", (width, CAPTION_HEIGHT), "white")
        ImageDraw.Draw(strip).text((2, 2), name, fill="black")
        return np.asarray(strip)

    def frame(time: int) -> Image.Image:
        columns = []
        for name, frames in episodes:
            picture = frames[min(time, len(frames) - 1)]
            padding = np.full((height - picture.shape[0], picture.shape[1], 3), 255, np.uint8)
            told = f"{name}: " + (f"step {time}" if time < len(frames) else f"{len(frames)} steps")
            columns += [gap, np.concatenate([caption(told, picture.shape[1]), picture, padding])]
        return Image.fromarray(np.concatenate(columns[1:], axis=1))

    images = [frame(time) for time in range(length)]
    durations = [FRAME_MILLISECONDS] * (length - 1) + [1000]
    images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0)
