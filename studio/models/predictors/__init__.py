"""Models that give labels or numbers for rows: how they are saved, opened and asked. Nothing here trains."""
