"""Writing a model's folder as one GGUF file, a weight at a time.

Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; numbers are made smaller by ``gguf.quants``.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from gguf.quants import quantize
from numpy.typing import NDArray
from safetensors import safe_open

from studio.core.errors import StudioError
from studio.exports.chat.gguf import architectures, vocabulary
from studio.exports.chat.gguf.architectures import Architecture
from studio.exports.chat.gguf.vocabulary import Vocabulary

Type = gguf.GGMLQuantizationType
QUANTS: dict[str, tuple[Any, Any]] = {
    "q8_0": (Type.Q8_0, gguf.LlamaFileType.MOSTLY_Q8_0),
    "f32": (Type.F32, gguf.LlamaFileType.ALL_F32),
    "f16": (Type.F16, gguf.LlamaFileType.MOSTLY_F16),
    "bf16": (Type.BF16, gguf.LlamaFileType.MOSTLY_BF16),
    "q5_1": (Type.Q5_1, gguf.LlamaFileType.MOSTLY_Q5_1),
    "q5_0": (Type.Q5_0, gguf.LlamaFileType.MOSTLY_Q5_0),
    "q4_1": (Type.Q4_1, gguf.LlamaFileType.MOSTLY_Q4_1),
    "q4_0": (Type.Q4_0, gguf.LlamaFileType.MOSTLY_Q4_0),
}
"""Name to the type of the weights and to what the file says of itself; these need no other program."""
_SMALL = {Type.Q5_1, Type.Q5_0, Type.Q4_1, Type.Q4_0}
# Of the tables of words: what is lost there is lost in every token, so they stay in 8 bits, as llama.cpp keeps them larger too.
_TABLES = ("token_embd.weight", "output.weight")


@dataclass(frozen=True)
class Marks:
    """Special tokens and the template, as the run has them.

    begin: id; adds: a program is to put it before a prompt by itself. ends: ids that end an answer, the first is ``eos``.
    """

    template: str
    begin: int | None
    adds: bool
    ends: tuple[int, ...]
    pad: int | None
    unknown: int | None


def write_gguf(
    source: Path,
    target: Path,
    quant: str,
    *,
    found: Architecture,
    words: Vocabulary,
    marks: Marks,
    about: Mapping[str, str],
) -> None:
    """Write a folder of safetensors as ``target``.

    Args:
        about: ``name``, ``licence`` and ``description`` of the file where known.
    Raises:
        StudioError: the folder has a weight that the architecture's file has no place for.
    """
    config = read_config(source)
    kind, file_type = QUANTS[quant]
    weights = _Weights(source, config, found)
    writer = gguf.GGUFWriter(str(target), found.name)
    try:
        _describe(writer, about, marks, words)
        architectures.describe(writer, config, found)
        writer.add_file_type(file_type)
        writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
        types = {name: type_of(name, shape, kind) for name, shape in weights.shapes.items()}
        for name, shape in weights.shapes.items():
            add_info(writer, name, shape, types[name])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for name, weight in weights.each():
            writer.write_tensor_data(_smaller(weight, types[name], name))
    finally:
        writer.close()


def read_config(folder: Path) -> Mapping[str, Any]:
    """``config.json`` of a model's folder."""
    config: Mapping[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return config


def _describe(writer: Any, about: Mapping[str, str], marks: Marks, words: Vocabulary) -> None:
    """Everything that is no number of the model."""
    writer.add_type(gguf.GGUFType.MODEL)
    for key, value in about.items():
        {"name": writer.add_name, "licence": writer.add_license, "description": writer.add_description}[key](value)
    vocabulary.describe(writer, words)
    if marks.begin is not None:
        writer.add_bos_token_id(marks.begin)
    for end, add in zip(marks.ends, (writer.add_eos_token_id, writer.add_eot_token_id, writer.add_eom_token_id), strict=False):
        add(end)
    if marks.pad is not None:
        writer.add_pad_token_id(marks.pad)
    if marks.unknown is not None:
        writer.add_unk_token_id(marks.unknown)
    writer.add_add_bos_token(marks.adds)
    writer.add_add_eos_token(False)
    writer.add_chat_template(marks.template)


def type_of(name: str, shape: tuple[int, ...], kind: Any) -> Any:
    """How a tensor's numbers are kept: those of one dimension whole, those whose rows do not divide into blocks in 16 bits."""
    if len(shape) == 1 or name == "rope_freqs.weight":
        return Type.F32
    kind = Type.Q8_0 if kind in _SMALL and name in _TABLES else kind
    return Type.F16 if shape[-1] % gguf.GGML_QUANT_SIZES[kind][0] else kind


def add_info(writer: Any, name: str, shape: tuple[int, ...], kind: Any) -> None:
    """Tell the writer of a tensor whose data follow later.

    Args:
        shape: of its numbers.
    """
    block, size = gguf.GGML_QUANT_SIZES[kind]
    count = int(np.prod(shape)) // block * size
    if kind in {Type.F32, Type.F16}:
        writer.add_tensor_info(name, shape, np.dtype(np.float32 if kind == Type.F32 else np.float16), count)
    else:
        bytes_shape = gguf.quants.quant_shape_to_byte_shape(shape, kind)
        writer.add_tensor_info(name, bytes_shape, np.dtype(np.uint8), count, raw_dtype=kind)


def _smaller(weight: NDArray[np.float32], kind: Any, name: str) -> NDArray[Any]:
    """A weight in its type.

    Raises:
        StudioError: a number is too large for 16 bits.
    """
    with np.errstate(over="ignore"):
        smaller: NDArray[Any] = weight if kind == Type.F32 else quantize(weight, kind)
    if kind == Type.F16 and not np.isfinite(smaller).all():
        raise StudioError(
            f"{name} has a number beyond {np.finfo(np.float16).max:,.0f}, the largest of f16. Take --quant bf16 or f32."
        )
    return np.ascontiguousarray(smaller)


class _Weights:
    """The weights of a folder under the names of GGUF, read one at a time."""

    def __init__(self, folder: Path, config: Mapping[str, Any], found: Architecture) -> None:
        """Look at every file's names and shapes.

        Raises:
            StudioError: a weight has no place.
        """
        self._config, self._found = config, found
        arch = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == found.name)
        places = gguf.get_tensor_name_map(arch, int(config["num_hidden_layers"]))
        self._files: list[tuple[Path, list[tuple[str, str]]]] = []
        self.shapes: dict[str, tuple[int, ...]] = {}
        self._factors = architectures.rope_factors(config)
        for path in sorted(folder.glob("*.safetensors")):
            with safe_open(path, framework="pt") as opened:
                names = [(name, self._place(places, name)) for name in opened.keys()]  # noqa: SIM118 - not a mapping
                self.shapes |= {place: tuple(opened.get_slice(name).get_shape()) for name, place in names}
                self._files.append((path, names))
        if self._factors is not None:
            self.shapes["rope_freqs.weight"] = self._factors.shape

    def _place(self, places: Any, name: str) -> str:
        """The name in GGUF."""
        place = places.get_name(name, try_suffixes=(".weight", ".bias"))
        if place is None:
            raise StudioError(f"the model has a weight {name} for which GGUF's {self._found.name} has no place.")
        return str(place)

    def each(self) -> Iterator[tuple[str, NDArray[np.float32]]]:
        """Every weight as the file holds it, in the order of ``shapes``."""
        for path, names in self._files:
            with safe_open(path, framework="pt") as opened:
                for name, place in names:
                    weight = opened.get_tensor(name).float().numpy()
                    yield place, architectures.laid(name, weight, self._config, self._found)
        if self._factors is not None:
            yield "rope_freqs.weight", self._factors


def count_numbers(folder: Path) -> int:
    """How many numbers the weights of a folder have, read off the headers of its files."""
    total = 0
    for path in folder.glob("*.safetensors"):
        with safe_open(path, framework="pt") as opened:
            total += sum(math.prod(opened.get_slice(name).get_shape()) for name in opened.keys())  # noqa: SIM118 - not a mapping
    return total


def mix_of(file: Path) -> dict[str, int]:
    """How many tensors of a file have which type, the commonest first: what a name like Q4_K_M really is for this model."""
    reader = gguf.GGUFReader(str(file))
    return dict(Counter(tensor.tensor_type.name.lower() for tensor in reader.tensors).most_common())
