"""The studio in the browser: the whole road on one address. Pages read artefacts; all work is done by commands, as jobs."""
