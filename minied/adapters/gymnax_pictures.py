"""How is a level of a gymnax environment drawn? Its state where we know how, and its numbers in their ranges. Host only."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from minied.adapters.base import lenient
from minied.adapters.cells import enlarged
from minied.adapters.gymnax_levels import GymnaxLevel
from minied.adapters.gymnax_made import make
from minied.spaces import Box

if TYPE_CHECKING:
    from minied.adapters.gymnax import Gymnax

WIDTH, HEIGHT, ROW = 240, 150, 18  # in pixels: of the picture of a state, and of the line of a number
_FINER = 3  # times that shapes are painted larger, for smooth edges
_PAPER, _INK, _FAINT, _ACCENT = (250, 249, 246), (40, 44, 52), (205, 203, 197), (200, 80, 50)
_CHANNELS = (
    (86, 156, 214), (230, 159, 0), (0, 158, 115), (204, 121, 167), (240, 228, 66),
    (213, 94, 0), (148, 103, 189), (150, 150, 150), (127, 201, 127), (255, 255, 255),
)  # fmt: skip

Point = tuple[float, float]  # (row, col), rows downwards


def draw(world: "Gymnax", level: GymnaxLevel, state: Any = None) -> np.ndarray:
    """Return a picture, ``u8[height, width, 3]``, of ``level`` at its start, or of an episode's ``state`` on it."""
    with lenient():
        if state is None:
            observation, state = world.reset(jax.random.key(0), level)
        else:
            observation = _observed(world, level, state)
    parts = []
    if world.id in _DRAWERS:
        painting = _Painting(HEIGHT, WIDTH)
        _DRAWERS[world.id](painting, state.inner, world.parameters_of(level))
        parts.append(painting.picture())
    elif isinstance(world.observation_space, Box) and len(world.observation_space.shape) == 3:
        parts.append(_image(world.observation_space, observation))
    if world.varied or not parts:
        parts.append(_bars(world, level))
    return np.concatenate(parts)


def _observed(world: "Gymnax", level: GymnaxLevel, state: Any) -> Any:
    """Return what is seen in ``state``, where the environment can tell without a step; else None."""
    try:
        env, parameters = make(world.id, world.set).env, world.parameters_of(level)
        return env.observe(jax.random.key(0), state.inner, None, parameters)
    except Exception:  # it is somebody else's code, and only a picture
        return None


