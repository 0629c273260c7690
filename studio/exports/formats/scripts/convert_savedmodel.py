"""From ONNX with fixed sizes to a SavedModel; see ``studio.core.environments.run_script``.

Question: ``model`` (an .onnx file), ``folder`` (to write into), ``work`` (a folder to work in), ``inputs`` and ``outputs`` (name
to shape). Answer: ``places``, name to tensor of the signature, and ``axes``, the order of axes of inputs that it wants turned.
"""

import json
import os
import sys
from pathlib import Path

import numpy as np

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
question = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
os.chdir(question["work"])
# It would be downloaded otherwise, for quantisation that is not asked for.
np.save("calibration_image_sample_data_20x128x128x3_float32.npy", np.zeros((20, 128, 128, 3), dtype=np.float32))

import onnx2tf
import tensorflow

onnx2tf.convert(
    input_onnx_file_path=question["model"],
    output_folder_path=question["folder"],
    output_signaturedefs=True,
    copy_onnx_input_output_names_to_tflite=True,
    non_verbose=True,
)
function = tensorflow.saved_model.load(question["folder"]).signatures["serving_default"]
given, found = function.structured_input_signature[1], function.structured_outputs


def place(name, names):
    """The tensor of a name; TensorFlow changes signs that it does not allow."""
    plain = "".join(sign if sign.isalnum() else "_" for sign in name)
    fits = [each for each in names if each == name or plain in "".join(sign if sign.isalnum() else "_" for sign in each)]
    return fits[0] if fits else next(iter(names))


places, axes = {}, {}
for name, shape in question["inputs"].items():
    places[name] = place(name, given)
    wanted = given[places[name]].shape.as_list()
    if wanted != shape and sorted(wanted) == sorted(shape) and len(shape) > 2:
        # Channels stand last in TensorFlow.
        axes[name] = [0, *range(2, len(shape)), 1]
for name in question["outputs"]:
    places[name] = place(name, found)
Path(sys.argv[2]).write_text(json.dumps({"places": places, "axes": axes}), encoding="utf-8")
