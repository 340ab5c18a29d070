"""PyTorch as most people write it: the baseline for our trainer and `predict`.

A `Dataset` that turns one image at a time into a tensor, a `DataLoader` with its defaults, `nn.Dropout`, Adam, tensors
in PyTorch's usual memory order (NCHW), and one thread per core. Networks, first weights, protocol and data are those of
`lib`.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from lib.config import MemberConfig
from lib.data.datasets import Dataset as AllData
from lib.data.datasets import Split, pixel_statistics
from lib.models.networks import ARCHITECTURES, initialize
from lib.training.schedules import SCHEDULES

CNN_CHANNELS = {"small_cnn": (16, 32, 32), "medium_cnn": (64, 128, 256, 256)}


class Images(Dataset):
    """One image and its label at a time."""

    def __init__(self, split: Split, transform):
        self.images, self.labels, self.transform = np.array(split.images), split.labels, transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(self.images[index]), int(self.labels[index])


def loaders(data: AllData, batch_size: int, workers: int = 0) -> tuple[DataLoader, DataLoader]:
    """Training batches in a new order every epoch, and validation batches of 500."""
    mean, std = (value.ravel() / 255 for value in pixel_statistics(data, "standardize"))
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean.tolist(), std.tolist())])
    train = DataLoader(Images(data.train, transform), batch_size=batch_size, shuffle=True, num_workers=workers)
    return train, DataLoader(Images(data.val, transform), batch_size=500, num_workers=workers)


def network(architecture: str, image_shape: tuple[int, int, int], num_classes: int, dropout: float = 0.0) -> nn.Module:
    """The layers of `lib.models.networks.build_model` as PyTorch's own modules, from normalised images to logits."""
    if architecture not in CNN_CHANNELS:
        return ARCHITECTURES[architecture](image_shape, num_classes, dropout)
    height, width, incoming = image_shape
    layers: list[nn.Module] = []
    for outgoing in CNN_CHANNELS[architecture]:
        layers += [nn.Conv2d(incoming, outgoing, 3, padding=1), nn.Dropout(dropout)]
        layers += [nn.MaxPool2d(2, ceil_mode=True), nn.ReLU()]
        height, width, incoming = math.ceil(height / 2), math.ceil(width / 2), outgoing
    return nn.Sequential(*layers[:-1], nn.Flatten(), nn.Linear(height * width * incoming, num_classes))


def new_network(config: MemberConfig, data: AllData) -> nn.Module:
    """A network with the first weights of our member; also seeds PyTorch's generator for everything else."""
    model = network(config.architecture, data.image_shape, data.num_classes, config.dropout)
    initialize(model, torch.Generator().manual_seed(config.random_seed("initialization")))
    torch.manual_seed(config.seed)
    return model


def optimizer_and_schedule(config: MemberConfig, model: nn.Module):
    """Adam, and the member's learning-rate schedule, stepped once per epoch."""
    optimizer = torch.optim.Adam(model.parameters(), lr=config.learning_rate)
    factor = SCHEDULES[config.schedule]
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: factor(epoch, config.epochs))


@torch.no_grad()
def evaluate(model: nn.Module, loader: DataLoader) -> tuple[float, float]:
    """Mean loss and accuracy."""
    model.eval()
    loss = correct = count = 0
    for images, labels in loader:
        logits = model(images)
        loss += F.cross_entropy(logits, labels, reduction="sum").item()
        correct += (logits.argmax(dim=1) == labels).sum().item()
        count += len(labels)
    return loss / count, correct / count


def train(config: MemberConfig, data: AllData, precision: str = "float32", workers: int = 0) -> nn.Module:
    """Train one network, evaluating it on the validation images after every epoch."""
    model = new_network(config, data)
    train_loader, val_loader = loaders(data, config.batch_size, workers)
    optimizer, schedule = optimizer_and_schedule(config, model)
    for _ in range(config.epochs):
        model.train()
        for images, labels in train_loader:
            with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16"):
                loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        evaluate(model, val_loader)
        schedule.step()
    return model


@torch.no_grad()
def predict(model: nn.Module, weights: np.ndarray, inputs: Tensor, batch_size: int = 500) -> np.ndarray:
    """Probabilities `(N, n, K)` of weight vectors `(N, P)` on normalised images `(n, C, H, W)`, one after the other."""
    model.eval()
    probs = []
    for vector in weights:
        nn.utils.vector_to_parameters(torch.tensor(vector), model.parameters())
        logits = torch.cat([model(batch) for batch in inputs.split(batch_size)])
        probs.append(logits.softmax(dim=1).numpy())
    return np.stack(probs)
