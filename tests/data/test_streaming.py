"""Images streamed from files: what is read, that it repeats, and that training and `predict` use it like an array."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import assert_same, experiment
from loky import cpu_count
from PIL import Image

from lib.data import streaming
from lib.data.corruptions import BENCHMARK
from lib.data.datasets import Dataset, Split, load_dataset, pixel_statistics
from lib.data.formats import DatasetError
from lib.data.streaming import StreamedImages, imagenet_c
from lib.models.predict import fresh_statistics, predict
from lib.models.weights import flatten
from lib.run.store import RunStore
from lib.training import ensemble
from lib.training import trainer as training
from lib.training.ensemble import train_ensemble
from lib.training.trainer import build_member_model, train_members

# Newer Pythons warn whenever a process with threads is forked, and DataLoader starts its workers that way.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

CLASSES = ("a", "b", "c")


def picture(width: int, height: int, seed: int) -> Image.Image:
    """Smooth noise, which survives JPEG compression."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training and four test images for each of three classes, as PNG and JPEG files of many sizes."""
    root = tmp_path_factory.mktemp("data") / "my images"
    for part, count in (("train", 8), ("val", 4)):
        for label, name in enumerate(CLASSES):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                seed = 100 * label + 10 * number + len(part)
                suffix = "png" if number % 2 else "JPEG"
                picture(20 + 3 * number, 30 - 2 * number, seed).save(root / part / name / f"{number}.{suffix}")
    return root


def opened(folder: Path, size: int = 16, workers: int = 0, validation_size: int | None = None):
    return load_dataset(f"imagefolder@{size}:{folder}", validation_size=validation_size, workers=workers)


def stream(folder: Path, *files: str, size: int, shorter: int) -> StreamedImages:
    return StreamedImages(folder, np.array([os.fsencode(file) for file in files]), size, shorter, workers=0)


# What a folder holds


def test_dataset_of_a_folder(folder):
    dataset = load_dataset(f"imagefolder:{folder}")
    assert (dataset.name, dataset.classes, dataset.image_shape) == ("my-images-224", CLASSES, (224, 224, 3))
    # A tenth of the training images, rounded down, is for validation.
    assert [len(split.images) for split in (dataset.train, dataset.val, dataset.test)] == [22, 2, 12]
    assert (dataset.train.images.shorter, dataset.train.images.workers) == (256, cpu_count())
    seen = []
    for split in (dataset.train, dataset.val):
        files = [Path(os.fsdecode(path)) for path in split.images.paths]
        assert [CLASSES[label] for label in split.labels] == [str(file.parent) for file in files]
        seen += files
    assert sorted(seen) == sorted(path.relative_to(folder / "train") for path in (folder / "train").rglob("*.*"))
    # Shuffled, though the folders are sorted by class.
    assert not np.array_equal(np.sort(dataset.test.labels), dataset.test.labels)


def test_content_hash_changes_with_files_the_size_and_the_validation_images(folder, tmp_path):
    copy = tmp_path / "other name"
    shutil.copytree(folder, copy)
    expected = opened(folder).content_hash
    assert opened(copy, workers=2).content_hash == expected
    assert opened(copy, size=17).content_hash != expected
    assert opened(copy, validation_size=3).content_hash != expected
    (copy / "val" / "b" / "1.png").rename(copy / "val" / "b" / "9.png")
    assert opened(copy).content_hash != expected
    (copy / "val" / "b" / "9.png").rename(copy / "val" / "b" / "1.png")
    with (copy / "train" / "a" / "0.JPEG").open("ab") as file:
        file.write(b"more")
    assert opened(copy).content_hash != expected


# What is read


