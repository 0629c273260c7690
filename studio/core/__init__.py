"""What every room stands on: errors, files, records, registries, content look-up. No torch in here."""
