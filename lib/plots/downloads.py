"""What a reader can take away with a figure: the data behind it as a table, and the figure as SVG.

Every table is long, one row an observation. Columns are named as the figure names what they hold, with its units; runs,
chains, cycles and samples count from 1, and epoch 0 is the first weights. A `series` is what the legend calls it.
"""

import io
from collections.abc import Hashable, Iterable, Mapping
from weakref import WeakKeyDictionary

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

#: MIME types of the two forms in an executed notebook. Not `image/svg+xml`: that would be shown in place of the PNG.
SVG, CSV = "application/x.svg+xml", "text/csv"

_DATA: WeakKeyDictionary[Figure, pd.DataFrame] = WeakKeyDictionary()


def with_data(figure: Figure, data: pd.DataFrame) -> Figure:
    """The same figure, which from now on has this data behind it."""
    _DATA[figure] = data
    return figure


def data_of(figure: Figure) -> pd.DataFrame:
    """The data behind a figure of `lib.plots`; `KeyError` for another one."""
    return _DATA[figure]


def csv(figure: Figure) -> str:
    """The data behind a figure as CSV, numbers with the seven digits that a float32 holds."""
    return data_of(figure).to_csv(index=False, float_format="%.7g", lineterminator="\n")


def svg(figure: Figure) -> str:
    """The figure as SVG, the same to the letter each time, its text to search and edit; maps have 150 dots an inch."""
    stream = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "figure"}):
        figure.savefig(stream, format="svg", bbox_inches="tight", dpi=150, metadata={"Date": None})
    return stream.getvalue()


def take_away(figure: Figure) -> dict[str, str]:
    """Both forms by MIME type, as a notebook carries them beside the PNG; none of a figure that has no data."""
    return {SVG: svg(figure), CSV: csv(figure)} if figure in _DATA else {}


def crossed(axes: Mapping[str, Iterable], values: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """A row each combination of places on the axes, with what arrays with these axes, in their order, hold there."""
    index = pd.MultiIndex.from_product(axes.values(), names=axes.keys())
    return pd.DataFrame({name: np.ravel(array) for name, array in values.items()}, index).reset_index()


def paired(places: Mapping[str, Iterable], values: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """A row each pair of places, with what square matrices hold there."""
    return crossed({**places, **{f"other {name}": own for name, own in places.items()}}, values)


def stacked(tables: Mapping[Hashable, pd.DataFrame], *names: str) -> pd.DataFrame:
    """Tables below one another, after a column for each part of their keys; what a table lacks is empty there."""
    return pd.concat(tables, names=names).reset_index(level=names).reset_index(drop=True)


def in_plane(points: np.ndarray) -> dict[str, np.ndarray]:
    """The two columns of places `(..., 2)` in a t-SNE."""
    return {"t-SNE axis 1": points[..., 0], "t-SNE axis 2": points[..., 1]}
