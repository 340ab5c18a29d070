"""Images unlike the training data: which they are, that they are kept, and the published files in their place."""

import numpy as np
import pytest
from helpers import subset
from scipy.io import savemat

from lib.data import shift
from lib.data.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from lib.data.datasets import Dataset, Split, load_dataset
from lib.data.formats import DatasetError
from lib.data.shift import PUBLISHED, Shift, foreign_images, read_cifar10_c
from lib.errors import ConfigError
from lib.run.store import RunStore

NAMES = tuple(CORRUPTIONS)


def made(name, count=4, shape=(32, 32, 3)):
    """A dataset of that name, of noise."""
    rng = np.random.default_rng(0)
    split = Split(rng.integers(0, 256, (count, *shape), dtype=np.uint8), rng.integers(0, 10, count))
    return Dataset(name, split, split, split, tuple("abcdefghij"))


def digits(count=10):
    return subset(count)


def write_published(root, labels):
    """Small files in the format of CIFAR-10-C, with these labels at every severity."""
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
    """Small files in the format of SVHN; gives the test images."""
    (root / "svhn").mkdir()
    images = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    labels = np.arange(1, count + 1, dtype=np.uint8)[:, np.newaxis] % 10 + 1
    for part in ("train", "test"):
        own = images if part == "test" else images[::-1] // 2
        savemat(root / "svhn" / f"{part}_32x32.mat", {"X": own.transpose(1, 2, 3, 0), "y": labels})
    return images


@pytest.fixture
def counted(monkeypatch):
    """Names and severities for which images were corrupted, in turn."""
    calls = []

    def counting(images, name, severity, seed):
        calls.append((name, severity))
        return corrupt(images, name, severity, seed)

    monkeypatch.setattr(shift, "corrupt", counting)
    return calls


def is_among(images, source):
    """Where each image is in the source; all of them must be there."""
    same = (images[:, np.newaxis] == source).all(axis=(2, 3, 4))
    assert same.any(axis=1).all()
    return same.argmax(axis=1)


# Which images


def test_which_images_are_the_next_ones_and_start_again(tmp_path):
    found = Shift(digits(10), RunStore(tmp_path), count=3, data_dir=tmp_path)
    np.testing.assert_array_equal(found.which[:4], [[0, 1, 2], [3, 4, 5], [6, 7, 8], [9, 0, 1]])
    assert found.which.shape == (19, 3)
    assert found.num_images == 10
    np.testing.assert_array_equal(found.labels[3], digits(10).test.labels[[9, 0, 1]])


def test_which_images_of_many_are_all_different(tmp_path):
    found = Shift(digits(60), RunStore(tmp_path), count=2, data_dir=tmp_path)
    assert len(np.unique(found.which)) == found.num_images == 38


def test_which_images_are_all_of_them_without_a_count(tmp_path):
    for count in (None, 5):
        found = Shift(digits(5), RunStore(tmp_path), count, data_dir=tmp_path)
        np.testing.assert_array_equal(found.which, np.tile(np.arange(5), (19, 1)))
        assert found.num_images == 5


@pytest.mark.parametrize("count", [0, -1, 11])
def test_shift_of_images_that_there_are_not(tmp_path, count):
    with pytest.raises(ConfigError, match=rf"^num_corrupted must be from 1 to 10 for digits, got {count}$"):
        Shift(digits(10), RunStore(tmp_path), count)


def test_resample_by_hand(tmp_path):
    # Of three images the first meets seven of the 19 corruptions, the others six each.
    found = Shift(digits(3), RunStore(tmp_path), count=1, data_dir=tmp_path)
    np.testing.assert_allclose(found.resample(np.arange(3)), np.full(19, 1 / 19))
    weights = found.resample(np.array([2, 0, 0]))
    np.testing.assert_allclose(weights[:3], [2 / 20, 0, 1 / 20])
    assert weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(found.resample(np.array([1, 1, 1]))[:4], [0, 1 / 6, 0, 0])


def test_resample_weighs_as_repeated_images_do(tmp_path):
    found = Shift(digits(10), RunStore(tmp_path), count=3, data_dir=tmp_path)
    rng = np.random.default_rng(0)
    values, images = rng.random((2, 19, 3)), rng.integers(10, size=10)
    repeated = np.concatenate([values[:, found.which == image] for image in images], axis=1)
    np.testing.assert_allclose(values.reshape(2, -1) @ found.resample(images), repeated.mean(axis=1))


# Corrupted here


def test_images_meet_their_corruption_at_every_severity(tmp_path):
    dataset = digits(10)
    found = Shift(dataset, RunStore(tmp_path), count=2, data_dir=tmp_path, seed=3)
    for severity in (0, 1, 5):
        images = found.images(severity)
        assert (images.shape, images.dtype) == ((19, 2, 8, 8, 1), np.uint8)
        for name, own, which in zip(NAMES, images, found.which, strict=True):
            np.testing.assert_array_equal(own, corrupt(dataset.test.images[which], name, severity, 3))
    np.testing.assert_array_equal(found.images(0), dataset.test.images[found.which])
    assert not np.array_equal(found.images(1), found.images(5))


