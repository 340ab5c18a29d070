"""Larger data: which claims are judged where, corrupted images from two sources, ensembles by size."""

from dataclasses import replace

import numpy as np
import pytest
from helpers import subset, write_image_folder

from lib.data.corruptions import BENCHMARK
from lib.data.datasets import load_dataset
from lib.data.formats import DatasetError
from lib.data.shift import Shift
from lib.findings import harder
from lib.run.store import RunStore


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_image_folder(load_dataset("digits"), tmp_path_factory.mktemp("files") / "digits", train=90, test=60)


@pytest.fixture(scope="module")
def streamed(folder):
    return load_dataset(f"imagefolder@16:{folder}", workers=0)


def test_claims_are_judged_on_named_harder_data_alone(streamed):
    digits = subset(30)
    assert harder.is_evidence(streamed, "imagefolder:somewhere")
    assert harder.is_evidence(replace(digits, name="cifar100"), "cifar100")
    assert not harder.is_evidence(digits, "digits")
    assert not harder.is_evidence(replace(digits, name="cifar100"), None)
    assert not harder.is_evidence(streamed, None)


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
    # Runs that are sure: right, right, wrong and wrong on the only image.
    probs = np.eye(2, dtype=np.float32)[[0, 0, 1, 1]][:, None]
    table = harder.ensemble_scores(probs, np.array([0]))
    assert list(table.columns) == ["size", "accuracy", "Brier score"]
    # Of six pairs five have the right label, which a tie gives too: their means are sure, or undecided in four.
    expected = [[1, 0.5, 1], [2, 5 / 6, (0 + 4 * 0.5 + 2) / 6], [4, 1, 0.5]]
    np.testing.assert_allclose(table.to_numpy(), expected)
    assert harder.ensemble_scores(probs[:3], np.array([0]))["size"].tolist() == [1, 2]
