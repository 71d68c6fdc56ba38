"""Ingest: files and HTTP bodies in, packs on the raw stream out."""
