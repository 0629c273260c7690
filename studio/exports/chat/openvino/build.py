"""Write a model as OpenVINO's form with its cache inside: ``python build.py QUESTION.json ANSWER.json``.

A process of its own: the exporter changes torch and takes much memory. Imports nothing of the studio. The question: folders
``source`` and ``target``, ``bits`` of the weights (32 or 8). The answer: versions, and ``inputs`` and ``outputs`` by name, each
with its number type and shape.
"""

import json
import logging
import shutil
import sys
import warnings
from importlib.metadata import version
from pathlib import Path
from typing import Any

MODEL = "openvino_model.xml"
_READ, _NEW, _ROWS = 5, 4, 2
"""Tokens in the cache and new ones of the sample that the model is followed with, and rows; all of these are left open."""
_PACKAGES = ("openvino", "openvino-genai", "openvino-tokenizers", "nncf", "torch", "transformers")


def main() -> None:
    """Read the question, write the folder, answer."""
    warnings.simplefilter("ignore")
    question = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    source, target = Path(question["source"]), Path(question["target"])
    model = followed(source)
    if question["bits"] == 8:
        import nncf

        nncf.set_log_level(logging.ERROR)
        model = nncf.compress_weights(model, mode=nncf.CompressWeightsMode.INT8_ASYM)
    import openvino

    openvino.save_model(model, target / MODEL, compress_to_fp16=False)
    write_tokenizers(source, target)
    answer = {
        "versions": {name: version(name) for name in _PACKAGES},
        "inputs": {port.any_name: described(port) for port in model.inputs},
        "outputs": {port.any_name: described(port) for port in model.outputs},
    }
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


def followed(source: Path) -> Any:
    """The model as ``openvino.Model``, in float32, with numbers of rows and tokens left open and its cache inside."""
    import torch
    from transformers import AutoModelForCausalLM, DynamicCache
    from transformers.exporters.configs import OpenVINOConfig
    from transformers.exporters.exporter_openvino import OpenVINOExporter

    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, local_files_only=True).eval()
    whole = _READ + _NEW
    ids = torch.arange(3, 3 + whole).repeat(_ROWS, 1)
    cache = DynamicCache(config=model.config)
    with torch.no_grad():
        model(ids[:, :_READ], past_key_values=cache, use_cache=True)
    sample = {
        "input_ids": ids[:, _READ:],
        "attention_mask": torch.ones(_ROWS, whole, dtype=torch.int64),
        "position_ids": torch.arange(_READ, whole).repeat(_ROWS, 1),
        "past_key_values": cache,
        "use_cache": True,
    }
    return OpenVINOExporter().export(model, sample, config=OpenVINOConfig(dynamic=True, stateful=True))


def write_tokenizers(source: Path, target: Path) -> None:
    """The tokenizer both ways as graphs, and the files that say how turns are written and where answers end."""
    import openvino
    from openvino_tokenizers import convert_tokenizer
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=True)
    forth, back = convert_tokenizer(tokenizer, with_detokenizer=True)
    openvino.save_model(forth, target / "openvino_tokenizer.xml")
    openvino.save_model(back, target / "openvino_detokenizer.xml")
    for path in source.iterdir():
        if path.suffix in {".json", ".jinja"} and not path.name.startswith(("model.", "studio-")):
            shutil.copyfile(path, target / path.name)


def described(port: Any) -> dict[str, Any]:
    """Number type and shape of a port; -1 is any size."""
    shape = [axis.get_length() if axis.is_static else -1 for axis in port.get_partial_shape()]
    return {"dtype": port.get_element_type().get_type_name(), "shape": shape}


if __name__ == "__main__":
    main()