def test_middle_of_known_images(tmp_path):
    """A shorter side of 16 pixels is a crop of 14 and a margin of one, so nothing is interpolated."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 21, 3), dtype=np.uint8)
    for name, array in (("wide", pixels), ("high", pixels.transpose(1, 0, 2))):
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    wide, high = np.asarray(stream(tmp_path, "wide.png", "high.png", size=14, shorter=16))
    np.testing.assert_array_equal(wide, pixels[1:15, 4:18])
    np.testing.assert_array_equal(high, pixels.transpose(1, 0, 2)[4:18, 1:15])


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "CMYK"])
def test_images_of_other_modes_become_rgb(tmp_path, mode):
    image = picture(16, 16, seed=0).convert(mode)
    image.save(tmp_path / "a.tiff")
    images = stream(tmp_path, "a.tiff", size=16, shorter=16)
    np.testing.assert_array_equal(np.asarray(images)[0], np.asarray(image.convert("RGB")))


def test_slices_and_indices_choose(folder):
    images = opened(folder).train.images
    chosen = images[3:9][np.array([4, 0])]
    assert chosen.shape == (2, 16, 16, 3)
    np.testing.assert_array_equal(np.asarray(chosen), np.asarray(images)[[7, 3]])


@pytest.mark.parametrize("seed", [None, 5])
def test_batches_are_the_same_with_and_without_workers(folder, seed):
    order, state = [[3, 1], [2], [0, 5, 4], [3]], torch.get_rng_state()
    alone, others = (list(opened(folder, workers=workers).train.images.batches(order, seed)) for workers in (0, 2))
    assert [tuple(batch.shape) for batch in alone] == [(2, 3, 16, 16), (1, 3, 16, 16), (3, 3, 16, 16), (1, 3, 16, 16)]
    assert all(torch.equal(one, other) for one, other in zip(alone, others, strict=True))
    # An image is the same wherever it comes in the epoch.
    assert torch.equal(alone[0][0], alone[3][0])
    assert torch.equal(torch.get_rng_state(), state)


def test_random_crops_differ_and_half_of_them_are_mirrored(tmp_path):
    ramp = np.tile(np.arange(64, dtype=np.uint8)[:, None], (48, 1, 3))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    images = stream(tmp_path, *["ramp.png"] * 400, size=8, shorter=9)
    (one,), (other,) = (images.batches([range(400)], seed) for seed in (0, 1))
    assert (one != other).flatten(1).any(dim=1).float().mean() > 0.9
    assert len(one.flatten(1).unique(dim=0)) > 100
    rising = one[:, 0, 0, -1] > one[:, 0, 0, 0]
    assert rising.float().mean().item() == pytest.approx(0.5, abs=0.1)


def test_imagenet_c_is_read_corruption_by_corruption_without_a_margin(folder, tmp_path):
    chosen = opened(folder).test.images[:2]
    for number, name in enumerate(BENCHMARK):
        for path in map(os.fsdecode, chosen.paths):
            file = tmp_path / name / "3" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            picture(16, 16, seed=number).save(file, "PNG")
    shifted = imagenet_c(chosen, tmp_path, 3)
    assert shifted.shape == (30, 16, 16, 3)
    expected = [np.asarray(picture(16, 16, seed=number)) for number in range(15) for _ in range(2)]
    np.testing.assert_array_equal(np.asarray(shifted), expected)
    with pytest.raises(
        DatasetError, match=rf"^{tmp_path}/gaussian_noise/4/./\d.\w+ not found; expected ImageNet-C in "
    ):
        imagenet_c(chosen, tmp_path, 4)
    with pytest.raises(DatasetError, match=r"^ImageNet-C holds files of streamed test images, got images in memory$"):
        imagenet_c(np.asarray(chosen), tmp_path, 3)


def test_statistics_over_pixels_are_those_of_the_sample(folder):
    dataset = opened(folder)
    shift, _ = pixel_statistics(dataset, "standardize")
    np.testing.assert_allclose(shift[0, 0], np.asarray(dataset.train.images).mean(axis=(0, 1, 2)), rtol=1e-5)


# Bad input


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_image_is_one_line_from_any_process(folder, tmp_path, workers):
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "train" / "b" / "4.JPEG"
    path.write_bytes(path.read_bytes()[:200])
    images = opened(tmp_path / "copy", workers=workers, validation_size=1).train.images
    with pytest.raises(DatasetError, match=rf"^{path}: cannot be read.*\(.*\)$") as caught:
        list(images.batches([[number] for number in range(len(images))]))
    assert "\n" not in str(caught.value)


def test_worker_that_dies_is_one_line(folder, monkeypatch):
    monkeypatch.setattr(StreamedImages, "read", lambda *_: os._exit(1))
    with pytest.raises(DatasetError, match=r"a process that reads images died.*fewer batch_workers \(.*\)$") as caught:
        list(opened(folder, workers=2).train.images.batches([[0], [1]]))
    assert "\n" not in str(caught.value)


def test_name_and_settings_not_allowed_are_one_line(folder, tmp_path):
    for name, options, line in (
        ("imagefolder@7:/", {}, "imagefolder@7:/: expected images of at least 8 by 8"),
        (f"imagefolder:{tmp_path}", {}, rf"{tmp_path}: expected images in train/<class>/ and val/<class>/ \(.*\)"),
        (f"imagefolder:{folder}", {"workers": -1}, "batch_workers must be at least 0, got -1"),
        (
            f"imagefolder:{folder}",
            {"validation_size": 24},
            f"validation_size must be from 1 to 23 for {folder}, got 24",
        ),
    ):
        with pytest.raises(ValueError, match=f"^{line}$"):
            load_dataset(name, **options)


# predict and fresh statistics


def on_files(folder, size=16, **overrides):
    return experiment(dataset=f"imagefolder@{size}:{folder}", **{"batch_size": 8} | overrides)


@pytest.mark.parametrize(("workers", "chunk_bytes"), [(0, 1), (2, 5 * 16 * 16 * 3)])
def test_predict_on_a_stream_equals_predict_on_the_array(folder, monkeypatch, workers, chunk_bytes):
    dataset = opened(folder)
    member = on_files(folder, architecture="resnet8_v1").members(dataset.name, dataset.content_hash)[0]
    model = build_member_model(member, dataset)
    vector = flatten(model)
    monkeypatch.setattr(streaming, "BATCH", 4)
    images = opened(folder, workers=workers).train.images
    rows = np.stack([vector, 1.1 * vector, 0.9 * vector])
    statistics = fresh_statistics(model, rows, images)
    np.testing.assert_array_equal(statistics, fresh_statistics(model, rows, np.asarray(images)))
    expected = predict(model, rows, np.asarray(images), statistics, batch_size=5)
    monkeypatch.setattr("lib.models.predict.CHUNK_BYTES", chunk_bytes)
    np.testing.assert_array_equal(predict(model, rows, images, statistics, batch_size=5), expected)
    assert not np.allclose(expected[0], expected[1])


def test_predict_takes_smaller_batches_of_larger_images():
    seen = []

    class Wide(torch.nn.Linear):
        image_shape, num_classes = (64, 64, 3), 2

        def forward(self, pixels):
            seen.append(len(pixels))
            return torch.zeros(len(pixels), 2)

    predict(Wide(1, 1, bias=False), np.zeros(1), np.zeros((40, 64, 64, 3), np.uint8))
    assert seen == [32, 8]


# Training


def trained(folder, root, workers=0, **overrides):
    return train_ensemble(on_files(folder, **overrides), engine="sequential", store=root, batch_workers=workers)


def test_training_without_augmentation_equals_training_on_the_array(folder, tmp_path):
    """Without random crops, a stream and the same images in memory give the same results to the bit."""
    dataset = opened(folder)
    settings = on_files(folder, architecture="resnet8_v1", augmentation="none", precision="bf16")
    member = settings.members(dataset.name, dataset.content_hash)[0]
    splits = [Split(np.asarray(one.images), one.labels) for one in (dataset.train, dataset.val, dataset.test)]
    memory = Dataset(dataset.name, *splits, dataset.classes)
    runs = []
    for name, data in (("stream", dataset), ("memory", memory)):
        run = RunStore(tmp_path / name).run(member)
        train_members([member], data, [run])
        runs.append(training.load_trajectory(run))
    assert_same(runs[:1], runs[1:])
    crops = trained(folder, tmp_path / "crops", num_members=1, architecture="resnet8_v1", augmentation="shift-flip")
    assert not np.array_equal(crops[0].final, runs[0].final)


def test_augmentation_differs_between_epochs_and_members(folder, monkeypatch, tmp_path):
    seeds, original = [], StreamedImages.batches

    def noting(images, order, seed=None):
        if len(images) == 22:
            seeds.append(seed)
        return original(images, order, seed)

    monkeypatch.setattr(StreamedImages, "batches", noting)
    trained(folder, tmp_path, augmentation="shift-flip")
    assert len(set(seeds)) == len(seeds) == 4
    assert None not in seeds


def test_training_on_a_stream_interrupted_goes_on_with_workers_to_the_same_bits(folder, tmp_path, monkeypatch):
    settings = {"architecture": "resnet8_v1", "epochs": 3, "num_members": 1, "augmentation": "shift-flip"}
    expected = trained(folder, tmp_path / "whole", **settings)
    original, visited = training.train_epoch, []

    def stopping(*arguments):
        visited.append(arguments[-1])
        if visited == [0, 1]:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(training, "train_epoch", stopping)
    with pytest.raises(KeyboardInterrupt):
        trained(folder, tmp_path / "parts", **settings)
    assert_same(trained(folder, tmp_path / "parts", 2, **settings), expected)
    assert visited == [0, 1, 1, 2]
    assert expected[0].member.dataset == "my-images-16"


def test_members_of_a_stream_are_trained_one_by_one_on_a_gpu(folder, tmp_path, monkeypatch):
    """They are not trained in lockstep. The test only pretends to have a GPU, and trains on the CPU."""
    sizes, original = [], ensemble.train_members

    def counting(configs, *rest):
        sizes.append(len(configs))
        original(configs, *rest)

    monkeypatch.setattr(ensemble, "train_members", counting)
    monkeypatch.setattr(ensemble, "default_device", lambda: torch.device("cuda"))
    train_ensemble(on_files(folder, epochs=1), "sequential", store=tmp_path, batch_workers=0)
    assert sizes == [1, 1]
