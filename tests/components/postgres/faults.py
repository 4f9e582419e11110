"""What the story breaks of PostgreSQL."""

FAULTS = {
    "pg_hba": [
        (
            "echo 'host all all 0.0.0.0/0 trust' >> /etc/postgresql/15/main/pg_hba.conf; "
            "systemctl reload postgresql@15-main",
            "pg_hba.conf: content differs",
            "lets in 0.0.0.0",
        )
    ],
}
