# PostgreSQL was installed by a runbook that kept no note: its first lines stand in the settings below $1, or an install
# was cut off before them. core/scripts/own.sh lends brought_by_us.
if [ -n "$NOTED" ]; then exit 1; fi
if grep -qs '^# Written by the runbook, chapter 06' "$1"/*/main/pg_hba.conf "$1"/*/main/conf.d/runbook.conf; then exit; fi
brought_by_us postgresql
