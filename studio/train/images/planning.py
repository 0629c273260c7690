"""From a preset, a Dataset and a wish to the plan of an image model's training."""

from __future__ import annotations

from functools import partial

from studio.core.errors import UserError
from studio.core.workspace import Workspace
from studio.models.device import pick_device
from studio.schema.diffusion import DiffusionAdapter
from studio.train.capacity import free_disk, memory_of
from studio.train.images.opening import find_base, find_pictures
from studio.train.images.plan import check_image_plan, plan_images, probe_images
from studio.train.images.showing import plan_told
from studio.train.kinds import Planned, PlanWish
from studio.train.opening import Say


def plan_as_wished(adapter: DiffusionAdapter, wish: PlanWish, workspace: Workspace, say: Say) -> Planned:
    """Plan, and probe where that is wished and the plan fits.

    Raises:
        UserError: a probe without a Dataset.
    """
    base = find_base(adapter)
    limit = wish.memory if wish.memory is not None else memory_of("cuda" if pick_device().type == "cuda" else "cpu")
    planned = plan_images(adapter, base, memory=limit, free_disk=free_disk(workspace))
    probed = None
    if wish.probe and planned.fits:
        if adapter.data is None:
            raise UserError("--probe trains on real pictures: add --data DATASET.")
        folder, _ = find_pictures(adapter.data, workspace)
        say("probing: 5 real steps")
        probed = probe_images(adapter, base, folder)
    return Planned(plan_told(planned, probed), partial(check_image_plan, planned))
