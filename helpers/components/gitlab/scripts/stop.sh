# GitLab's services end, then their supervisor, and all that its users ($@) run. Not by `gitlab-ctl uninstall`: that leaves
# a copy of /etc/gitlab, with its keys, in /root, and deletes /tmp/opt, which is others'.
if command -v gitlab-ctl > /dev/null; then gitlab-ctl stop || true; fi
systemctl disable -q --now gitlab-runsvdir 2>/dev/null || true
pkill -KILL -f '[r]unsvdir -P /opt/gitlab/service' || true # spelt so that it does not find this script
for user in "$@"; do
  ! id "$user" > /dev/null 2>&1 || pkill -KILL -u "$user" || true
done
# What `gitlab-ctl reconfigure` wrote and no package has, and the links that the package makes and leaves.
rm -f /etc/sysctl.d/90-omnibus-gitlab-*.conf /usr/lib/systemd/system/gitlab-runsvdir.service
for name in gitlab-redis-cli gitlab-pg-ctl gitlab-geo-psql; do
  case $(readlink "/usr/bin/$name" || true) in /opt/gitlab/*) rm -f "/usr/bin/$name" ;; esac
done
systemctl daemon-reload || true
