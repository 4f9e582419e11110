"""`python -m helpers`: the command line."""
from .cli import main

main(prog_name="runbook")
