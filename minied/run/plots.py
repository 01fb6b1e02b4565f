"""What all plots of runs begin with."""

from typing import Any


def empty_figure(width: float, height: float) -> Any:
    """Return an empty figure, drawn by Agg whatever the machine's settings and without touching pyplot's state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure
