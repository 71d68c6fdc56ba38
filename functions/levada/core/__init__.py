"""What every stage shares: positions, packs, checkpoints, partials. No AWS in here."""
