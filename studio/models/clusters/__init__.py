"""Groups of rows: the space they are looked for in, how they are found, saved and opened, and where new rows belong."""
