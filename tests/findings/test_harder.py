"""Harder data: the gap compared with easier data, corrupted images from two sources, and ensembles by size."""

import numpy as np
import pytest
from helpers import subset, write_image_folder
from scipy.stats import t

from lib.data.corruptions import BENCHMARK
from lib.data.datasets import load_dataset
from lib.data.formats import DatasetError
from lib.data.shift import Shift
from lib.findings import harder
from lib.metrics.intervals import Estimate
from lib.run.store import RunStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_image_folder(load_dataset("digits"), tmp_path_factory.mktemp("files") / "digits", train=90, test=60)


@pytest.fixture(scope="module")
def streamed(folder):
    return load_dataset(f"imagefolder@16:{folder}", workers=0)


def test_gap_is_the_difference_of_both_kinds_of_data(monkeypatch):
    monkeypatch.setattr(harder, "more_diverse", lambda value: Estimate(value, value - 1, value + 1, df=5.0))
    found = harder.gap({"value": 5.0}, {"value": 2.0})
    assert (found.value, found.df) == (3, pytest.approx(10))
    assert found.half_width == pytest.approx(t.ppf(0.975, 10) / t.ppf(0.975, 5) * 2**0.5)


def test_corrupted_images_made_here_are_those_of_the_shift(tmp_path):
    shift = Shift(subset(30), RunStore(tmp_path), count=2)
    for severity in (0, 3):
        split = harder.corrupted(shift, severity)
        np.testing.assert_array_equal(split.images, shift.images(severity).reshape(-1, 8, 8, 1))
        np.testing.assert_array_equal(split.labels, shift.labels.ravel())


def test_corrupted_images_of_a_folder_are_its_files(tmp_path, folder, streamed):
    shift, clean = Shift(streamed, RunStore(tmp_path / "runs"), count=3), streamed.test
    with pytest.raises(DatasetError, match="not found"):
        harder.corrupted(shift, 2, tmp_path)
    for name in BENCHMARK:
        (tmp_path / name).mkdir()
        (tmp_path / name / "2").symlink_to(folder / "val")
    np.testing.assert_array_equal(harder.corrupted(shift, 0, tmp_path).images, clean.images[:3])
    split = harder.corrupted(shift, 2, tmp_path)
    assert split.images.shape == (3 * len(BENCHMARK), 16, 16, 3)
    np.testing.assert_array_equal(split.labels.reshape(-1, 3), np.tile(clean.labels[:3], (len(BENCHMARK), 1)))


def test_ensemble_scores_by_hand():
    # Four runs that are sure of the only image: right, right, wrong and wrong.
    probs = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]][:, None]
    table = harder.ensemble_scores(probs, np.array([0]))
    assert list(table.columns) == ["size", "accuracy", "Brier score"]
    # Five of six pairs have the right label, which also wins ties: four means are undecided, the other two sure.
    expected = [[1, 0.5, 1], [2, 5 / 6, (0 + 4 * 0.5 + 2) / 6], [4, 1, 0.5]]
    np.testing.assert_allclose(table.to_numpy(), expected)
    assert harder.ensemble_scores(probs[:3], np.array([0]))["size"].tolist() == [1, 2]
