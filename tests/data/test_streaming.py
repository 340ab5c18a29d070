"""Images streamed from files: what is read, that it repeats, and that training and predict take it as an array."""

import io
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import assert_same, experiment
from loky import cpu_count
from PIL import Image

from lib.data import streaming
from lib.data.corruptions import BENCHMARK
from lib.data.datasets import Dataset, Split, load_dataset, pixel_statistics, write_image_folder
from lib.data.formats import DatasetError
from lib.data.streaming import StreamedImages, imagenet_c, random_crop
from lib.errors import ConfigError
from lib.models.predict import fresh_statistics, predict
from lib.models.weights import flatten
from lib.run.store import RunStore
from lib.training import ensemble
from lib.training import trainer as training
from lib.training.ensemble import train_ensemble
from lib.training.trainer import build_member_model, train_members

# Newer Pythons say so of every process that is forked beside threads; DataLoader starts its workers that way.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")

CLASSES = ("a", "b", "c")


def picture(width: int, height: int, seed: int) -> Image.Image:
    """Smooth noise, as JPEG files keep it."""
    small = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight training and four test images of each of three classes, PNG and JPEG of many sizes."""
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


def fails(name: object, **options: object) -> str:
    with pytest.raises((DatasetError, ConfigError)) as caught:
        load_dataset(name, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# What a folder holds


def test_dataset_of_a_folder(folder):
    dataset = load_dataset(f"imagefolder:{folder}")
    assert (dataset.name, dataset.classes, dataset.num_classes) == ("my-images-224", CLASSES, 3)
    assert dataset.image_shape == (224, 224, 3)
    # A tenth of the training images, rounded down, is for validation.
    assert [len(split.images) for split in (dataset.train, dataset.val, dataset.test)] == [22, 2, 12]
    assert dataset.train.images.shape == (22, 224, 224, 3)
    assert (dataset.train.images.shorter, dataset.train.images.workers) == (256, cpu_count())


def test_labels_are_those_of_the_folders_and_every_image_is_in_one_split(folder):
    dataset = opened(folder, validation_size=5)
    seen = []
    for split in (dataset.train, dataset.val):
        files = [Path(os.fsdecode(path)) for path in split.images.paths]
        assert [CLASSES[label] for label in split.labels] == [str(file.parent) for file in files]
        seen += files
    there = [path.relative_to(folder / "train") for path in (folder / "train").rglob("*.*")]
    assert sorted(seen) == sorted(there)
    assert len(dataset.val.labels) == 5
    # Shuffled, though the folders are sorted by class.
    assert not np.array_equal(np.sort(dataset.test.labels), dataset.test.labels)
    assert not dataset.test.labels.flags.writeable


def test_content_hash_changes_with_a_file_the_size_and_the_validation_images(folder, tmp_path):
    copy = tmp_path / "other name"
    shutil.copytree(folder, copy)
    expected = opened(folder).content_hash
    assert opened(copy).content_hash == expected
    assert opened(copy, workers=2).content_hash == expected
    assert opened(copy, size=17).content_hash != expected
    assert opened(copy, validation_size=3).content_hash != expected
    shutil.copy(copy / "train" / "a" / "0.JPEG", copy / "train" / "a" / "new.JPEG")
    assert opened(copy).content_hash != expected
    (copy / "train" / "a" / "new.JPEG").unlink()
    assert opened(copy).content_hash == expected
    (copy / "val" / "b" / "1.png").rename(copy / "val" / "b" / "9.png")
    assert opened(copy).content_hash != expected


def test_content_hash_changes_with_the_size_of_a_file(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    with (tmp_path / "copy" / "train" / "a" / "0.JPEG").open("ab") as file:
        file.write(b"more")
    assert opened(tmp_path / "copy").content_hash != opened(folder).content_hash


# What is read


def test_middle_of_known_images(tmp_path):
    """Sixteen pixels on the shorter side are fourteen and a margin of one: nothing is interpolated."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 21, 3), dtype=np.uint8)
    for name, array in (("wide", pixels), ("high", pixels.transpose(1, 0, 2))):
        Image.fromarray(array).save(tmp_path / f"{name}.png")
    images = StreamedImages(tmp_path, np.array([b"wide.png", b"high.png"]), size=14, shorter=16, workers=0)
    wide, high = np.asarray(images)
    np.testing.assert_array_equal(wide, pixels[1:15, 4:18])
    np.testing.assert_array_equal(high, pixels.transpose(1, 0, 2)[4:18, 1:15])


