"""Query: the read API over HTTP."""
