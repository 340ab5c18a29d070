"""The registry, the embedded data, the validation rule, content hashes and pixel statistics."""

import hashlib
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lib.config import PIXEL_SCALINGS
from lib.data import datasets as data
from lib.data.datasets import DATASETS, Dataset, Split, load_dataset, pixel_statistics
from lib.data.formats import DatasetError

OFFICIAL = Path("/usr/share/datasets/fashion-mnist")
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 4, 3, 2), dtype=np.uint8)
LABELS = np.arange(40) % 4


def write_npz(path: Path, train: int = 40, **more: np.ndarray) -> str:
    arrays = {"x_train": IMAGES[:train], "y_train": LABELS[:train], "x_test": IMAGES, "y_test": LABELS}
    np.savez(path, **arrays, **more)
    return str(path)


def sizes(dataset: Dataset) -> list[int]:
    return [len(split.labels) for split in (dataset.train, dataset.val, dataset.test)]


def fails(*arguments: object, **options: object) -> str:
    with pytest.raises(DatasetError) as caught:
        load_dataset(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_digits() -> None:
    dataset = load_dataset("digits")
    assert (dataset.name, sizes(dataset), dataset.image_shape) == ("digits", [1200, 200, 397], (8, 8, 1))
    assert (dataset.train.images.min(), dataset.train.images.max()) == (0, 255)
    assert all(len(np.unique(split.labels)) == 10 for split in (dataset.train, dataset.val, dataset.test))
    assert sizes(load_dataset("digits", validation_size=500)) == [900, 500, 397]


def test_mini() -> None:
    dataset = load_dataset("fashion_mnist_mini")
    assert (dataset.image_shape, dataset.num_classes, dataset.classes[0]) == ((28, 28, 1), 10, "T-shirt/top")
    for split, count in [(dataset.train, 1000), (dataset.val, 200), (dataset.test, 500)]:
        np.testing.assert_array_equal(np.bincount(split.labels), [count] * 10)
        assert len(np.unique(split.labels[:100])) == 10  # stored shuffled
        assert (split.images.dtype, split.labels.dtype) == (np.uint8, np.int64)
    images = [image.tobytes() for split in (dataset.train, dataset.val, dataset.test) for image in split.images]
    assert len(set(images)) == 17_000


def test_mini_readme_and_licence() -> None:
    folder = data.MINI_FILE.parent
    readme = (folder / "README.md").read_text()
    assert re.findall(r"\b[0-9a-f]{64}\b", readme) == [hashlib.sha256(data.MINI_FILE.read_bytes()).hexdigest()]
    assert "2017 Zalando SE" in (folder / "LICENSE-fashion-mnist.txt").read_text()


@pytest.mark.skipif(not OFFICIAL.is_dir(), reason="needs the Debian package dataset-fashion-mnist")
def test_mini_script_repeats_its_choice(tmp_path: Path) -> None:
    script = data.MINI_FILE.parent / "make_fashion_mnist_mini.py"
    command = [sys.executable, str(script), str(OFFICIAL), str(tmp_path / "again.npz")]
    subprocess.run(command, check=True, env={"PYTHONPATH": str(script.parents[2])}, capture_output=True)
    with np.load(tmp_path / "again.npz") as again, np.load(data.MINI_FILE) as mini:
        assert again.files == mini.files
        assert all(np.array_equal(again[name], mini[name]) for name in mini.files)


def test_validation_split_is_the_last_images() -> None:
    both = load_dataset("fashion_mnist_mini")
    joined = np.concatenate([both.train.images, both.val.images])
    cut = load_dataset("fashion_mnist_mini", validation_size=500)
    assert sizes(cut) == [11_500, 500, 5000]
    np.testing.assert_array_equal(cut.val.images, joined[-500:])
    np.testing.assert_array_equal(cut.train.images, joined[:-500])


@pytest.mark.parametrize(("count", "expected"), [(20_000, 2000), (19_999, 1999), (40, 4), (4, 1)])
def test_validation_default(tmp_path: Path, count: int, expected: int) -> None:
    images, labels = np.zeros((count, 1, 1), np.uint8), np.arange(count) % 4
    np.savez(tmp_path / "a.npz", x_train=images, y_train=labels, x_test=images[:4], y_test=labels[:4])
    assert sizes(load_dataset(str(tmp_path / "a.npz"))) == [count - expected, expected, 4]


@pytest.mark.parametrize("size", [0, -1, 40, 100])
def test_validation_size_out_of_range(tmp_path: Path, size: int) -> None:
    assert "validation_size must be from 1 to 39" in fails(write_npz(tmp_path / "a.npz"), validation_size=size)


def test_validation_of_own(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", 30, x_val=IMAGES[30:], y_val=LABELS[30:])
    np.testing.assert_array_equal(load_dataset(path).val.images, IMAGES[30:])
    assert sizes(load_dataset(path, validation_size=39)) == [1, 39, 40]


def test_sorted_images_are_shuffled_by_a_fixed_seed(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(4), 10)
    np.savez(tmp_path / "a.npz", x_train=IMAGES, y_train=labels, x_test=IMAGES, y_test=labels)
    np.savez(tmp_path / "b.npz", x_train=IMAGES, y_train=labels, x_test=IMAGES, y_test=labels)
    one, two = (load_dataset(str(tmp_path / name), validation_size=20) for name in ("a.npz", "b.npz"))
    assert len(np.unique(one.val.labels)) == 4
    assert one.content_hash == two.content_hash


def test_arrays_are_read_only_and_cached(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz")
    dataset = load_dataset(path)
    assert load_dataset(path) is dataset
    with pytest.raises(ValueError, match="read-only"):
        dataset.train.images[0] = 0
    assert not any(split.labels.flags.writeable for split in (dataset.train, dataset.val, dataset.test))
    write_npz(tmp_path / "a.npz", train=30)  # a changed file is read again
    assert sizes(load_dataset(path)) == [27, 3, 40]


@pytest.mark.parametrize(
    ("file", "name"), [("a.npz", "a"), ("x y, ü.b.npz", "x-y-.b"), ("...npz", "dataset"), (".hidden.npz", "hidden")]
)
def test_name_of_a_path_is_safe(tmp_path: Path, file: str, name: str) -> None:
    assert load_dataset(write_npz(tmp_path / file)).name == name


def test_content_hash() -> None:
    split = Split(IMAGES, LABELS)
    dataset = Dataset("a", split, split, split, ("a", "b", "c", "d"))
    changed = IMAGES.copy()
    changed[7, 1, 2, 0] ^= 1
    assert dataset.content_hash == Dataset("b", split, split, split, ("a", "b", "c", "d")).content_hash
    assert dataset.content_hash == "3384af2629d535c8b8aea3fec4441de459be719c17b91b196228b1f8e36c54cd"
    for part in ("train", "val", "test"):
        assert replace(dataset, **{part: Split(changed, LABELS)}).content_hash != dataset.content_hash
        assert replace(dataset, **{part: Split(IMAGES, LABELS[::-1])}).content_hash != dataset.content_hash
    reshaped = Split(IMAGES.reshape(40, 2, 6, 2), LABELS)
    assert replace(dataset, train=reshaped).content_hash != dataset.content_hash


def test_unknown_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    paths = "a path to a folder of images, an .npz file, imagefolder:PATH, imagefolder@SIZE:PATH"
    allowed = f"allowed: {', '.join(DATASETS)}, {paths}"
    assert fails("fashion_mnits") == f"unknown dataset 'fashion_mnits'; did you mean 'fashion_mnist'? {allowed}"
    assert "did you mean 'cifar10'?" in fails("CIFAR10")
    for name in ("imagenet", "", "./other.npz"):
        assert fails(name).startswith(f"unknown dataset {name!r}; ")


def test_registry_name_wins_over_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert sizes(load_dataset("digits")) == [1200, 200, 397]
    assert "expected images in train/<class>/" in fails("./digits")


@pytest.mark.parametrize("scaling", PIXEL_SCALINGS)
def test_pixel_statistics(scaling: str) -> None:
    images = IMAGES.copy()
    images[..., 1] = 9  # a channel that does not vary
    dataset = Dataset("a", Split(images, LABELS), Split(IMAGES, LABELS), Split(IMAGES, LABELS), ("a", "b", "c", "d"))
    shift, scale = pixel_statistics(dataset, scaling)
    seen = (images - shift) / scale
    assert shift.dtype == scale.dtype == np.float32
    if scaling == "standardize":
        assert shift.shape == scale.shape == (1, 1, 2)
        np.testing.assert_allclose(shift[0, 0], images.mean(axis=(0, 1, 2)), rtol=1e-6)
        np.testing.assert_allclose(seen.mean(axis=(0, 1, 2)), 0, atol=1e-5)
        np.testing.assert_allclose(seen.std(axis=(0, 1, 2)), [1, 0], atol=1e-5)
    elif scaling == "raw":
        assert shift.shape == scale.shape == (1, 1, 2)
        np.testing.assert_array_equal(seen, images)
    else:
        assert (shift.shape, scale.shape) == ((4, 3, 2), (1, 1, 1))
        np.testing.assert_allclose(seen, images / 255 - (images / 255).mean(axis=0), atol=1e-6)


def test_pixel_statistics_unknown_scaling() -> None:
    with pytest.raises(DatasetError, match="unknown pixel scaling 'zero-one'; allowed: standardize, raw, mean-image"):
        pixel_statistics(load_dataset("digits"), "zero-one")