def test_image_is_resized_before_the_middle_is_cut_out(tmp_path):
    image = picture(90, 64, seed=0)
    image.save(tmp_path / "a.png")
    images = StreamedImages(tmp_path, np.array([b"a.png"]), size=28, shorter=32, workers=0)
    expected = np.asarray(image.resize((45, 32), Image.Resampling.BILINEAR))[2:30, 8:36].astype(int)
    assert np.abs(np.asarray(images)[0] - expected).max() <= 1


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "CMYK"])
def test_images_of_other_modes_become_rgb(tmp_path, mode):
    image = picture(16, 16, seed=0).convert(mode)
    image.save(tmp_path / "a.tiff")
    images = StreamedImages(tmp_path, np.array([b"a.tiff"]), size=16, shorter=16, workers=0)
    np.testing.assert_array_equal(np.asarray(images)[0], np.asarray(image.convert("RGB")))


def test_slices_and_indices_choose_without_reading(folder, monkeypatch):
    images = opened(folder).train.images
    whole = np.asarray(images)
    monkeypatch.setattr(StreamedImages, "read", None)
    chosen = images[3:9][np.array([4, 0])]
    assert chosen.shape == (2, 16, 16, 3)
    monkeypatch.undo()
    np.testing.assert_array_equal(np.asarray(chosen), whole[[7, 3]])
    with pytest.raises(ValueError, match=r"^copy: "):
        np.asarray(images, copy=False)


@pytest.mark.parametrize("seed", [None, 5])
def test_batches_are_the_same_with_and_without_workers(folder, seed):
    order = [[3, 1], [2], [0, 5, 4], [3]]
    alone, others = (list(opened(folder, workers=workers).train.images.batches(order, seed)) for workers in (0, 2))
    assert [tuple(batch.shape) for batch in alone] == [(2, 3, 16, 16), (1, 3, 16, 16), (3, 3, 16, 16), (1, 3, 16, 16)]
    for one, other in zip(alone, others, strict=True):
        assert one.dtype == other.dtype == torch.uint8
        assert torch.equal(one, other)
    # The same image is the same wherever in the epoch it comes.
    assert torch.equal(alone[0][0], alone[3][0])


def test_random_crops_differ_between_seeds_and_from_the_middle(folder):
    images = opened(folder).train.images
    order = [range(len(images))]
    (middle,), (one,), (other,) = (images.batches(order, seed) for seed in (None, 1, 2))
    for left, right in ((middle, one), (one, other)):
        assert (left != right).flatten(1).any(dim=1).float().mean() > 0.9


def test_half_of_the_random_crops_are_mirrored(tmp_path):
    ramp = np.tile(np.arange(64, dtype=np.uint8)[:, None], (48, 1, 3))
    Image.fromarray(ramp).save(tmp_path / "ramp.png")
    images = StreamedImages(tmp_path, np.full(400, b"ramp.png"), size=8, shorter=9, workers=0)
    (batch,) = images.batches([range(400)], seed=0)
    rising = batch[:, 0, 0, -1] > batch[:, 0, 0, 0]
    assert rising.float().mean().item() == pytest.approx(0.5, abs=0.1)


def test_random_crop_lies_in_the_image_and_has_its_area_and_ratio():
    rng = np.random.default_rng(0)
    crops = np.array([random_crop(500, 375, rng) for _ in range(2000)])
    left, top, width, height = crops.T
    assert min(left.min(), top.min()) >= 0
    assert (left + width).max() <= 500
    assert (top + height).max() <= 375
    areas, ratios = width * height / (500 * 375), width / height
    assert 0.07 < areas.min() < 0.12
    assert areas.max() > 0.9
    assert 0.74 < ratios.min() < ratios.max() < 1.34
    assert len(np.unique(left)) > 100


@pytest.mark.parametrize(("size", "crop"), [((1000, 10), (493, 0, 13, 10)), ((10, 1000), (0, 493, 10, 13))])
def test_random_crop_of_a_strip_is_its_middle(size, crop):
    crops = [random_crop(*size, np.random.default_rng(seed)) for seed in range(50)]
    assert crop in crops
    assert all(width <= size[0] and height <= size[1] for _, _, width, height in crops)