def _image(space: Box, observation: Any) -> np.ndarray:
    """Return an observation ``[H, W, C]`` in the colours of its channels, the last one on top; dark if it is not known."""
    height, width, channels = space.shape
    values = np.zeros(space.shape) if observation is None else np.asarray(observation, np.float64).reshape(space.shape)
    values = np.clip((values - space.low) / max(space.high - space.low, 1e-9), 0, 1)
    picture = np.zeros((height, width, 3)) + _INK
    colours = [(255, 255, 255)] if channels == 1 else [_CHANNELS[index % len(_CHANNELS)] for index in range(channels)]
    for channel, colour in enumerate(colours):
        share = values[:, :, channel, None]
        picture = picture * (1 - share) + np.asarray(colour) * share
    scale = max(1, WIDTH // width)
    tall = enlarged(picture.astype(np.uint8), scale)
    framed = np.full((tall.shape[0], max(WIDTH, tall.shape[1]), 3), _PAPER, np.uint8)
    framed[:, : tall.shape[1]] = tall
    return framed


def _bars(world: "Gymnax", level: GymnaxLevel) -> np.ndarray:
    """Return a line for each number: its name, its value, and its place in its range."""
    columns = WIDTH
    if isinstance(world.observation_space, Box) and len(world.observation_space.shape) == 3:
        columns = max(WIDTH, world.observation_space.shape[1])
    painting = _Painting(ROW * max(1, len(world.varied)), columns)
    for index, each in enumerate(world.varied):
        value, middle = float(level.numbers[each.name]), ROW * (index + 0.5)
        painting.text((middle, 6), f"{each.name} {value:.3g}")
        left, right = 0.62 * columns, columns - 10.0
        painting.line([(middle, left), (middle, right)], _FAINT, 3)
        painting.disc((middle, left + (right - left) * (value - each.low) / (each.high - each.low)), 5, _ACCENT)
    return painting.picture()


class _Painting:
    """A picture that shapes are painted on one after the other; lengths in pixels."""

    def __init__(self, height: int, width: int) -> None:
        from PIL import Image, ImageDraw

        self._size = width, height
        self._image = Image.new("RGB", (width * _FINER, height * _FINER), _PAPER)
        self._draw: Any = ImageDraw.Draw(self._image)

    def picture(self) -> np.ndarray:
        """Return what was painted, ``u8[height, width, 3]``."""
        from PIL import Image

        return np.asarray(self._image.resize(self._size, Image.Resampling.BOX))

    def line(self, points: Sequence[Point], colour: tuple[int, int, int], width: float) -> None:
        """Draw a line through ``points``."""
        self._draw.line(self._pixels(points), fill=colour, width=max(1, round(width * _FINER)), joint="curve")

    def disc(self, centre: Point, radius: float, colour: tuple[int, int, int]) -> None:
        """Fill a disc."""
        (row, col) = centre
        low, high = self._pixels([(row - radius, col - radius), (row + radius, col + radius)])
        self._draw.ellipse((*low, *high), fill=colour)

    def box(self, top: float, left: float, bottom: float, right: float, colour: tuple[int, int, int]) -> None:
        """Fill a rectangle."""
        self._draw.rectangle(self._pixels([(top, left), (bottom, right)]), fill=colour)

    def text(self, start: Point, words: str) -> None:
        """Write from a point on, to the right of it, in the middle of its line."""
        from PIL import ImageFont

        font = ImageFont.load_default(size=11 * _FINER)
        self._draw.text(self._pixels([start])[0], words, fill=_INK, font=font, anchor="lm")

    def _pixels(self, points: Sequence[Point]) -> list[tuple[int, int]]:
        limit = 4 * (self._size[0] + self._size[1])  # what flies off is drawn outside, not refused
        return [
            tuple(round(float(np.clip(each, -limit, limit)) * _FINER) for each in (col, row)) for row, col in points
        ]  # type: ignore[misc]


# -- states that we know how to draw -----------------------------------------------------------------------------------


def _cart_pole(painting: _Painting, state: Any, parameters: Any) -> None:
    floor, scale = HEIGHT - 30.0, 0.45 * WIDTH / float(parameters.x_threshold)
    col = WIDTH / 2 + scale * float(state.x)
    painting.line([(floor + 8, 0), (floor + 8, WIDTH)], _FAINT, 2)
    for side in (-1, 1):
        edge = WIDTH / 2 + side * scale * float(parameters.x_threshold)
        painting.line([(floor - 10, edge), (floor + 8, edge)], _FAINT, 2)
    painting.box(floor - 8, col - 18, floor + 8, col + 18, _INK)
    length, theta = 2 * 50 * float(parameters.length), float(state.theta)  # gymnax has half of the pole's length
    end = floor - 8 - length * np.cos(theta), col + length * np.sin(theta)
    painting.line([(floor - 8, col), end], _ACCENT, 3 + 8 * np.sqrt(max(0.0, float(parameters.masspole))))


def _acrobot(painting: _Painting, state: Any, parameters: Any) -> None:
    lengths = float(parameters.link_length_1), float(parameters.link_length_2)
    scale, point = 0.46 * HEIGHT / max(sum(lengths), 1e-6), (HEIGHT / 2, WIDTH / 2)
    # The goal is written with links of length 1, whatever they are: the height that cosines alone must reach.
    painting.line([(HEIGHT / 2 - scale, 0), (HEIGHT / 2 - scale, WIDTH)], _FAINT, 2)
    angle = 0.0
    for length, joint, colour in zip(lengths, (state.joint_angle1, state.joint_angle2), (_INK, _ACCENT), strict=True):
        angle += float(joint)
        end = point[0] + scale * length * np.cos(angle), point[1] + scale * length * np.sin(angle)
        painting.line([point, end], colour, 6)
        painting.disc(point, 5, _INK)
        point = end


def _pendulum(painting: _Painting, state: Any, parameters: Any) -> None:
    length, centre, theta = 45 * min(1.5, float(parameters.l)), (HEIGHT / 2, WIDTH / 2), float(state.theta)
    painting.line([centre, (centre[0] - length * np.cos(theta), centre[1] - length * np.sin(theta))], _ACCENT, 9)
    painting.disc(centre, 5, _INK)


def _mountain_car(painting: _Painting, state: Any, parameters: Any) -> None:
    low, high = float(parameters.min_position), float(parameters.max_position)

    def place(position: float) -> Point:
        return HEIGHT * (0.55 - 0.3 * np.sin(3 * position)), WIDTH * (position - low) / (high - low)

    painting.line([place(position) for position in np.linspace(low, high, 80)], _INK, 2)
    row, col = place(float(parameters.goal_position))
    painting.line([(row, col), (row - 22, col)], _ACCENT, 3)
    row, col = place(float(state.position))
    painting.disc((row - 7, col), 7, _ACCENT)


_DRAWERS: dict[str, Callable[[_Painting, Any, Any], None]] = {
    "CartPole-v1": _cart_pole,
    "Acrobot-v1": _acrobot,
    "Pendulum-v1": _pendulum,
    "MountainCar-v0": _mountain_car,
    "MountainCarContinuous-v0": _mountain_car,
}
