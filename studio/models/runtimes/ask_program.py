"""Runs a program of an export on arrays, in an environment of its own; see ``studio.core.environments.run_script``."""

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np

question = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
spec = importlib.util.spec_from_file_location("program", question["program"])
program = importlib.util.module_from_spec(spec)
spec.loader.exec_module(program)
run = program.load(Path(question["folder"]), question["record"])
with np.load(question["given"]) as given:
    found = run({name: given[name] for name in given.files})
np.savez(question["found"], **found)
Path(sys.argv[2]).write_text(json.dumps({"rows": len(next(iter(found.values())))}), encoding="utf-8")
