# GitLab goes through with its settings $1, whose checksum is kept in $2, and its services run, now and at boot by $3.
# Root's password is the line on standard input: what was cut off before its database was filled takes it now.
IFS= read -r GITLAB_ROOT_PASSWORD
export GITLAB_ROOT_PASSWORD
gitlab-ctl reconfigure
systemctl enable -q "$3"
systemctl is-active -q "$3" || systemctl start "$3"
gitlab-ctl start
sha256sum < "$1" > "$2"
