"""What ./runbook does (Python 3.11 on)."""