def test_reading_uses_no_global_state(folder):
    state = torch.get_rng_state()
    for workers in (0, 2):
        list(opened(folder, workers=workers).train.images.batches([[0], [1]], seed=0))
    assert torch.equal(torch.get_rng_state(), state)


def test_imagenet_c_is_read_corruption_by_corruption_without_a_margin(folder, tmp_path):
    test = opened(folder).test
    chosen = test.images[:2]
    for number, name in enumerate(BENCHMARK):
        for path in map(os.fsdecode, chosen.paths):
            file = tmp_path / name / "3" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            content = io.BytesIO()
            picture(16, 16, seed=number).save(content, "PNG")
            file.write_bytes(content.getvalue())
    shifted = imagenet_c(chosen, tmp_path, 3)
    assert shifted.shape == (30, 16, 16, 3)
    expected = [np.asarray(picture(16, 16, seed=number)) for number in range(15) for _ in range(2)]
    np.testing.assert_array_equal(np.asarray(shifted), expected)
    where = "not found; expected ImageNet-C in <corruption>/<severity>/<class>/"
    with pytest.raises(DatasetError, match=rf"^{tmp_path}/gaussian_noise/4/./\d.\w+ {where}$"):
        imagenet_c(chosen, tmp_path, 4)
    with pytest.raises(DatasetError, match=r"^ImageNet-C holds files of streamed test images, got images in memory$"):
        imagenet_c(np.asarray(chosen), tmp_path, 3)
    with pytest.raises(ValueError, match=r"^severity: expected one of 1, 2, 3, 4, 5, received 0$"):
        imagenet_c(chosen, tmp_path, 0)


