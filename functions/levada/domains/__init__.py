"""Domains: declarations of sources, one module each, and their registry."""