def test_images_are_kept_and_not_made_twice(tmp_path, counted):
    store = RunStore(tmp_path)
    first = Shift(digits(10), store, count=2, data_dir=tmp_path).images(2)
    assert counted == [(name, 2) for name in NAMES]
    again = Shift(digits(10), store, count=2, data_dir=tmp_path).images(2)
    np.testing.assert_array_equal(again, first)
    assert len(counted) == 19
    assert len(store.derived()) == 1


def test_images_of_other_settings_are_made(tmp_path, counted, monkeypatch):
    store = RunStore(tmp_path)

    def make(count=2, seed=0, severity=2, images=10):
        counted.clear()
        found = Shift(digits(images), store, count, tmp_path, seed).images(severity)
        return found, len(counted)

    first, number = make()
    assert number == 19
    assert make()[1] == 0
    for other in ({"count": 3}, {"seed": 1}, {"severity": 3}, {"images": 9}):
        images, number = make(**other)
        assert number == 19
        assert not np.array_equal(images, first)
    monkeypatch.setattr(shift, "VERSION", shift.VERSION + 1)
    assert make()[1] == 19
    assert len(store.derived()) == 6


def test_clean_images_are_not_kept(tmp_path):
    Shift(digits(3), RunStore(tmp_path), data_dir=tmp_path).images(0)
    assert RunStore(tmp_path).derived() == []


def test_images_of_one_under_everything(tmp_path):
    dataset = digits(10)
    found = Shift(dataset, RunStore(tmp_path), count=1, data_dir=tmp_path)
    images = found.of_one(7)
    assert images.shape == (19, 6, 8, 8, 1)
    np.testing.assert_array_equal(images[:, 0], np.tile(dataset.test.images[7], (19, 1, 1, 1)))
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


def test_published_files_of_cifar10_alone(tmp_path):
    write_published(tmp_path, made("cifar10").test.labels)
    for name, there in (("cifar10", True), ("cifar100", False), ("digits", False)):
        found = Shift(made(name), RunStore(tmp_path), count=1, data_dir=tmp_path)
        assert (found.published is not None) == there
    assert Shift(made("cifar10"), RunStore(tmp_path), data_dir=tmp_path / "elsewhere").published is None


def test_published_files_lie_in_the_default_root(tmp_path, monkeypatch):
    write_published(tmp_path, made("cifar10").test.labels)
    monkeypatch.setenv("DATA_DIR", str(tmp_path))
    assert Shift(made("cifar10"), RunStore(tmp_path)).published == tmp_path / PUBLISHED
    monkeypatch.setenv("DATA_DIR", str(tmp_path / "elsewhere"))
    assert Shift(made("cifar10"), RunStore(tmp_path)).published is None


def test_published_files_with_other_labels_are_one_line(tmp_path):
    dataset = made("cifar10")
    for labels in ((dataset.test.labels + 1) % 10, dataset.test.labels[:3], np.tile(dataset.test.labels, 2)):
        root = tmp_path / str(len(labels))
        root.mkdir()
        write_published(root, labels)
        message = f"{root / PUBLISHED / 'labels.npy'}: expected the labels of the test images of cifar10"
        for read in (lambda found: found.images(1), lambda found: found.of_one()):
            with pytest.raises(DatasetError) as caught:
                read(Shift(dataset, RunStore(tmp_path), data_dir=root))
            assert str(caught.value) == message


def test_published_files_that_are_missing_are_one_line(tmp_path):
    dataset = made("cifar10")
    write_published(tmp_path, dataset.test.labels)
    (tmp_path / PUBLISHED / "fog.npy").unlink()
    found = Shift(dataset, RunStore(tmp_path), data_dir=tmp_path)
    with pytest.raises(DatasetError, match=r"fog\.npy not found; unpack CIFAR-10-C") as caught:
        found.images(3)
    assert "\n" not in str(caught.value)
    assert found.images(0).shape == (19, 4, 32, 32, 3)


# Images of another kind


def test_foreign_images_to_digits_are_clothes(tmp_path):
    clothes = load_dataset("fashion_mnist_mini").test.images
    name, images = foreign_images(digits(3), 5, tmp_path)
    assert (name, images.shape, images.dtype) == ("clothes (Fashion-MNIST)", (5, 8, 8, 1), np.uint8)
    # Neither house numbers nor their size change what is foreign, and grey becomes three channels.
    write_svhn(tmp_path)
    name, images = foreign_images(made("svhn"), 5, tmp_path)
    assert (name, images.shape) == ("clothes (Fashion-MNIST)", (5, 32, 32, 3))
    assert (images == images[..., :1]).all()
    # At their own size they stay as they are.
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
    # No more than there are.
    assert sorted(is_among(foreign_images(made(name), 500, tmp_path)[1], source)) == list(range(12))


