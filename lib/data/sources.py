"""Published datasets: their files, where they are looked for, and where they are downloaded from."""

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from lib.data.formats import (
    CIFAR10_BATCHES,
    IDX_FILES,
    DatasetError,
    RawDataset,
    read_cifar10,
    read_cifar10_holdout,
    read_cifar100,
    read_fashion_mnist,
    read_svhn,
)
from lib.run.files import local_path


class Source(NamedTuple):
    """A published dataset."""

    read: Callable[[Path], RawDataset]  # reads arrays from a folder that holds all files
    files: tuple[str, ...]  # each may also end in `.gz`
    folders: tuple[str, ...]  # under the data root, or absolute; downloads go into the first
    downloads: dict[str, str]  # URL → MD5 as torchvision or the dataset's own page gives it


_FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
_CIFAR_URL = "https://www.cs.toronto.edu/~kriz"
_SVHN_URL = "http://ufldl.stanford.edu/housenumbers"
_CIFAR10 = (
    ("cifar-10-batches-bin", "."),
    {f"{_CIFAR_URL}/cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
)

SOURCES = {
    "fashion_mnist": Source(
        read_fashion_mnist,
        IDX_FILES,
        # The last one belongs to Debian's package dataset-fashion-mnist.
        ("fashion_mnist", "FashionMNIST/raw", "/usr/share/datasets/fashion-mnist"),
        {
            f"{_FASHION_URL}/train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
            f"{_FASHION_URL}/train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
            f"{_FASHION_URL}/t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
            f"{_FASHION_URL}/t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
        },
    ),
    "cifar10": Source(read_cifar10, (*CIFAR10_BATCHES, "test_batch.bin", "batches.meta.txt"), *_CIFAR10),
    "cifar10_holdout": Source(read_cifar10_holdout, (*CIFAR10_BATCHES, "batches.meta.txt"), *_CIFAR10),
    "cifar100": Source(
        read_cifar100,
        ("train.bin", "test.bin", "fine_label_names.txt"),
        ("cifar-100-binary", "."),
        {f"{_CIFAR_URL}/cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8"},
    ),
    "svhn": Source(
        read_svhn,
        ("train_32x32.mat", "test_32x32.mat"),
        ("svhn", "."),
        {
            f"{_SVHN_URL}/train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373",
            f"{_SVHN_URL}/test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
        },
    ),
}


def data_root(root: str | Path | None = None) -> Path:
    """The folder for datasets: `root`, else $DATA_DIR, else `data` in this file's checkout, else ./data."""
    checkout = Path(__file__).parents[2]
    otherwise = (checkout if (checkout / "pyproject.toml").is_file() else Path.cwd()) / "data"
    return local_path(root or os.environ.get("DATA_DIR") or otherwise, "data_dir")


def locate(name: str, root: Path) -> Path | None:
    """The folder that holds all files of a published dataset, or None; downloads nothing."""
    for folder in (root / folder for folder in SOURCES[name].folders):
        if all((folder / file).is_file() or (folder / f"{file}.gz").is_file() for file in SOURCES[name].files):
            return folder
    return None


def find(name: str, root: Path) -> Path:
    """The folder that holds all files of a published dataset, which is downloaded if there is none.

    Raises DatasetError if the download fails; it says where the files were looked for, and how to get them.
    """
    if folder := locate(name, root):
        return folder
    source = SOURCES[name]
    folders = [root / folder for folder in source.folders]
    try:
        _download(source.downloads, folders[0])
    except Exception as error:  # from the network, the disk or an archive
        looked, urls = ", ".join(map(str, folders)), " and ".join(source.downloads)
        raise DatasetError(
            f"{name} not found: {source.files[0]} and the other files it needs are not in {looked}, and the download "
            f"failed ({' '.join(str(error).split())}); put the files of {urls} into {folders[0]}"
        ) from error
    return folders[0]


def fetch(url: str, folder: Path, md5: str) -> None:
    """Download one file into `folder` with a progress bar and check its MD5: the only use of the network."""
    from torchvision.datasets.utils import download_url

    download_url(url, folder, md5=md5)


def _download(downloads: dict[str, str], folder: Path) -> None:
    """Download all files, then move each atomically into `folder`: an interrupted download leaves nothing behind."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as staging:
        for url, md5 in downloads.items():
            fetch(url, Path(staging), md5)
            if url.endswith(".tar.gz"):
                archive = Path(staging, url.rsplit("/", 1)[1])
                # Not torchvision's extract_archive: it sets no filter, so Python 3.12 warns.
                shutil.unpack_archive(archive, staging, filter="data")
                archive.unlink()
        for file in [file for file in Path(staging).rglob("*") if file.is_file()]:
            os.replace(file, folder / file.name)
