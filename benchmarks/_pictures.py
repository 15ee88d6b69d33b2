"""What all pictures have in common: matplotlib, which may be missing, and the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

_DPI = 110
_WIDTH, _HEIGHT = 6.4, 4.9  # inches of one panel


def new_figure(lines: int = 1, columns: int = 1) -> tuple[Any, list[Any]] | None:
    """Return a figure and its panels, line by line.

    None where matplotlib is missing: the picture is skipped, with a line that says so.
    """
    try:
        import matplotlib as mpl

        mpl.use("agg")
        from matplotlib import pyplot as plt
    except ModuleNotFoundError:
        print("\npicture: skipped, matplotlib is not installed (vtrio[bench])")
        return None
    figure, panels = plt.subplots(
        lines,
        columns,
        figsize=(_WIDTH * columns, _HEIGHT * lines),
        squeeze=False,
        layout="constrained",
    )
    for panel in panels.flat:
        panel.grid(visible=True, which="major", alpha=0.25)
    return figure, list(panels.flat)


def make_logarithmic(panel: Any) -> None:
    """Have both axes logarithmic, with plain numbers on them."""
    from matplotlib.ticker import LogFormatter

    class Plain(LogFormatter):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return f"{x:g}" if super().__call__(x, pos) else ""

    panel.set_xscale("log")
    panel.set_yscale("log")
    for axis in (panel.xaxis, panel.yaxis):
        axis.set_major_formatter("{x:g}")
        # Between the powers of ten, where there are few of these.
        axis.set_minor_formatter(Plain(minor_thresholds=(1.5, 0.5)))


def set_legend(figure: Any, panel: Any, columns: int) -> None:
    """Put the legend of one panel, which is that of all, below them."""
    handles, labels = panel.get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=9,
    )


def save(figure: Any, path: Path) -> None:
    """Write a picture that is the same for the same figures: no dates, no versions."""
    from matplotlib import pyplot as plt

    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})
    plt.close(figure)
    print(f"\npicture: {path}")
