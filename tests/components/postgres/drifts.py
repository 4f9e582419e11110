"""What a hand changes of PostgreSQL in the story, how it is put back, and how regress names it."""

from drifts import no_longer

_PSQL = "runuser -u postgres -- psql -qXc "
_HBA = "/etc/postgresql/15/main/pg_hba.conf"
_RELOAD = "systemctl reload postgresql@15-main"
_SWAP = "/^local +all +all/ {kept = $0; next} {print} /^host +all +all +127/ {print kept}"
#: the same package, by a version of ours
_UPGRADE = """mkdir /tmp/repack; cd /tmp/repack; apt-get -qq download postgresql-15 2>/dev/null; mv *.deb old.deb
dpkg-deb -R old.deb tree; sed -i 's/^Version: .*/&+byhand1/' tree/DEBIAN/control; dpkg-deb -Znone -b tree new.deb
DEBIAN_FRONTEND=noninteractive dpkg -i new.deb >/dev/null 2>&1"""
_DOWNGRADE = "DEBIAN_FRONTEND=noninteractive dpkg -i /tmp/repack/old.deb >/dev/null 2>&1; rm -r /tmp/repack"

DRIFTS = {
    "quick": [
        (
            _PSQL + "'alter role runbook createdb'",
            _PSQL + "'alter role runbook nocreatedb'",
            "- runbook log in runbook",
            "+ runbook log in, make databases runbook",
        ),
    ],
    "long": [
        (
            f"cp -p {_HBA} {_HBA}.kept; awk '{_SWAP}' {_HBA}.kept > {_HBA}; {_RELOAD}",
            f"cp -p {_HBA}.kept {_HBA}; rm {_HBA}.kept; {_RELOAD}",
            *no_longer("the settings are ours"),
            "the same lines in another order:",
            "- host all all 127.0.0.1/32 scram-sha-256",
            "+ host all all 127.0.0.1/32 scram-sha-256",
        ),
        # It restarts the server, which runs with these rules then: after them.
        (_UPGRADE, _DOWNGRADE, "- PACKAGE", "+ PACKAGE+byhand1"),
    ],
}
