"""Clean: packs in, bronze, silver and quarantine out, canonical rows on the clean stream."""
