"""The form of a preset as somebody filled it in: what stands in each field, what of it matters, and what settings it makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pydantic import BaseModel
from starlette.datastructures import FormData

from studio.core.errors import UserError
from studio.core.workspace import Workspace, check_run_name
from studio.pages.choosing import Choice, FieldError, Wrong, find_preset_here, read_preset, refuse_places
from studio.pages.forms import Block, Field, fields_of, form_of
from studio.pages.posted import text_of
from studio.schema.loading import Settings
from studio.schema.optimizers import PROJECTING
from studio.schema.preference import PREFERENCES
from studio.train.kinds import load_preset

# Where a group of settings means something: kind of preset and group to a setting and its values.
_MATTERS: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    ("chat", "preference"): ("objective", PREFERENCES),
    ("chat", "grpo"): ("objective", ("grpo",)),
    ("chat", "grpo.vllm"): ("grpo.writer", ("vllm",)),
    ("chat", "distill"): ("objective", ("distill",)),
    ("chat", "reward"): ("objective", ("reward",)),
    **{("chat", name): ("method", (name,)) for name in ("lora", "oft", "loha", "lokr", "vera")},
    ("chat", "projection"): ("optimizer", tuple(sorted(PROJECTING))),
    ("diffusion", "network"): ("method", ("scratch",)),
    ("diffusion", "lora"): ("method", ("lora",)),
    ("diffusion", "inversion"): ("method", ("inversion",)),
    ("diffusion", "dreambooth"): ("method", ("lora", "full")),
    ("embedding", "lora"): ("tune", ("lora",)),
    ("reranker", "lora"): ("tune", ("lora",)),
}


@dataclass(frozen=True)
class Filled:
    """A form with what stands in it.

    base: the preset as its file has it. blocks: its form. texts, switches: what stands in the fields, and which groups that may
    be left out are wanted. extra: settings that no field shows. model, name: as in :class:`studio.pages.choosing.Choice`.
    choice, preset: what comes of it; None where something is wrong, which ``wrong`` says.
    """

    base: Settings
    blocks: tuple[Block, ...]
    texts: dict[str, str]
    switches: dict[str, bool]
    extra: tuple[str, ...] = ()
    model: str = ""
    name: str = ""
    choice: Choice | None = None
    preset: Settings | None = None
    wrong: tuple[Wrong, ...] = ()
    fields: dict[str, Field] = field(default_factory=dict)

    @property
    def kind(self) -> str:
        """The kind of the preset."""
        return str(getattr(self.base, "kind", ""))

    def where(self, block: str) -> tuple[str, tuple[str, ...]] | None:
        """The setting on which it depends whether a group means something, and its values for which it does."""
        return _MATTERS.get((self.kind, block))

    def matters(self, block: str) -> bool:
        """True where a group means something with what stands in the form; of a group in a group, where both do."""
        parts = block.split(".")
        for end in range(1, len(parts) + 1):
            name = ".".join(parts[:end])
            found = self.where(name)
            if found is not None and self.texts[found[0]] not in found[1]:
                return False
            if self.switches.get(name) is False:
                return False
        return True

    def settings(self) -> tuple[str, ...]:
        """What differs from the preset, as ``key=value``."""
        found = list(self.extra)
        dropped: list[str] = []
        for block in self.blocks:
            if block.name and any(block.name.startswith(f"{name}.") for name in dropped):
                continue
            if block.name and not self.matters(block.name):
                dropped.append(block.name)
                if _held(self.base, block.name) != _usual(self.base, block.name):
                    found.append(f"{block.name}={'null' if block.switch is not None else '{}'}")
                continue
            if block.switch is False:
                found.append(f"{block.name}={{}}")
            changes = (each.setting(self.texts[each.name]) for each in block.fields)
            found += [change for change in changes if change is not None]
        return tuple(found)


def filled_from_address(choice: Choice, workspace: Workspace) -> Filled:
    """The form as the settings of an address have it.

    Raises:
        StudioError: there is no such preset, or its file is wrong as it is.
    """
    empty = _empty(choice, workspace)
    names = list(empty.texts)
    keys = {each.partition("=")[0].strip(): each.partition("=")[2] for each in choice.settings}
    groups = {block.name for block in empty.blocks if block.name}
    extra = tuple(each for each in choice.settings if each.partition("=")[0].strip() not in {*names, *groups})
    filled = replace(empty, extra=extra, model=choice.model, name=choice.name)
    try:
        preset = read_preset(choice, workspace, names)
    except FieldError as error:
        texts = empty.texts | {name: text for name, text in keys.items() if name in names}
        return replace(filled, texts=texts, wrong=(error.wrong,))
    shown = form_of(preset)
    texts = empty.texts | {name: each.value for name, each in fields_of(shown).items() if name in names}
    switches = {block.name: block.switch for block in shown if block.switch is not None}
    return replace(filled, texts=texts, switches=switches, choice=choice, preset=preset)


def filled_from_form(form: FormData, data: str, workspace: Workspace, bases: Sequence[str] | None) -> Filled:
    """The form as it was sent; fields that were not sent are as the preset has them.

    Args:
        bases: folders and runs that may be named, None for any that are on this machine.
    Raises:
        StudioError: there is no such preset.
    """
    # No command can be given a NUL.
    form = FormData([(key, str(value).replace("\0", "")) for key, value in form.multi_items()])
    model = text_of(form, "other_model").strip() or text_of(form, "model").strip()
    name = text_of(form, "name").strip()
    extra = tuple(str(each) for each in form.getlist("set") if each)
    empty = _empty(Choice(data, text_of(form, "preset")), workspace)
    # Of a box that can be ticked two are sent, the first of which says that it is not.
    sent = {key: str(values[-1]).replace("\r\n", "\n") for key in form if (values := form.getlist(key))}
    texts = {key: sent.get(f"s.{key}", text) for key, text in empty.texts.items()}
    switches = {key: sent.get(f"on.{key}", "true" if on else "false") == "true" for key, on in empty.switches.items()}
    filled = replace(empty, texts=texts, switches=switches, extra=extra, model=model, name=name)
    choice = Choice(data, text_of(form, "preset"), model, name, filled.settings())
    try:
        _refuse_name(name)
        if bases is not None:
            refuse_places(choice, bases)
        preset = read_preset(choice, workspace, list(texts))
    except FieldError as error:
        return replace(filled, wrong=(error.wrong,))
    return replace(filled, choice=choice, preset=preset)


def _empty(choice: Choice, workspace: Workspace) -> Filled:
    """The form of a preset as its file has it."""
    base = load_preset(find_preset_here(choice.preset, workspace))
    blocks = form_of(base)
    fields = fields_of(blocks)
    switches = {block.name: block.switch for block in blocks if block.switch is not None}
    return Filled(base, blocks, {name: each.value for name, each in fields.items()}, switches, fields=fields)


def _refuse_name(name: str) -> None:
    """Refuse what cannot name a run, in the words of the command.

    Raises:
        FieldError: as it says.
    """
    try:
        check_run_name(name or "-")  # left empty it is made from the Dataset's and the preset's
    except UserError as error:
        raise FieldError(Wrong(str(error), "name")) from error


def _held(preset: BaseModel, name: str) -> object:
    """A group of settings as a preset has it."""
    found: object = preset
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _usual(preset: BaseModel, name: str) -> object:
    """The same where nothing is said."""
    above, _, last = name.rpartition(".")
    owner = _held(preset, above) if above else preset
    return type(owner).model_fields[last].default if isinstance(owner, BaseModel) else None
