"""Run in environments of their own; see ``studio.core.environments.run_script``."""
