"""Aggregate: canonical rows in, closed window partials out."""
