"""Ask a predictor: a form made from its columns, the answer, how sure it is, and why."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import gradio as gr

from studio.apps.frame import in_order, page
from studio.apps.inert import inert
from studio.apps.opening import shared
from studio.apps.predicting import LONGEST_TEXT, Answer, Asker
from studio.core.errors import StudioError
from studio.core.translation import later, t
from studio.core.workspace import Workspace

if TYPE_CHECKING:
    from studio.evals.predictors.explanations import Explanation
    from studio.models.predictors.base import Filling
    from studio.schema.columns import Column

Update = Any
_MOST_SHARES, _MOST_PARTS, _MOST_NAMED = 8, 12, 4
_OF_COLUMNS = tuple(map(later, ("column", "value", "speaks for it or against it")))
_OF_WORDS = tuple(map(later, ("word", "speaks for it or against it")))


def build(workspace: Workspace, reference: str | None = None) -> gr.Blocks:
    """The page of the app.

    Args:
        reference: a run; None takes the newest that predicts.
    Raises:
        UserError: no such run, or none that predicts.
    """
    return _Page(shared(("predict", workspace.root, reference), lambda: Asker(workspace, reference))).build()


class _Page:
    """The handlers of the page."""

    def __init__(self, asker: Asker) -> None:
        self._asker = asker

    def build(self) -> gr.Blocks:
        """Lay the page out and connect it."""
        info = self._asker.info
        names = ", ".join(column.name for column in info.columns[:_MOST_NAMED]) + (
            ", …" if len(info.columns) > _MOST_NAMED else ""
        )
        about = t("{target} from {names}, by the run {run}", target=info.target, names=names, run=self._asker.name)
        with page(t("Predict"), escape(about), wide=True) as blocks:
            with gr.Row():
                with gr.Column(scale=3, min_width=300):
                    fields = [_field(column, filling) for column, filling in self._asker.fields()]
                    with gr.Row():
                        ask = gr.Button(t("Predict"), variant="primary", elem_id="ask", min_width=110)
                        example = gr.Button(t("A held-out row"), elem_id="example", min_width=110)
                    truth = gr.Markdown(elem_id="truth", elem_classes="studio-note")
                with gr.Column(scale=4, min_width=300):
                    answer = gr.HTML(elem_id="answer", padding=False)
                    why = gr.HTML(elem_id="why", padding=False)
            asked = ask.click(self.ask, fields, [answer, why], **in_order("answer"))
            asked.success(None, None, None, js="() => document.querySelector('#answer')?.scrollIntoView({block: 'nearest'})")
            taken = example.click(self.example, None, [*fields, truth, answer, why], **in_order("answer"))
            taken.success(self.ask, fields, [answer, why], **in_order("answer"))
        return blocks

    def ask(self, *values: Any) -> tuple[str, str]:
        """The answer and why."""
        try:
            answer, frame = self._asker.answer(values)
        except StudioError as error:
            return f'<p class="studio-alert">{escape(str(error))}</p>', ""
        try:
            found = self._asker.why(frame)
        except StudioError as error:
            return _answered(answer, self._asker), f'<p class="studio-note">{escape(str(error))}</p>'
        return _answered(answer, self._asker), _explained(found) if found is not None else ""

    def example(self) -> tuple[Update, ...]:
        """Fill the form with a row that the run never saw."""
        found = self._asker.held_out_row(secrets.randbelow(2**31))
        count = len(self._asker.fields())
        if found is None:
            return (*(gr.skip() for _ in range(count)), t("The Dataset has no held-out rows, or is not there any more."), "", "")
        values, truth = found
        return (*values, t("The truth of this row: **{truth}**", truth=inert(truth)), "", "")


def _field(column: Column, filling: Filling | None) -> gr.components.Component:
    """The field of a column, filled with what is typical of it."""
    label = f"{column.name} ({column.unit})" if column.unit else column.name
    typical = filling.typical if filling else None
    common: dict[str, Any] = {"label": label, "info": column.about, "elem_id": f"field-{column.name}"}
    if column.type == "number":
        return gr.Number(value=typical if isinstance(typical, float) else None, **common)
    if column.type == "category":
        choices = sorted(filling.values) if filling else []
        return gr.Dropdown(choices, value=typical, allow_custom_value=True, **common)
    if column.type == "picture":
        return gr.Image(type="filepath", sources=["upload", "clipboard"], label=label, elem_id=common["elem_id"])
    lines = 4 if column.type == "text" else 1
    return gr.Textbox(
        value=str(typical) if column.type == "time" and typical is not None else None,
        lines=lines,
        max_length=LONGEST_TEXT,
        **common,
    )


def _answered(answer: Answer, asker: Asker) -> str:
    """The answer, how sure it is, and what the person should know."""
    info = asker.info
    unit = f" {escape(info.unit)}" if info.unit else ""
    parts = [f'<div class="studio-answer"><span>{escape(info.target)}</span><b>{escape(answer.value)}{unit}</b></div>']
    if answer.shares:
        parts.append(_bars([(label, share, f"{share:.1%}") for label, share in list(answer.shares.items())[:_MOST_SHARES]]))
        if len(answer.shares) > _MOST_SHARES:
            parts.append(f'<p class="studio-note">{escape(t("and {count} more", count=len(answer.shares) - _MOST_SHARES))}</p>')
        parts.append(_note(_baseline(asker)))
    elif answer.low is not None and answer.high is not None and answer.level is not None:
        text = t(
            "Between {low:.4g} and {high:.4g} in about {level:.0%} of cases like those it was set on.",
            low=answer.low,
            high=answer.high,
            level=answer.level,
        )
        parts.append(_note(text))
    parts += [f'<p class="studio-alert">{escape(note)}</p>' for note in answer.notes]
    return "".join(parts)


def _baseline(asker: Asker) -> str:
    """What would be said without looking at the row."""
    shares = asker.info.baseline
    label = max(shares, key=lambda name: shares[name])
    return t(
        "Without looking at the row: {label}, which {share:.0%} of the training rows have.", label=label, share=shares[label]
    )


def _explained(found: Explanation) -> str:
    """What spoke for the answer and what against it, and what that does not say."""
    parts = found.parts[:_MOST_PARTS]
    largest = max((abs(part.contribution) for part in parts), default=0.0) or 1.0
    # A word is its own value.
    valued = any(part.value for part in parts)
    rows = "".join(
        f"<tr><td>{escape(part.feature)}</td>{f'<td>{escape(part.value)}</td>' if valued else ''}"
        f'<td class="studio-part {"for" if part.contribution >= 0 else "against"}">'
        f'<i style="width:{100 * abs(part.contribution) / largest:.1f}%"></i></td>'
        f"<td>{part.contribution:+.3g}</td></tr>"
        for part in parts
    )
    words = _OF_COLUMNS if valued else _OF_WORDS
    head = "".join(f"<th>{escape(t(word))}</th>" for word in words) + "<th></th>"
    picture = f'<img class="studio-why-picture" alt="" src="{found.picture}">' if found.picture else ""
    table = (
        f'<table class="studio-why"><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>' if rows and not picture else ""
    )
    return f"<h3>{escape(t('Why'))}</h3>{picture}{table}{_note(found.says)}{_note(found.faithful)}"


def _bars(items: Sequence[tuple[str, float, str]]) -> str:
    """Names with bars of shares from 0 to 1."""
    rows = "".join(
        f'<tr><td>{escape(name)}</td><td class="studio-part for"><i style="width:{100 * share:.1f}%"></i></td>'
        f"<td>{escape(text)}</td></tr>"
        for name, share, text in items
    )
    return f'<table class="studio-why"><tbody>{rows}</tbody></table>'


def _note(text: str | None) -> str:
    """A quiet line; nothing where there is none."""
    return f'<p class="studio-note">{escape(text)}</p>' if text else ""
