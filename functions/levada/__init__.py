"""levada: event functions that carry raw payloads to trusted tables."""
