"""Readers of small files in the original formats, and of the same files when damaged."""

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat

from lib.data import formats
from lib.data.datasets import Dataset, load_dataset
from lib.data.formats import DatasetError

RNG = np.random.default_rng(0)


def random_images(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def write_idx(path: Path, array: np.ndarray) -> None:
    content = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def write_fashion_mnist(folder: Path, suffix: str = "") -> tuple[np.ndarray, np.ndarray]:
    images, labels = random_images(30, 28, 28), np.arange(30, dtype=np.uint8) % 10
    arrays = (images[:20], labels[:20], images[20:], labels[20:])
    for file, array in zip(formats.IDX_FILES, arrays, strict=True):
        write_idx(folder / f"{file}{suffix}", array)
    return images, labels


def write_cifar(
    folder: Path, files: list[str], names: str, classes: int, coarse: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Write four records per file; return images `(n, 32, 32, 3)` and labels `(n,)` in the order of the files."""
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = random_images(4 * len(files), 32, 32, 3), RNG.integers(0, classes, 4 * len(files), dtype=np.uint8)
    for number, file in enumerate(files):
        records = [
            bytes([7] * coarse + [label]) + image.transpose(2, 0, 1).tobytes()
            for image, label in zip(images[4 * number :][:4], labels[4 * number :][:4], strict=True)
        ]
        (folder / file).write_bytes(b"".join(records))
    (folder / names).write_text("".join(f"class_{number}\n" for number in range(classes)) + "\n")
    return images, labels


def write_cifar10(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    files = [f"data_batch_{batch}.bin" for batch in range(1, 6)]
    return write_cifar(folder, [*files, "test_batch.bin"], "batches.meta.txt", 10, coarse=False)


def write_cifar100(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    return write_cifar(folder, ["train.bin", "test.bin"], "fine_label_names.txt", 100, coarse=True)


def write_svhn(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    images, labels = random_images(30, 32, 32, 3), np.arange(30) % 10
    for file, part in [("train_32x32.mat", slice(20)), ("test_32x32.mat", slice(20, 30))]:
        ones_to_ten = np.where(labels[part] == 0, 10, labels[part]).astype(np.uint8)[:, np.newaxis]
        savemat(folder / file, {"X": images[part].transpose(1, 2, 3, 0), "y": ones_to_ten}, do_compression=True)
    return images, labels


def write_image_folder(folder: Path, mode: str = "RGB", splits: tuple[str, ...] = ("train", "test")) -> None:
    for split in splits:
        for label, name in enumerate(["cat", "dog"]):
            (folder / split / name).mkdir(parents=True)
            for number in range(5):
                shape = (6, 4) if mode == "L" else (6, 4, 3)
                image = np.full(shape, 100 * label + number, np.uint8)
                Image.fromarray(image).save(folder / split / name / f"{number}.png")


def npz_arrays(images: str = "x_{}", labels: str = "y_{}", splits: tuple[str, ...] = ("train", "test")) -> dict:
    arrays = {}
    for split in splits:
        arrays[images.format(split)] = random_images(12, 5, 4)
        arrays[labels.format(split)] = np.arange(12, dtype=np.int32) % 3
    return arrays


def all_arrays(dataset: Dataset) -> tuple[np.ndarray, np.ndarray]:
    splits = (dataset.train, dataset.val, dataset.test)
    return np.concatenate([split.images for split in splits]), np.concatenate([split.labels for split in splits])


def fails(*arguments: object) -> str:
    with pytest.raises(DatasetError) as caught:
        load_dataset(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(("folder", "suffix"), [("fashion_mnist", ""), ("FashionMNIST/raw", ".gz")])
def test_fashion_mnist_files(tmp_path: Path, folder: str, suffix: str) -> None:
    images, labels = write_fashion_mnist(tmp_path / folder, suffix)
    dataset = load_dataset("fashion_mnist", tmp_path)
    np.testing.assert_array_equal(all_arrays(dataset)[0], images[..., np.newaxis])
    np.testing.assert_array_equal(all_arrays(dataset)[1], labels)
    assert [len(split.labels) for split in (dataset.train, dataset.val, dataset.test)] == [18, 2, 10]
    assert dataset.classes[9] == "Ankle boot"


@pytest.mark.parametrize(
    ("name", "write", "folder", "num_test"),
    [
        ("cifar10", write_cifar10, "cifar-10-batches-bin", 4),
        ("cifar10", write_cifar10, ".", 4),
        ("cifar100", write_cifar100, "cifar-100-binary", 4),
        ("svhn", write_svhn, "svhn", 10),
    ],
)
def test_colour_datasets(tmp_path: Path, name: str, write, folder: str, num_test: int) -> None:
    images, labels = write(tmp_path / folder)
    dataset = load_dataset(name, tmp_path, validation_size=2)
    np.testing.assert_array_equal(all_arrays(dataset)[0], images)
    np.testing.assert_array_equal(all_arrays(dataset)[1], labels)
    assert (dataset.image_shape, dataset.num_classes) == ((32, 32, 3), 100 if name == "cifar100" else 10)
    assert (len(dataset.val.labels), len(dataset.test.labels)) == (2, num_test)
    assert dataset.train.images.flags.c_contiguous


def test_cifar10_holdout_tests_on_the_fifth_batch(tmp_path: Path, monkeypatch) -> None:
    images, labels = write_cifar10(tmp_path)
    (tmp_path / "test_batch.bin").unlink()
    with pytest.raises(DatasetError, match=r"data_batch_1.bin: not the official file \(wrong MD5\)"):
        load_dataset("cifar10_holdout", tmp_path, validation_size=2)
    for file in formats.CIFAR10_BATCHES:
        digest = hashlib.md5((tmp_path / file).read_bytes()).hexdigest()
        monkeypatch.setitem(formats.CIFAR10_BATCHES, file, digest)
    dataset = load_dataset("cifar10_holdout", tmp_path, validation_size=2)
    np.testing.assert_array_equal(all_arrays(dataset)[0], images[:20])
    np.testing.assert_array_equal(all_arrays(dataset)[1], labels[:20])
    assert [len(split.labels) for split in (dataset.train, dataset.val, dataset.test)] == [14, 2, 4]
    assert (dataset.name, dataset.num_classes) == ("cifar10_holdout", 10)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda whole: whole[:-1], "cannot be read"),
        (lambda whole: b"", "expected the magic number 000008, got nothing"),
        (lambda whole: b"<html>", "expected the magic number 000008, got 3c6874"),
        (lambda whole: gzip.compress(whole)[:-20], "cannot be read"),
        (lambda whole: bytes([0, 0, 8, 1]) + struct.pack(">I", 2) + b"ab", "expected uint8 images of shape"),
    ],
)
def test_idx_damage(tmp_path: Path, change, message: str) -> None:
    file = tmp_path / "fashion_mnist" / formats.IDX_FILES[0]
    write_fashion_mnist(file.parent)
    file.write_bytes(change(file.read_bytes()))
    line = fails("fashion_mnist", tmp_path)
    assert message in line
    assert line.startswith(f"{file}: ")


def test_cifar_damage(tmp_path: Path) -> None:
    write_cifar10(tmp_path)
    batch = tmp_path / "data_batch_3.bin"
    for content, message in (
        (batch.read_bytes()[:-1], "cannot be read"),
        (b"", "expected uint8 images"),
        (bytes([10]) + bytes(3072), "expected labels 0 to 9"),
    ):
        batch.write_bytes(content)
        assert fails("cifar10", tmp_path).startswith(f"{batch}: {message}")
    (tmp_path / "batches.meta.txt").write_text("airplane\n")
    assert "expected 10 class names, got 1" in fails("cifar10", tmp_path)


def test_svhn_damage(tmp_path: Path) -> None:
    write_svhn(tmp_path)
    file = tmp_path / "train_32x32.mat"
    whole = file.read_bytes()
    for content in (whole[:-100], whole[:200], b"", b"<html>" * 100, whole[:150] + b"\xff" * 60 + whole[210:]):
        file.write_bytes(content)
        assert fails("svhn", tmp_path).startswith(f"{file}: cannot be read")
    images, labels = random_images(32, 32, 3, 5), np.ones((5, 1), np.uint8)
    for variables, message in (
        ({"X": images}, "KeyError: 'y'"),
        ({"X": images, "y": 11 * labels}, "expected labels 0 to 9"),
    ):
        savemat(file, variables)
        assert message in fails("svhn", tmp_path)


def test_image_folder(tmp_path: Path) -> None:
    folder = tmp_path / "my pets"
    write_image_folder(folder)
    dataset = load_dataset(str(folder), validation_size=3)
    assert (dataset.name, dataset.classes, dataset.image_shape) == ("my-pets", ("cat", "dog"), (6, 4, 3))
    assert [len(split.labels) for split in (dataset.train, dataset.val, dataset.test)] == [7, 3, 10]
    images, labels = all_arrays(dataset)
    np.testing.assert_array_equal(images[:, 0, 0, 0] >= 100, labels == 1)  # images and labels are shuffled together
    assert sorted(images[:10, 0, 0, 0]) == [0, 1, 2, 3, 4, 100, 101, 102, 103, 104]
    assert np.any(np.diff(labels[:10]) < 0)


def test_image_folder_grey_with_validation(tmp_path: Path) -> None:
    write_image_folder(tmp_path, "L", ("train", "val", "test"))
    dataset = load_dataset(str(tmp_path))
    assert dataset.image_shape == (6, 4, 1)
    assert [len(split.labels) for split in (dataset.train, dataset.val, dataset.test)] == [10, 10, 10]
    assert len(load_dataset(str(tmp_path), validation_size=4).train.labels) == 16
    (tmp_path / "val").rename(tmp_path / "valid")
    assert len(load_dataset(str(tmp_path)).val.labels) == 10
    (tmp_path / "dev").mkdir()
    assert fails(str(tmp_path)) == f"{tmp_path}: expected one set of validation images, got valid and dev"
    (tmp_path / "dev").rmdir()
    Image.new("RGB", (4, 6)).save(tmp_path / "test" / "dog" / "0.png")  # a single colour image makes all of them RGB
    assert load_dataset(str(tmp_path)).image_shape == (6, 4, 3)


def test_hidden_files_and_folders_are_no_images_and_no_classes(tmp_path: Path) -> None:
    folder = tmp_path / ".cache" / "pets"  # hidden folders above the images do not matter
    write_image_folder(folder)
    before = load_dataset(str(folder))
    for split in ("train", "test"):
        for hidden in (".ipynb_checkpoints/0.png", "cat/.ipynb_checkpoints/0-checkpoint.png", "cat/._0.png"):
            (folder / split / hidden).parent.mkdir(exist_ok=True)
            (folder / split / hidden).write_bytes((folder / split / "cat" / "0.png").read_bytes())
    assert load_dataset(str(folder)).classes == ("cat", "dog")
    assert load_dataset(str(folder)).content_hash == before.content_hash
    (folder / "test").rename(folder / "val")
    folder.rename(tmp_path / "streamed")
    assert len(load_dataset(f"imagefolder@8:{tmp_path / 'streamed'}", workers=0).train.labels) == 9


def test_image_folder_damage(tmp_path: Path) -> None:
    layout = "train/<class>/ and test/<class>/"
    assert fails(str(tmp_path)).startswith(f"{tmp_path}: expected images in {layout} (")
    write_image_folder(tmp_path)
    odd = tmp_path / "test" / "dog" / "9.png"
    Image.new("RGB", (6, 4)).save(odd)
    assert fails(str(tmp_path)).endswith(f"and (6, 4) in {odd}")
    Image.effect_noise((4, 6), 50).save(odd)
    for content in (b"no image", odd.read_bytes()[:60]):
        odd.write_bytes(content)
        assert fails(str(tmp_path)).startswith(f"{odd}: cannot be read")
    Image.fromarray(np.full((6, 4), 1000, np.uint16)).save(odd)
    assert "expected 8 bits per channel, got an image of mode I;16" in fails(str(tmp_path))
    odd.unlink()
    (tmp_path / "test" / "bird").mkdir()
    assert "bird" in fails(str(tmp_path))  # without an image
    Image.new("RGB", (4, 6)).save(tmp_path / "test" / "bird" / "0.png")
    line = f"expected the same classes, at least two, in {layout}, got 2, of which not everywhere: bird"
    assert fails(str(tmp_path)) == f"{tmp_path}: {line}"


@pytest.mark.parametrize("names", formats.NPZ_NAMES)
@pytest.mark.parametrize("splits", [("train", "test"), ("train", "val", "test"), ("train", "validation", "test")])
def test_npz(tmp_path: Path, names: tuple[str, str], splits: tuple[str, ...]) -> None:
    arrays = npz_arrays(*names, splits)
    column = names[1].format("train")
    arrays[column] = arrays[column][:, np.newaxis]
    np.savez_compressed(tmp_path / "mine.npz", **arrays)
    dataset = load_dataset(str(tmp_path / "mine.npz"))
    assert (dataset.name, dataset.classes, dataset.image_shape) == ("mine", ("0", "1", "2"), (5, 4, 1))
    np.testing.assert_array_equal(dataset.test.images[..., 0], arrays[names[0].format("test")])
    assert len(dataset.train.labels) == (12 if len(splits) == 3 else 11)
    by_content = {image.tobytes(): label for image, label in zip(*all_arrays(dataset), strict=True)}
    for image, label in zip(arrays[names[0].format("train")], arrays[column][:, 0], strict=True):
        assert by_content[image.tobytes()] == label


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": random_images(12, 3, 8, 8)}, "(train): expected uint8 images of shape (n, H, W) or (n, H, W, C)"),
        ({"x_train": random_images(0, 5, 4), "y_train": np.zeros(0, int)}, "got uint8 (0, 5, 4)"),
        ({"x_test": random_images(12, 5, 5)}, "all images must have one shape (H, W, C)"),
        ({"y_train": np.zeros(11, int)}, "(train): expected integer labels of shape (12,) or (12, 1), got int64 (11,)"),
        ({"y_train": np.arange(12) % 3 + 1}, "expected labels 0 to 2, got 3 different ones from 1 to 3"),
        ({"y_train": np.zeros(12, int)}, "expected labels 0 to 1, got 1 different ones from 0 to 0"),
        ({"y_test": np.full(12, 3)}, "(test): expected labels 0 to 2, got 1 different ones from 3 to 3"),
        ({"y_test": None}, "'y_test is not a file in the archive'"),
        ({"x_val": random_images(3, 5, 4)}, "'y_val is not a file in the archive'"),
        ({"x_val": 0, "x_valid": 0}, "expected one set of validation images, got val and valid"),
        ({"x_test": np.array([{}] * 12)}, "Object arrays cannot be loaded"),
    ],
)
def test_npz_of_wrong_content(tmp_path: Path, change: dict, message: str) -> None:
    path = tmp_path / "mine.npz"
    np.savez(path, **{name: array for name, array in (npz_arrays() | change).items() if array is not None})
    line = fails(str(path))
    assert message in line
    assert line.startswith(str(path))


def test_dataset_is_not_called_as_the_folder_of_the_verdicts(tmp_path: Path) -> None:
    np.savez(tmp_path / "Claims.npz", **npz_arrays())
    assert load_dataset(str(tmp_path / "Claims.npz")).name == "Claims-data"


def test_npz_damage(tmp_path: Path) -> None:
    path = tmp_path / "mine.npz"
    np.savez_compressed(path, **npz_arrays())
    whole = bytearray(path.read_bytes())
    for content in (b"", b"no zip", bytes(whole[: len(whole) // 2])):
        path.write_bytes(content)
        assert "not an .npz file" in fails(str(path))
    whole[200] ^= 255
    path.write_bytes(whole)
    assert "cannot be read" in fails(str(path))
