"""Pictures: say what to paint, see base and tuned side by side, keep what was painted with its settings."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import gradio as gr

from studio.apps.frame import page, run_asked_for
from studio.apps.inert import inert
from studio.apps.opening import shared
from studio.apps.painting import (
    HIGHEST_GUIDANCE,
    HIGHEST_SCALE,
    LARGEST_SEED,
    LONGEST_PROMPT,
    MOST_PICTURES,
    MOST_STEPS,
    Painted,
    State,
    Studio,
    Wish,
)
from studio.core.errors import StudioError
from studio.core.provenance import Origin, mark
from studio.core.translation import t
from studio.core.workspace import Workspace

# Pictures that stay on the page of one person; the oldest go first.
KEPT = 48

Update = Any


def build(workspace: Workspace, reference: str | None = None) -> gr.Blocks:
    """The page of the app.

    Args:
        reference: a run to begin with; None takes the newest that paints.
    Raises:
        UserError: no such run, or none that can paint.
    """
    return _Page(shared(("image", workspace.root, reference), lambda: Studio(workspace, reference))).build()


class _Page:
    """The handlers of the page; the pictures of one person lie in that person's session and go with it."""

    def __init__(self, studio: Studio) -> None:
        self._studio = studio
        self._stops: dict[str, threading.Event] = {}
        # Who forgot their pictures while others were being painted, which began with those still there.
        self._forgotten: set[str] = set()

    def build(self) -> gr.Blocks:
        """Lay the page out and connect it."""
        with page(t("Pictures"), t("The same prompt and the same noise, with and without what was tuned."), wide=True) as blocks:
            kept = gr.State([], time_to_live=3600)
            chosen = gr.State(None)
            with gr.Row():
                with gr.Column(scale=2, min_width=300):
                    names = self._studio.choices()
                    model = gr.Dropdown(names, value=names[0], label=t("Run"), interactive=True, elem_id="model")
                    prompt = gr.Textbox(
                        label=t("Prompt"),
                        placeholder=t("What should be seen?"),
                        lines=2,
                        max_lines=5,
                        max_length=LONGEST_PROMPT,
                        autofocus=True,
                        elem_id="prompt",
                    )
                    with gr.Row():
                        paint = gr.Button(t("Paint"), variant="primary", elem_id="paint", min_width=110)
                        stop = gr.Button(t("Stop"), variant="stop", visible=False, elem_id="stop", min_width=110)
                    with gr.Row():
                        seed = gr.Number(
                            0, label=t("Seed"), precision=0, minimum=0, maximum=LARGEST_SEED, min_width=120, elem_id="seed"
                        )
                        another = gr.Checkbox(False, label=t("Another each time"), min_width=120, elem_id="another")
                    count = gr.Slider(1, MOST_PICTURES, 4, step=1, label=t("Pictures"), elem_id="count")
                    steps = gr.Slider(1, MOST_STEPS, 30, step=1, label=t("Steps"), elem_id="steps")
                    guidance = gr.Slider(
                        1, HIGHEST_GUIDANCE, 1, step=0.5, label=t("Guidance"), elem_id="guidance",
                        info=t("How strictly the prompt is followed; 1 is plain."),
                    )  # fmt: skip
                    scale = gr.Slider(
                        0,
                        HIGHEST_SCALE,
                        1,
                        step=0.05,
                        label=t("LoRA scale"),
                        info=t("1 is as trained, 0 is the base."),
                        elem_id="scale",
                    )
                    beside = gr.Checkbox(True, label=t("Base beside it"), elem_id="beside")
                with gr.Column(scale=5, min_width=300):
                    status = gr.Markdown(elem_id="status", elem_classes="studio-note", min_height=26)
                    with gr.Row():
                        base = _gallery(t("Base"), "base")
                        tuned = _gallery(t("Tuned"), "tuned")
                    history = _gallery(t("Painted so far"), "history", columns=6)
                    with gr.Row(visible=False) as details:
                        settings = gr.Markdown(elem_id="settings", elem_classes="studio-note")
                        again = gr.Button(t("Take these settings"), size="sm", elem_id="take", min_width=150)
                    empty = gr.Button(t("Forget the pictures"), size="sm", elem_id="forget")

            wishes = [model, prompt, seed, count, steps, guidance, scale, beside]
            view = [kept, status, base, tuned, history, paint, stop]
            painting = {
                "fn": self.paint,
                "inputs": [kept, *wishes],
                "outputs": view,
                "concurrency_limit": 1,
                "concurrency_id": "model",
                "show_progress": "hidden",
            }
            controls = [steps, guidance, scale, beside, base]
            loaded = blocks.load(self.open, [model], [model, status], queue=False)
            loaded.success(self.show_run, [model], [*controls, status], show_progress="hidden")
            model.input(self.show_run, [model], [*controls, status], show_progress="hidden")
            asked = gr.on([paint.click, prompt.submit], self.begin, [seed, another], [seed, status, paint, stop], queue=False)
            # On a narrow screen the pictures lie below the controls.
            asked.success(None, None, None, js="() => document.querySelector('#status')?.scrollIntoView({block: 'nearest'})")
            asked.success(**painting)
            stop.click(self.stop, None, None, queue=False)
            empty.click(self.forget, None, [kept, history, details], queue=False)
            history.select(self.select, [kept], [chosen, settings, details], queue=False)
            again.click(self.take, [chosen], [prompt, seed, steps, guidance, scale, another], queue=False)
            blocks.unload(self.leave)
        return blocks

    # -- the page ------------------------------------------------------------------------------------------------

    def open(self, name: str | None, request: gr.Request) -> tuple[Update, str]:
        """A person comes: which runs there are; the address of the page may name the one to begin with."""
        names = self._studio.choices()
        name = run_asked_for(request) or name
        return gr.update(choices=names, value=name if name in names else names[0]), t("Loading the run …")

    def show_run(self, name: str) -> tuple[Update, ...]:
        """Set the sliders to what a run samples with; what it has not is not offered."""
        try:
            about = self._studio.about(name)
        except StudioError as error:
            return (gr.skip(), gr.skip(), gr.skip(), gr.skip(), gr.skip(), _alert(str(error)))
        return (
            gr.update(value=about.steps),
            gr.update(value=about.guidance),
            gr.update(visible=about.has_adapter, value=1),
            gr.update(visible=about.has_base, value=about.has_base),
            gr.update(visible=about.has_base),
            t("Ready: {size} x {size} pixels, {steps} steps.", size=about.size, steps=about.steps)
            + ("" if about.has_base else t(" The run was trained from scratch, so there is no base beside it.")),
        )

    def begin(self, seed: float | None, another: bool) -> tuple[Update, ...]:
        """Switch the buttons, and draw a new seed where one is wanted."""
        wanted = secrets.randbelow(2**31) if another else seed
        return (gr.update(value=wanted), t("Waiting for the model …"), gr.update(visible=False), gr.update(visible=True))

    def stop(self, request: gr.Request) -> None:
        """End what is being painted for this person, at the next step."""
        if event := self._stops.get(str(request.session_hash)):
            event.set()

    def leave(self, request: gr.Request) -> None:
        """A person closed the page: nobody looks at the pictures any more."""
        self.stop(request)
        self._forgotten.discard(str(request.session_hash))

    def forget(self, request: gr.Request) -> tuple[Update, ...]:
        """Put away what was painted before."""
        if (session := str(request.session_hash)) in self._stops:
            self._forgotten.add(session)
        return ([], [], gr.update(visible=False))

    def select(self, kept: Sequence[Painted], event: gr.SelectData) -> tuple[Update, ...]:
        """Show all settings of a picture that was painted before."""
        index = event.index if isinstance(event.index, int) else -1
        if not 0 <= index < len(kept):
            return (None, "", gr.update(visible=False))
        item = kept[index]
        return (item, f"{inert(item.model)}: {inert(item.caption())}", gr.update(visible=True))

    def take(self, item: Painted | None) -> tuple[Update, ...]:
        """Put the settings of a picture back into the controls."""
        if item is None:
            return tuple(gr.skip() for _ in range(6))
        return (item.prompt, item.seed, item.steps, item.guidance, item.lora_scale, False)

    # -- painting ------------------------------------------------------------------------------------------------

    def paint(
        self,
        kept: Sequence[Painted],
        name: str,
        prompt: str,
        seed: float | None,
        count: float,
        steps: float,
        guidance: float,
        scale: float,
        beside: bool,
        request: gr.Request,
    ) -> Iterator[tuple[Update, ...]]:
        """Paint, showing how far it has come, then show the pictures."""
        session = str(request.session_hash)
        stop = self._stops[session] = threading.Event()
        state: State | None = None
        try:
            wish = Wish(prompt or "", int(seed or 0), int(count), int(steps), float(guidance), float(scale), bool(beside))
            for state in self._studio.paint(name, wish, stop):
                if state.ending is None:
                    yield (gr.skip(), _progress(state), *(gr.skip() for _ in range(5)))
        except (StudioError, ValueError, TypeError, OverflowError) as error:
            yield (gr.skip(), _alert(str(error)), gr.skip(), gr.skip(), gr.skip(), *_buttons())
            return
        finally:
            self._stops.pop(session, None)
            before = [] if session in self._forgotten else kept
            self._forgotten.discard(session)
        assert state is not None
        sides = {side: [item for item in state.painted if item.side == side] for side in ("base", "tuned")}
        # The base's picture beside the tuned one of the same seed, the newest first.
        pairs = [
            item for index in range(len(sides["tuned"])) for side in ("tuned", "base") for item in sides[side][index : index + 1]
        ]
        everything = [*pairs, *before][:KEPT]
        yield (
            everything,
            _ending(state),
            _shown(sides["base"], seeds_only=True),
            _shown(sides["tuned"], seeds_only=True),
            _shown(everything),
            *_buttons(),
        )


