"""Images unlike the training data: which are chosen, how they are cached, and the published files used instead."""

import numpy as np
import pytest
from helpers import subset
from scipy.io import savemat

from lib.data import shift
from lib.data.corruptions import CORRUPTIONS, corrupt
from lib.data.datasets import Dataset, Split, load_dataset
from lib.data.formats import DatasetError
from lib.data.shift import PUBLISHED, Shift, foreign_images
from lib.errors import ConfigError
from lib.run.store import RunStore

NAMES = tuple(CORRUPTIONS)
GREY = tuple(name for name in NAMES if name != "saturate")


def made(name, count=4, shape=(32, 32, 3)):
    """A dataset of random noise with the given name."""
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (count, *shape), dtype=np.uint8), rng.integers(0, 10, count))
    return Dataset(name, split, split, split, tuple("abcdefghij"))


def write_published(root, labels):
    """Write small files in the format of CIFAR-10-C, with these labels at every severity; return the images."""
    folder = root / PUBLISHED
    folder.mkdir()
    images = {}
    for number, name in enumerate(NAMES):
        rng = np.random.default_rng(number)
        images[name] = rng.integers(0, 256, (5, len(labels), 32, 32, 3), dtype=np.uint8)
        np.save(folder / f"{name}.npy", images[name].reshape(-1, 32, 32, 3))
    np.save(folder / "labels.npy", np.tile(labels, 5).astype(np.uint8))
    return images


def write_svhn(root, count=12):
    """Write small files in the format of SVHN; return the test images."""
    (root / "svhn").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(1, count + 1, dtype=np.uint8)[:, np.newaxis] % 10 + 1
    for part in ("train", "test"):
        own = images if part == "test" else images[::-1] // 2
        savemat(root / "svhn" / f"{part}_32x32.mat", {"X": own.transpose(1, 2, 3, 0), "y": labels})
    return images


@pytest.mark.parametrize("shape", [(8, 7, 3), (8, 8, 4), (8, 8, 2)])
def test_images_that_no_corruption_takes_are_told_at_once(tmp_path, shape):
    with pytest.raises(ConfigError, match=r"^corruptions need grey or RGB images of at least 8 by 8 pixels, got "):
        Shift(made("own", shape=shape), RunStore(tmp_path))
    with pytest.raises(ValueError, match="H and W at least 8 and C = 1 or 3"):
        corrupt(made("own", shape=shape).test.images, "fog", 1)


@pytest.fixture
def counted(monkeypatch):
    """The name and severity of every call of `corrupt`, in order."""
    calls = []

    def counting(images, name, severity, seed):
        calls.append((name, severity))
        return corrupt(images, name, severity, seed)

    monkeypatch.setattr(shift, "corrupt", counting)
    return calls


def is_among(images, source):
    """The index of each image in `source`; all of them must be found."""
    same = (images[:, np.newaxis] == source).all(axis=(2, 3, 4))
    assert same.any(axis=1).all()
    return same.argmax(axis=1)


# Which images


def test_which_images_are_the_next_ones_and_start_again(tmp_path):
    found = Shift(subset(10), RunStore(tmp_path), count=3, data_dir=tmp_path)
    # Grey images have no saturation: saturate leaves them unchanged, so it is left out.
    assert found.names == GREY
    assert found.which.shape == (18, 3)
    np.testing.assert_array_equal(found.which[:4], [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 0, 1]])
    np.testing.assert_array_equal(found.labels[3], subset(10).test.labels[[9, 0, 1]])
    for count in (None, 5):
        all_of_them = Shift(subset(5), RunStore(tmp_path), count, data_dir=tmp_path).which
        np.testing.assert_array_equal(all_of_them, np.tile(np.arange(5), (18, 1)))


@pytest.mark.parametrize("count", [0, 11])
def test_shift_of_images_that_there_are_not(tmp_path, count):
    with pytest.raises(ConfigError, match=rf"^num_corrupted must be from 1 to 10 for digits, got {count}$"):
        Shift(subset(10), RunStore(tmp_path), count)


# Corrupted here


def test_images_meet_their_corruption_at_every_severity(tmp_path):
    dataset = subset(10)
    found = Shift(dataset, RunStore(tmp_path), count=2, data_dir=tmp_path, seed=3)
    for severity in (0, 1, 5):
        images = found.images(severity)
        assert (images.shape, images.dtype) == ((18, 2, 8, 8, 1), np.uint8)
        for name, own, which in zip(found.names, images, found.which, strict=True):
            np.testing.assert_array_equal(own, corrupt(dataset.test.images[which], name, severity, 3))
    np.testing.assert_array_equal(found.images(0), dataset.test.images[found.which])
    assert not np.array_equal(found.images(1), found.images(5))


