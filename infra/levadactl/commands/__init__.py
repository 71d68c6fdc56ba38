"""Subcommands of ``levada``: each module has ``register(app)`` and imports what is heavy inside its commands."""