def test_statistics_over_pixels_are_those_of_the_sample(folder):
    dataset = opened(folder)
    shift, scale = pixel_statistics(dataset, "standardize")
    np.testing.assert_allclose(shift[0, 0], dataset.sample.mean(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(scale[0, 0], dataset.sample.std(axis=(0, 1, 2)), rtol=1e-5)
    np.testing.assert_array_equal(dataset.sample, np.asarray(dataset.train.images))


# Bad input


@pytest.mark.parametrize(
    "name", ["imagefolder", "imagefolder:", "imagefolder@x:/tmp", "imagefolder@7:/", "ImageFolder:/"]
)
def test_unknown_stream_is_one_line(name):
    expected = (
        f"unknown dataset {name!r}; expected imagefolder:PATH, or imagefolder@SIZE:PATH with a SIZE of at least 8"
    )
    assert fails(name) == expected


def test_folder_without_train_or_val_is_one_line(folder, tmp_path):
    where = "expected images in train/<class>/ and val/<class>/"
    assert fails(f"imagefolder:{tmp_path}") == f"{tmp_path}: no folder 'train'; {where}"
    (tmp_path / "train").mkdir()
    assert fails(f"imagefolder:{tmp_path}") == f"{tmp_path}: no folder 'val'; {where}"


def test_folder_without_classes_images_or_the_same_classes_is_one_line(folder, tmp_path):
    for part in ("train", "val"):
        (tmp_path / part).mkdir()
    assert "Couldn't find any class folder" in fails(f"imagefolder:{tmp_path}")
    for part in ("train", "val"):
        (tmp_path / part / "a").mkdir()
    assert "Found no valid file for the classes a" in fails(f"imagefolder:{tmp_path}")
    for part in ("train", "val"):
        picture(9, 9, 0).save(tmp_path / part / "a" / "0.png")
    assert fails(f"imagefolder:{tmp_path}") == f"{tmp_path}: expected at least 2 classes in train/<class>/, got 1"
    shutil.copytree(tmp_path / "train" / "a", tmp_path / "train" / "b")
    message = f"{tmp_path}: the classes differ, only one of train and val has 'b'"
    assert fails(f"imagefolder:{tmp_path}") == message


def test_file_that_is_not_there_is_one_line(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    (tmp_path / "copy" / "val" / "c" / "new.png").symlink_to(tmp_path / "nowhere.png")
    with pytest.raises(DatasetError, match=r"copy/val: \[Errno 2\] No such file or directory"):
        _ = opened(tmp_path / "copy").content_hash


def test_validation_size_and_workers_not_allowed_are_one_line(folder):
    name = f"imagefolder:{folder}"
    assert fails(name, validation_size=24) == f"validation_size must be from 1 to 23 for {folder}, got 24"
    for workers in (-1, True, 1.5):
        assert fails(name, workers=workers) == f"batch_workers must be an integer at least 0, got {workers!r}"


@pytest.mark.parametrize("workers", [0, 2])
def test_damaged_image_is_one_line_from_any_process(folder, tmp_path, workers):
    shutil.copytree(folder, tmp_path / "copy")
    path = tmp_path / "copy" / "train" / "b" / "4.JPEG"
    path.write_bytes(path.read_bytes()[:200])
    images = opened(tmp_path / "copy", workers=workers, validation_size=1).train.images
    with pytest.raises(DatasetError, match=rf"^{path}: not an image that can be read \(.*\)$") as caught:
        list(images.batches([[number] for number in range(len(images))]))
    assert "\n" not in str(caught.value)


def test_image_of_more_than_eight_bits_is_one_line(tmp_path):
    Image.fromarray(np.full((9, 9), 1000, np.uint16)).save(tmp_path / "a.png")
    images = StreamedImages(tmp_path, np.array([b"a.png"]), size=8, shorter=9, workers=0)
    with pytest.raises(DatasetError, match=r"a.png: expected 8 bits a channel, got an image of mode I;16"):
        np.asarray(images)


def test_worker_that_dies_is_one_line(folder, monkeypatch):
    monkeypatch.setattr(StreamedImages, "read", lambda *_: os._exit(1))
    with pytest.raises(DatasetError, match=r"a process that reads images died.*fewer batch_workers \(.*\)$") as caught:
        list(opened(folder, workers=2).train.images.batches([[0], [1]]))
    assert "\n" not in str(caught.value)


# predict and fresh statistics


@pytest.fixture(scope="module")
def network(folder):
    dataset = opened(folder)
    member = on_files(folder, architecture="resnet8_v1").members(dataset.name, dataset.content_hash)[0]
    model = build_member_model(member, dataset)
    return model, flatten(model)


def on_files(folder, size=16, **overrides):
    return experiment(dataset=f"imagefolder@{size}:{folder}", **{"batch_size": 8} | overrides)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("chunk_bytes", [1, 5 * 16 * 16 * 3])
def test_predict_on_a_stream_equals_predict_on_the_array(folder, network, monkeypatch, workers, chunk_bytes):
    model, vector = network
    monkeypatch.setattr(streaming, "BATCH", 4)
    images = opened(folder, workers=workers).train.images
    rows = np.stack([vector, 1.1 * vector, 0.9 * vector])
    statistics = fresh_statistics(model, rows, images)
    np.testing.assert_array_equal(statistics, fresh_statistics(model, rows, np.asarray(images)))
    expected = predict(model, rows, np.asarray(images), statistics, batch_size=5)
    monkeypatch.setattr("lib.models.predict.CHUNK_BYTES", chunk_bytes)
    np.testing.assert_array_equal(predict(model, rows, images, statistics, batch_size=5), expected)
    assert not np.allclose(expected[0], expected[1])


def test_predict_on_streamed_images_of_another_size_is_named(folder, network):
    model, vector = network
    images = opened(folder, size=17).test.images
    with pytest.raises(ValueError, match=r"^images must have the shape \(n, 16, 16, 3\), got \(12, 17, 17, 3\)$"):
        predict(model, vector, images, np.zeros(480))


def test_predict_takes_smaller_batches_of_larger_images(monkeypatch):
    seen = []

    class Wide(torch.nn.Module):
        image_shape, num_classes = (64, 64, 3), 2

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def forward(self, pixels):
            seen.append(len(pixels))
            return torch.zeros(len(pixels), 2)

    predict(Wide(), np.zeros(1), np.zeros((40, 64, 64, 3), np.uint8))
    assert seen == [32, 8]


# Training


def trained(folder, root, workers=0, **overrides):
    return train_ensemble(on_files(folder, **overrides), engine="sequential", store=root, batch_workers=workers)


@pytest.mark.parametrize("architecture", ["resnet8_v1", "small_cnn"])
def test_training_on_a_stream_is_the_same_with_and_without_workers(folder, tmp_path, architecture):
    one, other = (trained(folder, tmp_path / f"{n}", n, architecture=architecture) for n in (0, 2))
    assert_same(one, other)
    assert [run.weights.shape[0] for run in one] == [3, 3]
    assert one[0].member.dataset == "my-images-16"
    assert not np.array_equal(one[0].final, one[1].final)
    assert not np.array_equal(trained(folder, tmp_path / "seed", seed=1)[0].final, one[0].final)


def test_training_without_augmentation_equals_training_on_the_array(folder, tmp_path):
    """One code path: without crops, a stream and the same images in memory give the same bits."""
    dataset = opened(folder)
    settings = on_files(folder, architecture="resnet8_v1", augmentation="none", precision="bf16")
    member = settings.members(dataset.name, dataset.content_hash)[0]
    memory = in_memory(dataset)
    runs = []
    for name, data in (("stream", dataset), ("memory", memory)):
        run = RunStore(tmp_path / name).run(member)
        train_members([member], data, [run])
        runs.append(training.load_trajectory(run))
    assert_same(runs[:1], runs[1:])
    crops = trained(folder, tmp_path / "crops", num_members=1, architecture="resnet8_v1", augmentation="shift-flip")
    assert not np.array_equal(crops[0].final, runs[0].final)


def in_memory(dataset):
    splits = [Split(np.asarray(one.images), one.labels) for one in (dataset.train, dataset.val, dataset.test)]
    return Dataset(dataset.name, *splits, dataset.classes)


def test_augmentation_differs_between_epochs_and_members(folder, monkeypatch, tmp_path):
    seeds, original = [], StreamedImages.batches

    def noting(images, order, seed=None):
        order = list(order)
        if len(images) == 22 and len(order) == 3:
            seeds.append(seed)
        return original(images, order, seed)

    monkeypatch.setattr(StreamedImages, "batches", noting)
    trained(folder, tmp_path, augmentation="shift-flip")
    assert len(set(seeds)) == len(seeds) == 4
    assert None not in seeds


@pytest.mark.parametrize("stop", [1])
def test_training_on_a_stream_interrupted_goes_on_to_the_same_bits(folder, tmp_path, monkeypatch, stop):
    settings = {"architecture": "resnet8_v1", "epochs": 3, "num_members": 1, "augmentation": "shift-flip"}
    expected = trained(folder, tmp_path / "whole", **settings)
    original, visited = training.train_epoch, []

    def stopping(*arguments):
        visited.append(arguments[-1])
        if arguments[-1] == stop and visited.count(stop) == 1:
            raise KeyboardInterrupt
        return original(*arguments)

    monkeypatch.setattr(training, "train_epoch", stopping)
    with pytest.raises(KeyboardInterrupt):
        trained(folder, tmp_path / "parts", **settings)
    assert_same(trained(folder, tmp_path / "parts", 2, **settings), expected)
    assert visited == [*range(stop), stop, *range(stop, 3)]


def test_members_of_a_stream_are_trained_one_by_one_on_a_gpu(folder, tmp_path, monkeypatch):
    """Not in lockstep: pretends a GPU where the decision is made, and trains on the CPU."""
    sizes, original = [], ensemble.train_members

    def counting(configs, *rest):
        sizes.append(len(configs))
        original(configs, *rest, device=torch.device("cpu"))

    monkeypatch.setattr(ensemble, "train_members", counting)
    monkeypatch.setattr(ensemble, "default_device", lambda: torch.device("cuda"))
    train_ensemble(on_files(folder, epochs=1), "sequential", store=tmp_path, batch_workers=0)
    assert sizes == [1, 1]


# Files of a dataset in memory


@pytest.mark.parametrize("name", ["digits"])
def test_written_folder_holds_the_images(tmp_path, name):
    source = load_dataset(name)
    folder = write_image_folder(source, tmp_path / f"{name}-files", train=60, test=50)
    height = source.image_shape[0]
    dataset = opened(folder, size=height)
    assert dataset.name == f"{name}-files-{height}"
    assert dataset.num_classes == 10
    test = replace(dataset.test.images, shorter=height)  # as they are, without a margin
    numbers = [int(os.fsdecode(path)[-10:-4]) for path in test.paths]
    assert sorted(numbers) == list(range(50))
    np.testing.assert_array_equal(dataset.test.labels, source.test.labels[numbers])
    expected = np.repeat(source.test.images[numbers], 3, axis=-1)
    np.testing.assert_array_equal(np.asarray(test), expected)