def test_images_are_kept_by_their_settings(tmp_path, counted, monkeypatch):
    store = RunStore(tmp_path)

    def make(count=2, seed=0, severity=2, images=10):
        counted.clear()
        found = Shift(subset(images), store, count, tmp_path, seed).images(severity)
        return found, list(counted)

    first, calls = make()
    assert calls == [(name, 2) for name in GREY]
    again, calls = make()
    np.testing.assert_array_equal(again, first)
    assert calls == []
    for other in ({"count": 3}, {"seed": 1}, {"severity": 3}, {"images": 9}):
        images, calls = make(**other)
        assert len(calls) == 18
        assert not np.array_equal(images, first)
    make(severity=0)  # clean images are not cached
    monkeypatch.setattr(shift, "VERSION", shift.VERSION + 1)
    assert len(make()[1]) == 18
    assert len(store.derived()) == 6


def test_images_of_one_under_everything(tmp_path):
    dataset = subset(10)
    found = Shift(dataset, RunStore(tmp_path), count=1, data_dir=tmp_path)
    images = found.of_one(7)
    assert images.shape == (18, 6, 8, 8, 1)
    np.testing.assert_array_equal(images[:, 0], np.tile(dataset.test.images[7], (18, 1, 1, 1)))
    np.testing.assert_array_equal(images[4, 5], corrupt(dataset.test.images[7:8], NAMES[4], 5)[0])
    assert not np.array_equal(images[:, 1], found.of_one(0)[:, 1])


# The published files


def test_published_files_are_read_in_place_of_corrupting(tmp_path, counted):
    dataset, store = made("cifar10"), RunStore(tmp_path / "runs")
    written = write_published(tmp_path, dataset.test.labels)
    found = Shift(dataset, store, count=3, data_dir=tmp_path)
    assert found.published == tmp_path / PUBLISHED
    for severity in (1, 5):
        expected = [written[name][severity - 1][which] for name, which in zip(NAMES, found.which, strict=True)]
        np.testing.assert_array_equal(found.images(severity), expected)
    images = found.of_one(2)
    np.testing.assert_array_equal(images[:, 1:], [written[name][:, 2] for name in NAMES])
    np.testing.assert_array_equal(images[:, 0], np.tile(dataset.test.images[2], (19, 1, 1, 1)))
    np.testing.assert_array_equal(found.images(0), dataset.test.images[found.which])
    assert {severity for _, severity in counted} == {0}
    assert store.derived() == []


def test_published_files_of_cifar10_alone(tmp_path, monkeypatch):
    write_published(tmp_path, made("cifar10").test.labels)
    store = RunStore(tmp_path)
    for name, there in (("cifar10", True), ("cifar100", False), ("digits", False)):
        assert (Shift(made(name), store, data_dir=tmp_path).published is not None) == there
    assert Shift(made("cifar10"), store, data_dir=tmp_path / "elsewhere").published is None
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert Shift(made("cifar10"), store).published == tmp_path / PUBLISHED


@pytest.mark.parametrize("change", [lambda labels: (labels + 1) % 10, lambda labels: np.tile(labels, 2)])
def test_published_files_with_other_labels_are_one_line(tmp_path, change):
    dataset = made("cifar10")
    write_published(tmp_path, change(dataset.test.labels))
    with pytest.raises(DatasetError) as caught:
        Shift(dataset, RunStore(tmp_path), data_dir=tmp_path).images(1)
    line = f"{tmp_path / PUBLISHED / 'labels.npy'}: expected the labels of the test images of cifar10"
    assert str(caught.value) == line


IMAGES = np.zeros((20, 32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("gaussian_noise.npy", None, r"gaussian_noise\.npy not found; unpack CIFAR-10-C .*zenodo"),
        ("labels.npy", None, r"labels\.npy not found"),
        ("gaussian_noise.npy", b"", r"gaussian_noise\.npy: cannot be read"),
        ("labels.npy", b"\x93NUMPY\x01\x00xxxxxxxxxx", r"labels\.npy: cannot be read"),
        ("gaussian_noise.npy", np.array([{}]), r"gaussian_noise\.npy: cannot be read"),
        ("gaussian_noise.npy", IMAGES / 255, r"gaussian_noise\.npy: expected uint8 .*got float64"),
        ("gaussian_noise.npy", IMAGES[:, :28], r"gaussian_noise\.npy: cannot be read"),
        ("gaussian_noise.npy", IMAGES[:15], r"gaussian_noise\.npy: expected integer labels of shape \(3,\)"),
        ("labels.npy", np.full(20, 10), r"gaussian_noise\.npy: expected labels 0 to 9"),
    ],
)
def test_published_files_that_are_damaged_are_one_line(tmp_path, file, content, message):
    dataset = made("cifar10")
    write_published(tmp_path, dataset.test.labels)
    path = tmp_path / PUBLISHED / file
    if isinstance(content, np.ndarray):
        np.save(path, content, allow_pickle=True)
    else:
        path.unlink() if content is None else path.write_bytes(content)
    found = Shift(dataset, RunStore(tmp_path), data_dir=tmp_path)
    with pytest.raises(DatasetError, match=message) as caught:
        found.images(3)
    assert "\n" not in str(caught.value)
    assert found.images(0).shape == (19, 4, 32, 32, 3)


