"""Apps in the browser, and one in the terminal.

``catalogue`` lists those in the browser: the ``build`` of each returns a ``gr.Blocks``, and ``frame.launch`` serves it with safe
defaults.
"""

from __future__ import annotations

import os

# Gradio reads these when it is imported: it counts launches, looks for updates, and takes some of its settings from here. What an
# app does is said in ``frame`` and nowhere else.
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
for _name in ("GRADIO_ALLOWED_PATHS", "GRADIO_SHARE", "GRADIO_MCP_SERVER", "GRADIO_SSR_MODE", "GRADIO_ROOT_PATH"):
    os.environ.pop(_name, None)
