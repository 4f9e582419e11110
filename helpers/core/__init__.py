"""What every chapter stands on: targets, steps, checks, the catalogue, the record's events (Python 3.7 on)."""