def test_foreign_images_to_all_others_are_digits(tmp_path):
    write_svhn(tmp_path)
    for dataset in (made("fashion_mnist_mini", shape=(28, 28, 1)), made("my-images-16", shape=(16, 16, 3))):
        name, images = foreign_images(dataset, 4, tmp_path)
        assert (name, images.shape) == ("handwritten digits (scikit-learn)", (4, *dataset.image_shape))
    whole = load_dataset("digits")
    source = np.concatenate([split.images for split in (whole.train, whole.val, whole.test)])
    _, images = foreign_images(made("other", shape=(8, 8, 3)), 7, tmp_path)
    assert (images == images[..., :1]).all()
    assert set(map(bytes, images[..., :1])) < set(map(bytes, source))


def test_foreign_images_without_a_count_are_all(tmp_path):
    _, images = foreign_images(made("other", shape=(8, 8, 1)), None, tmp_path)
    assert len(images) == 1797


def test_foreign_images_are_chosen_by_seed(tmp_path):
    one, same, other, more = (
        foreign_images(made("other", shape=(8, 8, 1)), count, tmp_path, seed)[1]
        for count, seed in ((5, 0), (5, 0), (5, 1), (9, 0))
    )
    np.testing.assert_array_equal(one, same)
    np.testing.assert_array_equal(one, more[:5])
    assert not np.array_equal(one, other)


def test_foreign_images_are_interpolated(tmp_path, monkeypatch):
    # A ramp from left to right stays one, and so do its ends.
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


# The published files alone


def write_cifar10_c(folder, name="fog", block=3):
    """Small files of the genuine format."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (5 * block, 32, 32, 3), dtype=np.uint8)
    labels = np.tile(rng.integers(0, 10, block, dtype=np.uint8), 5)
    np.save(folder / f"{name}.npy", images)
    np.save(folder / "labels.npy", labels)
    return images, labels


@pytest.mark.parametrize("severity", SEVERITIES)
def test_read_cifar10_c_blocks(tmp_path, severity):
    images, labels = write_cifar10_c(tmp_path)
    block = slice(3 * severity - 3, 3 * severity)
    found, found_labels = read_cifar10_c(tmp_path, "fog", severity)
    np.testing.assert_array_equal(found, images[block])
    np.testing.assert_array_equal(found_labels, labels[block])
    assert found_labels.dtype == np.int64
    assert not found.flags.writeable


@pytest.mark.parametrize("severity", [0, 6])
def test_read_cifar10_c_unknown_severity(tmp_path, severity):
    write_cifar10_c(tmp_path)
    with pytest.raises(ValueError, match=rf"unknown severity {severity}; .*1, 2, 3, 4, 5"):
        read_cifar10_c(tmp_path, "fog", severity)


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def damage_header(path):
    content = bytearray(path.read_bytes())
    content[10:20] = b"x" * 10
    path.write_bytes(content)


def save_archive(path):
    with path.open("wb") as file:
        np.savez(file, images=np.zeros(3))


IMAGES = np.zeros((15, 32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("file", "damage", "message"),
    [
        ("fog.npy", lambda path: path.unlink(), r"fog\.npy not found; unpack CIFAR-10-C .*zenodo"),
        ("labels.npy", lambda path: path.unlink(), r"labels\.npy not found"),
        ("fog.npy", truncate, r"fog\.npy: not an array that can be read"),
        ("labels.npy", damage_header, r"labels\.npy: not an array that can be read"),
        ("fog.npy", lambda path: path.write_bytes(b""), r"fog\.npy: not an array that can be read"),
        ("fog.npy", save_archive, r"fog\.npy: not an array that can be read"),
        ("fog.npy", lambda path: np.save(path, np.array([{}]), allow_pickle=True), r"fog\.npy: not an array"),
        ("fog.npy", lambda path: np.save(path, IMAGES / 255), r"fog\.npy: expected uint8 .*got float64"),
        ("fog.npy", lambda path: np.save(path, IMAGES[:, :28]), r"fog\.npy: .*got uint8 \(15, 28, 32, 3\)"),
        ("fog.npy", lambda path: np.save(path, IMAGES[:14]), r"fog\.npy: .*five blocks .*\(14, 32, 32, 3\)"),
        ("fog.npy", lambda path: np.save(path, np.uint8(1)), r"fog\.npy: .*got uint8 \(\)"),
        ("labels.npy", lambda path: np.save(path, np.zeros(14, int)), r"labels\.npy: expected integer .*\(15,\)"),
        ("labels.npy", lambda path: np.save(path, np.zeros(15)), r"labels\.npy: expected integer .*float64"),
        ("labels.npy", lambda path: np.save(path, np.full(15, 10)), r"labels\.npy: expected labels 0 to 9"),
    ],
)
def test_read_cifar10_c_damaged_files(tmp_path, file, damage, message):
    write_cifar10_c(tmp_path)
    damage(tmp_path / file)
    with pytest.raises(DatasetError, match=message) as error:
        read_cifar10_c(tmp_path, "fog", 1)
    assert "\n" not in str(error.value)
