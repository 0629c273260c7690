"""Several processes: accelerate's launcher around :mod:`studio.train.chat.worker`."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType

import torch

from studio.core.errors import InterruptedRunError, StudioError, UserError
from studio.core.records import RunRecord
from studio.core.workspace import read_run


def launch(folder: Path, *, resume: bool, processes: int, accelerate_config: Path | None) -> RunRecord:
    """Run the training of an opened Run in several processes and wait for them.

    Signals are handed on, so that Ctrl-C saves in all of them. Without a config file the processes run DDP on this
    machine, over NCCL on GPUs and gloo on CPUs; a config file of accelerate's decides otherwise (FSDP2, DeepSpeed).

    Raises:
        UserError: more processes than GPUs, or no such config file.
        InterruptedRunError: stopped by a signal after saving.
        StudioError: a process failed; the message is what the first one wrote into the record.
    """
    gpus = torch.cuda.device_count()
    if gpus and processes > gpus:
        raise UserError(f"--processes {processes} is more than the {gpus} GPUs of this machine. Use at most {gpus}.")
    if accelerate_config is not None and not accelerate_config.is_file():
        raise UserError(f"--accelerate-config {accelerate_config}: there is no such file. Make one with: accelerate config")
    worker = ["-m", "studio.train.chat.worker", str(folder), *(["--resume"] if resume else [])]
    environment = dict(os.environ)
    if accelerate_config is not None:
        command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(accelerate_config), *worker]
    else:
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}", *worker]
        cores = os.cpu_count() or processes
        environment.setdefault("OMP_NUM_THREADS", str(max(1, cores // processes)))
    child = subprocess.Popen(command, env=environment)

    def hand_on(number: int, _frame: FrameType | None) -> None:
        child.send_signal(number)

    # A terminal sends Ctrl-C to the children itself; only what reaches this process alone is handed on.
    before = {signal.SIGTERM: signal.signal(signal.SIGTERM, hand_on), signal.SIGINT: signal.signal(signal.SIGINT, hand_on)}
    try:
        code = child.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    record = read_run(folder)
    if record.status == "interrupted":
        raise InterruptedRunError(f"stopped and saved. Go on with: studio train --resume {folder.parent.name}/{folder.name}")
    if code or record.status != "finished":
        raise StudioError(record.error or f"a training process ended with exit code {code}; see the lines above.")
    return record
