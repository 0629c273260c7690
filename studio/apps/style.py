"""How the apps look: one theme, no font or script from elsewhere, light and dark."""

from __future__ import annotations

import gradio as gr

_FONT = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Ubuntu", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"]

# A page says its own colour scheme, so that scroll bars and form fields of the browser go along.
HEAD = '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'

CSS = """
.gradio-container { max-width: 1080px !important; margin: 0 auto !important; padding: 0 16px 24px !important; }
.gradio-container.fillable.app.fill_width { max-width: 1480px !important; }
.studio-head { padding: 20px 2px 4px; }
.studio-head h1 { font-size: 1.45rem; font-weight: 650; letter-spacing: -0.01em; margin: 0; }
.studio-head p { margin: 4px 0 0; color: var(--body-text-color-subdued); }
.studio-note { color: var(--body-text-color-subdued); font-size: 0.9rem; }
.studio-note p { margin: 0; }
.studio-alert { border-left: 3px solid var(--color-accent); padding: 6px 12px; border-radius: 4px; }
.studio-alert { background: var(--background-fill-secondary); }
footer { display: none !important; }
@media (max-width: 640px) {
  .gradio-container { padding: 0 8px 16px !important; }
  .studio-head { padding: 12px 4px 2px; }
  .studio-head h1 { font-size: 1.2rem; }
}
"""


def theme() -> gr.themes.Base:
    """Gradio's base theme in the studio's colours, with fonts of the person's own machine."""
    look = gr.themes.Base(
        primary_hue=gr.themes.colors.teal,
        secondary_hue=gr.themes.colors.slate,
        neutral_hue=gr.themes.colors.slate,
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_md,
        font=_FONT,
        font_mono=_MONO,
    )
    return look.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        block_border_width="1px",
        block_shadow="none",
        block_label_text_weight="600",
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover_dark="*primary_600",
        button_primary_text_color="white",
        button_primary_text_color_dark="white",
    )
