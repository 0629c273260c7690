"""Programs that run exported files, and the studio's way of asking them. ``programs`` are copied beside every export."""
