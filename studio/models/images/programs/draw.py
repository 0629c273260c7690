"""Draws a picture: python draw.py LABEL PICTURE.png [SEED]

Needs: pip install numpy pillow, and what runtime.py says. From a program of yours: Model().draw(labels, noise) with noise of
any normal distribution, float32 [pictures, latent].
"""

import json
import sys
from pathlib import Path

import numpy as np
import runtime


class Model:
    """An export, opened."""

    def __init__(self, folder=Path(__file__).resolve().parent):
        self.record = json.loads((folder / "export.json").read_text(encoding="utf-8"))
        self.labels = self.record["extra"]["labels"]
        self.run = runtime.load(folder, self.record)

    def number(self, label):
        """Of a label by its name; what is no label draws anything."""
        return self.labels.index(label) if label in self.labels else len(self.labels)

    def draw(self, labels, noise):
        """Pictures uint8 [pictures, height, width, 3]."""
        numbers = np.array([self.number(label) for label in labels], dtype=np.int64)
        pixels = np.asarray(self.run({"latents": np.asarray(noise, dtype=np.float32), "labels": numbers})["pixels"])
        return np.round((pixels.transpose(0, 2, 3, 1).clip(-1, 1) / 2 + 0.5) * 255).astype(np.uint8)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    model = Model()
    if sys.argv[1] not in model.labels:
        sys.exit(f"no label {sys.argv[1]!r}. Labels: {', '.join(model.labels)}")
    from PIL import Image

    seed = int(sys.argv[3]) if len(sys.argv) == 4 else 0
    noise = np.random.default_rng(seed).standard_normal((1, model.record["inputs"]["latents"]["shape"][1]))
    Image.fromarray(model.draw([sys.argv[1]], noise)[0]).save(sys.argv[2])
