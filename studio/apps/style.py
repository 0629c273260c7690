"""How the apps look: one theme, no font or script from elsewhere, light and dark."""

from __future__ import annotations

import gradio as gr

_FONT = ["ui-sans-serif", "system-ui", "-apple-system", "Segoe UI", "Roboto", "Noto Sans", "Ubuntu", "sans-serif"]
_MONO = ["ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "DejaVu Sans Mono", "monospace"]

# Gradio puts names of its own before each rule of CSS, so that those about the page's frame, and those for narrow windows, would
# match nothing there; they go into the head as they are.
_FRAME = """
.gradio-container .app { padding: 16px 12px !important; }
.gradio-container.fill_width { max-width: 1480px !important; }
.gradio-container .html-container:has(> .prose > .studio-head) { padding: 0 !important; }
.gradio-container .table-wrap { --font-mono: var(--font) !important; }
.gradio-container :is(table, th, td) { font-family: var(--font) !important; }
.dark :is(.studio-assistant, .studio-chosen) > span { color: var(--primary-300) !important; }
.dark .studio-rejected > span, .dark .studio-reason { color: #fca5a5 !important; }
.gradio-container #status { overflow: visible !important; }
.gradio-container :is(#left, #right, #guidelines) h2 { font-size: 1.05rem !important; }
.gradio-container input[role="listbox"] { text-overflow: ellipsis; padding-right: 26px !important; }
@media (max-width: 640px) {
  .gradio-container .app { padding: 8px 0 !important; max-width: 100vw !important; min-width: 0 !important; }
  .gradio-container .column, .gradio-container .block { min-width: 0 !important; max-width: 100% !important; }
  .gradio-container .row { flex-wrap: wrap !important; }
  .gradio-container .row > * { flex: 1 1 100% !important; min-width: 0 !important; }
  .gradio-container .row > .form { flex-wrap: wrap !important; }
  .gradio-container .row > .form > * { flex: 1 1 100% !important; }
  .gradio-container .row > button { flex: 1 1 auto !important; white-space: nowrap; }
  .studio-head { padding: 12px 4px 2px !important; }
  .studio-head h1 { font-size: 1.2rem !important; }
  .studio-turn { grid-template-columns: 1fr !important; gap: 2px !important; }
  .studio-entry dl { grid-template-columns: 84px 1fr !important; }
  .studio-turn > span, .studio-entry dt { text-align: left !important; }
}
"""

# A page says its own colour scheme, so that scroll bars and form fields of the browser go along.
HEAD = f'<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer"><style>{_FRAME}</style>'

CSS = """
.gradio-container { width: 100% !important; max-width: 1080px !important; margin: 0 auto !important; }
.gradio-container { padding: 0 16px 24px !important; }
.studio-head { padding: 20px 2px 4px; }
.studio-head h1 { font-size: 1.45rem; font-weight: 650; letter-spacing: -0.01em; margin: 0; }
.studio-head p { margin: 4px 0 0; color: var(--body-text-color-subdued); }
.studio-note { color: var(--body-text-color-subdued); font-size: 0.9rem; }
.studio-note p { margin: 0; }
.studio-alert { border-left: 3px solid var(--color-accent); padding: 6px 12px; border-radius: 4px; }
.studio-alert { background: var(--background-fill-secondary); }
.studio-thought { color: var(--body-text-color-subdued); font-size: 0.9em; margin: 0 0 8px; }
.studio-thought > summary { cursor: pointer; }
.studio-centre { text-align: center; align-self: center; }
.studio-entry { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 14px 16px; }
.studio-entry { background: var(--block-background-fill); }
.studio-turn { display: grid; grid-template-columns: 120px 1fr; gap: 12px; padding: 7px 0; }
.studio-turn > span { color: var(--body-text-color-subdued); font-size: 0.85rem; text-align: right; padding-top: 2px; }
.studio-turn > div { white-space: pre-wrap; overflow-wrap: anywhere; }
.studio-assistant > span, .studio-chosen > span { color: var(--primary-700); }
.studio-rejected > span, .studio-reason { color: #b91c1c; }
.studio-reason { margin: 0 0 6px; font-weight: 600; }
.studio-entry dl { display: grid; grid-template-columns: 120px 1fr; gap: 2px 12px; margin: 10px 0 0; font-size: 0.85rem; }
.studio-entry dl { border-top: 1px solid var(--border-color-primary); padding-top: 10px; color: var(--body-text-color-subdued); }
.studio-entry dt { text-align: right; }
.studio-entry dd { margin: 0; overflow-wrap: anywhere; }
.studio-tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(140px, 1fr)); gap: 12px; }
.studio-tiles > div { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 12px 14px; }
.studio-tiles > div { background: var(--block-background-fill); }
.studio-tiles b { display: block; font-size: 1.35rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.studio-tiles span { color: var(--body-text-color-subdued); font-size: 0.82rem; }
.studio-pictures .grid-wrap { min-height: 0 !important; max-height: none !important; }
.studio-pictures .grid-container { grid-template-columns: repeat(auto-fill, minmax(min(128px, 46%), 1fr)) !important; }
.gradio-container table, .gradio-container .table-wrap { font-size: 0.92rem; }
.studio-answer { border: 1px solid var(--border-color-primary); border-radius: 8px; padding: 12px 16px; margin: 0 0 10px; }
.studio-answer { background: var(--block-background-fill); }
.studio-answer span { display: block; color: var(--body-text-color-subdued); font-size: 0.82rem; }
.studio-answer b { font-size: 1.5rem; font-weight: 650; overflow-wrap: anywhere; }
.studio-why { width: 100%; border-collapse: collapse; margin: 0 0 8px; }
.studio-why, .studio-why :is(tr, td, th) { border: 0 !important; }
.studio-why :is(td, th) { padding: 4px 8px 4px 0 !important; text-align: left; overflow-wrap: anywhere; }
.studio-why th { color: var(--body-text-color-subdued); font-weight: 500; font-size: 0.82rem; }
.studio-why td:last-child { font-variant-numeric: tabular-nums; white-space: nowrap; text-align: right; width: 1%; }
.studio-why-picture { width: min(256px, 100%); image-rendering: pixelated; }
.studio-part { width: 36%; }
.studio-part i { display: block; height: 12px; min-width: 1px; border-radius: 2px; background: var(--primary-600); }
.studio-part.against i { background: #dc2626; }
footer { display: none !important; }
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
        # Text that is set back stays readable: WCAG asks for a contrast of 4.5, and the theme's own grey has less.
        body_text_color_subdued="*neutral_600",
        body_text_color_subdued_dark="*neutral_300",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        block_label_text_color="*neutral_600",
        block_label_text_color_dark="*neutral_200",
        input_placeholder_color="*neutral_600",
        input_placeholder_color_dark="*neutral_300",
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
