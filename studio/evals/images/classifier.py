"""The studio's own small classifier: trained on the corpus's categories where the reference Inception weights are not at hand.

Its scores are never called plain IS or FID: the name of the network, with its hash and held-out accuracy, is part of theirs.

Legend: b pictures of one batch, c categories.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from studio.core.errors import StudioError, UserError
from studio.core.files import new_folder, sha256_file, sha256_json, write_json

# Changes when the network or its training changes, so that an old one is not taken from the cache.
VERSION = 1
FEATURES = 128


@dataclass(frozen=True)
class ClassifierSettings:
    """How the classifier is trained: pixels per side, passes over the training pictures, batch, peak learning rate, seed."""

    side: int = 32
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 3e-3
    seed: int = 0


@dataclass(frozen=True)
class ClassifierRecord:
    """What is known about a trained classifier. Accuracies are shares of the held-out pictures that have one of its labels.

    majority: the accuracy of always naming the most frequent training label; a classifier near it sees nothing.
    """

    labels: list[str]
    trained_on: int
    held_out: int
    accuracy: float | None
    majority: float | None
    settings: dict[str, float]
    dataset: str
    version: int = VERSION


class SmallNetwork(nn.Module):
    """Four convolutions and a linear layer, 0.3 million weights: [b, 3, side, side] -> features [b, 128], logits [b, c]."""

    def __init__(self, categories: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs, stride in ((3, 32, 1), (32, 64, 2), (64, FEATURES, 2), (FEATURES, FEATURES, 1)):
            layers += [nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False), nn.BatchNorm2d(outputs), nn.ReLU()]
        self.trunk = nn.Sequential(*layers)
        self.head = nn.Linear(FEATURES, categories)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Float pictures from -1 to 1, [b, 3, side, side] -> features [b, 128], logits [b, c]."""
        features = functional.adaptive_avg_pool2d(self.trunk(x), 1).flatten(1)
        return features, self.head(features)


