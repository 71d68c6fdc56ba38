"""Made-up events of every domain, with a ledger that says exactly what was made. The same seed gives the same."""
