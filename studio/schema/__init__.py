"""The shapes of the YAML people write: frozen pydantic models, unknown keys refused."""
