# GitLab's supervisor and all that it started end; then nothing of its users ($@) holds them.
systemctl disable -q --now gitlab-runsvdir 2>/dev/null || true
if command -v gitlab-ctl > /dev/null; then gitlab-ctl uninstall || true; fi
for user in "$@"; do
  ! id "$user" > /dev/null 2>&1 || pkill -KILL -u "$user" || true
done
# What `gitlab-ctl reconfigure` wrote and no package has.
rm -f /etc/sysctl.d/90-omnibus-gitlab-*.conf /usr/lib/systemd/system/gitlab-runsvdir.service
systemctl daemon-reload || true
