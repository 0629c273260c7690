"""Build a graph with the model builder of onnxruntime-genai: ``python build.py QUESTION.json ANSWER.json``.

A process of its own: the builder is a script that changes what is imported how, and takes much memory. Imports nothing of the
studio. The question: ``source`` and ``target`` folders, ``cache`` folder, ``precision``, ``options`` (KEY=VALUE). The answer:
versions, and the graph's ``inputs`` and ``outputs`` by name, each with its number type and shape.
"""

import importlib.util
import json
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


def main() -> None:
    """Read the question, write the folder, answer."""
    question = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    package = importlib.util.find_spec("onnxruntime_genai")
    assert package is not None and package.origin is not None
    # Its modules import each other by bare names, as scripts of one folder.
    sys.path.insert(0, str(Path(package.origin).parent / "models"))
    from builder import create_model, parse_extra_options

    where = ("model", question["source"], question["target"], question["precision"], "cpu", question["cache"])
    create_model(*where, **parse_extra_options(*where, question["options"]))
    packages = ("onnxruntime-genai", "onnxruntime", "onnx", "torch", "transformers")
    answer = {"versions": {name: version(name) for name in packages}, **ports(Path(question["target"]) / "model.onnx")}
    Path(sys.argv[2]).write_text(json.dumps(answer), encoding="utf-8")


def ports(path: Path) -> dict[str, Any]:
    """What goes into a graph and what comes out; an axis of any size has a name."""
    import onnx

    graph = onnx.load(str(path), load_external_data=False).graph

    def described(port: Any) -> dict[str, Any]:
        kind = port.type.tensor_type
        shape = [axis.dim_param or axis.dim_value for axis in kind.shape.dim]
        return {"dtype": onnx.TensorProto.DataType.Name(kind.elem_type).lower(), "shape": shape}

    return {
        "inputs": {port.name: described(port) for port in graph.input},
        "outputs": {port.name: described(port) for port in graph.output},
    }


if __name__ == "__main__":
    main()