# Images of another kind


def test_foreign_images_to_digits_are_clothes(tmp_path):
    clothes = load_dataset("fashion_mnist_mini").test.images
    name, images = foreign_images(subset(3), 5, tmp_path)
    assert (name, images.shape, images.dtype) == ("clothes (Fashion-MNIST)", (5, 8, 8, 1), np.uint8)
    # The foreign images are also clothes for SVHN, at its size and with the grey channel repeated three times.
    write_svhn(tmp_path)
    name, images = foreign_images(made("svhn"), 5, tmp_path)
    assert (name, images.shape) == ("clothes (Fashion-MNIST)", (5, 32, 32, 3))
    assert (images == images[..., :1]).all()
    # At their original size they are unchanged.
    _, images = foreign_images(made("digits", shape=(28, 28, 1)), 5, tmp_path)
    assert len(set(is_among(images, clothes))) == 5


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_foreign_images_to_cifar_are_house_numbers_where_they_are(tmp_path, name):
    what, images = foreign_images(made(name), 6, tmp_path)
    assert (what, images.shape) == ("handwritten digits (scikit-learn)", (6, 32, 32, 3))
    source = write_svhn(tmp_path)
    what, images = foreign_images(made(name), 6, tmp_path)
    assert what == "house numbers (SVHN)"
    assert len(set(is_among(images, source))) == len(images) == 6
    # At most as many as there are.
    assert sorted(is_among(foreign_images(made(name), 500, tmp_path)[1], source)) == list(range(12))


def test_foreign_images_to_all_others_are_subset(tmp_path):
    write_svhn(tmp_path)
    for dataset in (made("fashion_mnist_mini", shape=(28, 28, 1)), made("my-images-16", shape=(16, 16, 3))):
        name, images = foreign_images(dataset, 4, tmp_path)
        assert (name, images.shape) == ("handwritten digits (scikit-learn)", (4, *dataset.image_shape))
    whole = load_dataset("digits")
    source = np.concatenate([split.images for split in (whole.train, whole.val, whole.test)])
    _, images = foreign_images(made("other", shape=(8, 8, 3)), 7, tmp_path)
    assert (images == images[..., :1]).all()
    assert set(map(bytes, images[..., :1])) < set(map(bytes, source))


def test_foreign_images_are_chosen_by_seed(tmp_path):
    one, same, other, every = (
        foreign_images(made("other", shape=(8, 8, 1)), count, tmp_path, seed)[1]
        for count, seed in ((5, 0), (5, 0), (5, 1), (None, 0))
    )
    np.testing.assert_array_equal(one, same)
    np.testing.assert_array_equal(one, every[:5])
    assert len(every) == 1797
    assert not np.array_equal(one, other)


def test_foreign_images_are_interpolated(tmp_path, monkeypatch):
    # A ramp from left to right stays a ramp with the same ends.
    ramp = np.tile(np.linspace(0, 240, 8).astype(np.uint8)[:, np.newaxis], (3, 8, 1, 1))
    split = Split(ramp, np.zeros(3, int))
    monkeypatch.setattr(shift, "load_dataset", lambda name: Dataset(name, split, split, split, ("a",)))
    _, images = foreign_images(made("other", shape=(12, 16, 3)), 2, tmp_path)
    assert images.shape == (2, 12, 16, 3)
    rows = images[0, :, :, 0].astype(int)
    assert (rows == rows[0]).all()
    assert (rows[0, 0], rows[0, -1]) == (0, 240)
    assert (np.diff(rows[0]) >= 0).all()
    np.testing.assert_allclose(
        rows[0, 1:-1], np.interp(np.arange(1, 15) / 2 - 0.25, np.arange(8), ramp[0, 0, :, 0]), atol=1
    )
