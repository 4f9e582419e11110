"""`python -m helpers`: the command line."""

from helpers.command.main import main

main(prog_name="runbook")