def _gallery(label: str, name: str, columns: int = 2) -> gr.Gallery:
    """A gallery that shows and lets download, and takes nothing."""
    return gr.Gallery(
        label=label,
        columns=columns,
        object_fit="contain",
        format="png",
        type="pil",
        interactive=False,
        buttons=["download", "fullscreen"],
        elem_id=name,
        elem_classes="studio-pictures",
        min_width=220,
        height="auto",
    )


def _shown(items: Sequence[Painted], *, seeds_only: bool = False) -> list[tuple[Any, str]]:
    """Pictures with captions, as a gallery takes them; small ones are enlarged by whole pixels."""
    return [(_marked(item), t("seed {seed}", seed=item.seed) if seeds_only else item.caption()) for item in items]


def _marked(item: Painted) -> Any:
    """The picture as it is shown, with the mark that a download keeps: which model painted it, never what was asked for."""
    return mark(_enlarged(item.picture).copy(), Origin(f"{item.model} ({item.side})", seed=item.seed, steps=item.steps))


def _enlarged(picture: Any) -> Any:
    """A picture of at least 256 pixels: a browser would blur a smaller one."""
    from PIL import Image

    times = max(1, 256 // max(picture.size))
    return picture.resize((picture.width * times, picture.height * times), Image.Resampling.NEAREST) if times > 1 else picture


def _progress(state: State) -> str:
    """A bar of characters, the share and the words: it needs no script and reads aloud."""
    filled = round(20 * state.share)
    return f"{'█' * filled}{'░' * (20 - filled)} {state.share:.0%} · {state.what}"


def _ending(state: State) -> str:
    """How it ended, and which words the model never met."""
    count = len(state.painted)
    text = "{count} picture in {seconds:.1f} s." if count == 1 else "{count} pictures in {seconds:.1f} s."
    what = t("Stopped.") if state.ending == "stopped" else t(text, count=count, seconds=state.seconds)
    if state.unknown:
        words = ", ".join(f"“{inert(word)}”" for word in state.unknown[:12])
        what += t(" **The model never met {words} in a caption and can only guess.**", words=words)
    return what


def _buttons() -> tuple[Update, Update]:
    """Paint and Stop as they are outside of painting."""
    return gr.update(visible=True), gr.update(visible=False)


def _alert(sentence: str) -> str:
    """An error as the status line shows it."""
    text = inert(sentence)
    return f"**{text[:1].upper()}{text[1:]}**"