class StudioClassifier:
    """A trained classifier as a :class:`studio.evals.images.network.FeatureNetwork`."""

    reference = False

    def __init__(self, network: SmallNetwork, record: ClassifierRecord, sha256: str, device: str = "cpu") -> None:
        """Take a trained network; :func:`classifier_for` trains or finds one."""
        self.network = network.eval().requires_grad_(False).to(device)
        self.record = record
        self.sha256 = sha256
        self.device = device
        self.name = f"studio classifier {sha256[:8]}"

    def prepare(self, picture: Image.Image) -> NDArray[np.uint8]:
        """The picture at the classifier's own size, uint8 [side, side, 3]."""
        return _at_side(picture, int(self.record.settings["side"]))

    def look(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """See :meth:`FeatureNetwork.look`; d = 128."""
        features, logits = self.network(_scaled(pictures.to(self.device)))
        return features, logits

    def describe(self) -> str:
        """Name, accuracy and hash in one line, for ``made_with``."""
        record = self.record
        accuracy = "no held-out picture has a label" if record.accuracy is None else (
            f"held-out accuracy {record.accuracy:.3f} on {record.held_out} pictures, always naming the most frequent label gives "
            f"{record.majority:.3f}"
        )  # fmt: skip
        return (
            f"{self.name} (own network, sha256 {self.sha256[:16]}, {len(record.labels)} labels, trained on {record.trained_on} "
            f"pictures; {accuracy})"
        )


Labelled = Sequence[tuple[Callable[[], Image.Image], str]]
"""Pictures, opened only when needed, with their labels."""


def classifier_for(
    folder: Path,
    dataset: str,
    training: Labelled,
    held_out: Labelled,
    settings: ClassifierSettings,
    *,
    device: str = "cpu",
    advance: Callable[[int], None] | None = None,
) -> StudioClassifier:
    """The classifier of a dataset: from the folder of classifiers when it was trained before, else trained now and kept there.

    Args:
        folder: where classifiers are kept; each has a folder of its own named by dataset and settings.
        dataset: fingerprint of the dataset, which stands for its pictures and labels.
        advance: called with 1 after every pass over the pictures.
    Raises:
        UserError: the training pictures carry fewer than 2 labels.
    """
    identity = sha256_json({"dataset": dataset, "version": VERSION, "features": FEATURES, **asdict(settings)})[:12]
    home = folder / f"{dataset}-{identity}"
    if not (home / "classifier.json").is_file():
        labels = sorted({label for _, label in training})
        if len(labels) < 2:
            raise UserError(
                f"a classifier needs at least 2 labels, the training pictures have {len(labels)}. Give the corpus a label "
                "column, or give the reference Inception weights (--inception-weights)."
            )
        network = _train(training, labels, settings, device, advance)
        record = _examine(network, labels, training, held_out, settings, dataset, device)
        try:
            with new_folder(home) as temporary:
                save_file({name: value.cpu().contiguous() for name, value in network.state_dict().items()},
                          temporary / "classifier.safetensors")  # fmt: skip
                write_json(temporary / "classifier.json", asdict(record))
        except StudioError:
            # Another evaluation may have trained and written the very same one meanwhile.
            if not (home / "classifier.json").is_file():
                raise
    return load_classifier(home, device)


def load_classifier(home: Path, device: str = "cpu") -> StudioClassifier:
    """Read a classifier from its folder.

    Raises:
        StudioError: the folder is damaged.
    """
    try:
        record = ClassifierRecord(**json.loads((home / "classifier.json").read_text(encoding="utf-8")))
        file = home / "classifier.safetensors"
        # Without start values: they would be drawn from the caller's random state and thrown away.
        with torch.device("meta"):
            network = SmallNetwork(len(record.labels))
        network.load_state_dict(load_file(file), strict=True, assign=True)
    except Exception as error:
        raise StudioError(f"the classifier in {home} is damaged ({error}). Delete that folder; it is trained anew.") from error
    return StudioClassifier(network, record, sha256_file(file), device)


def _train(
    training: Labelled, labels: list[str], settings: ClassifierSettings, device: str, advance: Callable[[int], None] | None
) -> SmallNetwork:
    """Cross-entropy with AdamW and one cycle of the learning rate; pictures are flipped and moved a little."""
    pictures = _stack([opened() for opened, _ in training], settings.side).to(device)
    targets = torch.tensor([labels.index(label) for _, label in training], device=device)
    generator = torch.Generator().manual_seed(settings.seed)
    # The start values come from the seed; the caller's random state stays as it was.
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(settings.seed)
        network = SmallNetwork(len(labels)).to(device).train()
        optimizer = torch.optim.AdamW(network.parameters(), lr=settings.learning_rate, weight_decay=0.05)
        per_epoch = -(-len(pictures) // settings.batch_size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, max_lr=settings.learning_rate, total_steps=per_epoch * settings.epochs
        )
        for _ in range(settings.epochs):
            order = torch.randperm(len(pictures), generator=generator)
            for rows in order.split(settings.batch_size):
                # Batch norm of a single picture has no variance to divide by.
                if len(rows) > 1:
                    batch = _moved(pictures[rows], generator)
                    loss = functional.cross_entropy(network(_scaled(batch))[1], targets[rows])
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                schedule.step()
            if advance:
                advance(1)
    return network.eval()


def _examine(
    network: SmallNetwork,
    labels: list[str],
    training: Labelled,
    held_out: Labelled,
    settings: ClassifierSettings,
    dataset: str,
    device: str,
) -> ClassifierRecord:
    """Accuracy on held-out pictures whose label was trained."""
    known = [(opened, label) for opened, label in held_out if label in labels]
    right, majority = None, None
    if known:
        with torch.inference_mode():
            guesses = [int(network(_scaled(_stack([opened()], settings.side).to(device)))[1].argmax()) for opened, _ in known]
        right = sum(labels[guess] == label for guess, (_, label) in zip(guesses, known, strict=True)) / len(known)
        frequent = Counter(label for _, label in training).most_common(1)[0][0]
        majority = sum(label == frequent for _, label in known) / len(known)
    return ClassifierRecord(labels, len(training), len(known), right, majority, asdict(settings), dataset)


def _at_side(picture: Image.Image, side: int) -> NDArray[np.uint8]:
    """uint8 [side, side, 3]."""
    resized = picture.convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
    return np.asarray(resized, dtype=np.uint8)


def _stack(pictures: Sequence[Image.Image], side: int) -> Tensor:
    """uint8 [b, 3, side, side]."""
    return torch.from_numpy(np.stack([_at_side(picture, side) for picture in pictures])).permute(0, 3, 1, 2).contiguous()


def _scaled(pictures: Tensor) -> Tensor:
    """uint8 to float from -1 to 1."""
    return pictures.float().div(127.5).sub(1)


def _moved(pictures: Tensor, generator: torch.Generator) -> Tensor:
    """Each batch flipped half of the time and moved by up to 2 pixels, its edge repeated."""
    if torch.rand((), generator=generator) < 0.5:
        pictures = pictures.flip(-1)
    down, across = torch.randint(0, 5, (2,), generator=generator).tolist()
    side = pictures.shape[-1]
    padded = functional.pad(pictures.float(), (2, 2, 2, 2), mode="replicate")
    return padded[:, :, down : down + side, across : across + side]
