"""The forms that an image model's run can be written in; the work itself is in ``studio/adapters/images/kohya_export.py``."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from studio import __version__
from studio.core.files import sha256_file
from studio.core.telling import Told
from studio.exports.forms import Export, Wishes


class Kohya(Export):
    """One file that AUTOMATIC1111, Forge, ComfyUI and others load."""

    models = "images"
    kinds = ("diffusion",)
    what = "an image LoRA in kohya's layout"
    place = "kohya/NAME.safetensors"

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:  # noqa: ARG002 - it keeps its own number type
        """Write the file, let it be read back, and say by how much it differs."""
        from studio.adapters.images.kohya_export import export_kohya
        from studio.exports.writing import described, told, versions_of
        from studio.models.exported import ExportRecord

        result = export_kohya(run_folder, target)
        words = [
            ("layers", f"{result.modules} of a base of family {result.family}"),
            ("largest difference of an update", f"{result.update_difference:.1e} of its size"),
            ("largest difference of a prediction", f"{result.output_difference:.1e} of its size"),
        ]
        versions = versions_of("diffusers", "torch")
        record = ExportRecord(
            form="kohya",
            kind="diffusion",
            run=described(run_folder),
            runtime=f"diffusers {versions['diffusers']}" if result.read_by == "diffusers" else f"studio {__version__}",
            proof={"modules": result.modules, "update": result.update_difference, "step": result.output_difference},
            versions=versions,
            files={target.name: sha256_file(target)},
            extra={"family": result.family},
        )
        return told(
            run_folder, target, record, words, result.bytes, f"load {target.name} as a LoRA in ComfyUI, Forge or AUTOMATIC1111"
        )


class Diffusers(Export):
    """A plain folder of diffusers."""

    models = "images"
    kinds = ("diffusion",)
    what = "a folder of diffusers with the LoRA folded in"
    place = "diffusers/"

    def check(self, run_folder: Path, wishes: Wishes) -> None:  # noqa: ARG002 - no wish has a meaning
        """See :meth:`Export.check`."""
        from studio.exports.images.folder import check_pipeline

        check_pipeline(run_folder)

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:  # noqa: ARG002 - no wish has a meaning
        """See :func:`studio.exports.images.folder.export_folder`."""
        from studio.exports.images.folder import export_folder

        return export_folder(run_folder, target)


class SingleFile(Export):
    """One file with everything that draws, as many programs keep models."""

    models = "images"
    kinds = ("diffusion",)
    what = "one file of a whole Stable Diffusion 1.x with the LoRA folded in"
    place = "single-file/NAME.safetensors"

    def check(self, run_folder: Path, wishes: Wishes) -> None:  # noqa: ARG002 - no wish has a meaning
        """See :meth:`Export.check`."""
        from studio.exports.images.single_file import check_single_file

        check_single_file(run_folder)

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:  # noqa: ARG002 - no wish has a meaning
        """See :func:`studio.exports.images.single_file.export_single_file`."""
        from studio.exports.images.single_file import export_single_file

        return export_single_file(run_folder, target)


class OnnxDenoiser(Export):
    """The network that denoises, alone."""

    models = "images"
    kinds = ("diffusion",)
    what = "ONNX of the network that denoises"
    place = "onnx/"

    def check(self, run_folder: Path, wishes: Wishes) -> None:  # noqa: ARG002 - no wish has a meaning
        """See :meth:`Export.check`."""
        from studio.exports.images.denoiser import check_denoiser

        check_denoiser(run_folder, "onnx")

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:  # noqa: ARG002 - no wish has a meaning
        """See :func:`studio.exports.images.denoiser.export_denoiser`."""
        from studio.exports.images.denoiser import export_denoiser

        return export_denoiser(run_folder, target, "onnx")


class OnnxDecoder(Export):
    """The half of a VAE or GAN that draws."""

    models = "vae and gan"
    kinds = ("vae", "gan")
    format: ClassVar[str] = "onnx"
    """Name in :data:`studio.exports.formats.base.FORMATS`."""
    what = "ONNX of what a VAE or GAN draws with"
    place = "onnx/"

    def check(self, run_folder: Path, wishes: Wishes) -> None:  # noqa: ARG002 - no wish has a meaning
        """See :meth:`Export.check`."""
        from studio.exports.images.decoder import check_decoder

        check_decoder(run_folder, self.format)

    def write(self, run_folder: Path, target: Path, wishes: Wishes) -> Told:  # noqa: ARG002 - no wish has a meaning
        """See :func:`studio.exports.images.decoder.export_decoder`."""
        from studio.exports.images.decoder import export_decoder

        return export_decoder(run_folder, target, self.format)


class OpenVinoDecoder(OnnxDecoder):
    """The same for processors of Intel."""

    format = "openvino"
    what = "OpenVINO of what a VAE or GAN draws with"
    place = "openvino/"


class Pt2Decoder(OnnxDecoder):
    """The same for programs of torch."""

    format = "pt2"
    what = "a torch.export program of what a VAE or GAN draws with"
    place = "pt2/"
