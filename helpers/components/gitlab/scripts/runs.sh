# GitLab's services run, start at boot by the unit $1, and went through with these settings: $2, whose checksum is in $3.
systemctl is-active -q "$1" || { echo "$1 is $(systemctl is-active "$1" || true)"; exit 1; }
systemctl is-enabled -q "$1" || { echo "$1 does not start at boot"; exit 1; }
[ "$(sha256sum < "$2")" = "$(cat "$3" 2>/dev/null)" ] || { echo "gitlab-ctl reconfigure has not gone through with $2"; exit 1; }
said=$(gitlab-ctl status) || { echo "$said" | grep -v '^run:' || true; exit 1; }
