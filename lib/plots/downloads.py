"""Downloads of a figure: the data behind it as a table, and the figure as SVG.

Every table is in long format, one row per observation. Columns have the names of the quantities in the figure, with
units; runs, chains, cycles and samples count from 1, and epoch 0 is the first weights. A `series` is a legend entry.
"""

import io
from collections.abc import Hashable, Iterable, Mapping
from weakref import WeakKeyDictionary

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

#: MIME types of both in an executed notebook. Not `image/svg+xml`, which would be shown in place of the PNG.
SVG, CSV = "application/x.svg+xml", "text/csv"

_DATA: WeakKeyDictionary[Figure, pd.DataFrame] = WeakKeyDictionary()


def with_data(figure: Figure, data: pd.DataFrame) -> Figure:
    """Attach data to a figure, and return the figure."""
    _DATA[figure] = data
    return figure


def data_of(figure: Figure) -> pd.DataFrame:
    """The data behind a figure of `lib.plots`; raises `KeyError` if it has none."""
    return _DATA[figure]


def csv(figure: Figure) -> str:
    """The data behind a figure as CSV, with seven significant digits, the precision of float32."""
    return data_of(figure).to_csv(index=False, float_format="%.7g", lineterminator="\n")


def svg(figure: Figure) -> str:
    """The figure as SVG, byte-for-byte reproducible, with searchable text; rasterised parts have 150 dots per inch."""
    stream = io.StringIO()
    with plt.rc_context({"svg.fonttype": "none", "svg.hashsalt": "figure"}):
        figure.savefig(stream, format="svg", bbox_inches="tight", dpi=150, metadata={"Date": None})
    return stream.getvalue()


def take_away(figure: Figure) -> dict[str, str]:
    """SVG and CSV by MIME type, which a notebook stores beside the PNG; empty for a figure without data."""
    return {SVG: svg(figure), CSV: csv(figure)} if figure in _DATA else {}


def crossed(axes: Mapping[str, Iterable], values: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """One row per combination of places on the axes, with the values of arrays that have these axes, in this order."""
    index = pd.MultiIndex.from_product(axes.values(), names=axes.keys())
    return pd.DataFrame({name: np.ravel(array) for name, array in values.items()}, index).reset_index()


def paired(places: Mapping[str, Iterable], values: Mapping[str, np.ndarray]) -> pd.DataFrame:
    """One row per pair of places, with the values of square matrices."""
    return crossed({**places, **{f"other {name}": own for name, own in places.items()}}, values)


def stacked(tables: Mapping[Hashable, pd.DataFrame], *names: str) -> pd.DataFrame:
    """Tables below one another, with a column for each part of their keys; missing columns are empty."""
    return pd.concat(tables, names=names).reset_index(level=names).reset_index(drop=True)


def in_plane(points: np.ndarray) -> dict[str, np.ndarray]:
    """The two columns of t-SNE coordinates `(..., 2)`."""
    return {"t-SNE axis 1": points[..., 0], "t-SNE axis 2": points[..., 1]}
