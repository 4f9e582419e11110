# The host's settings for pip, its proxies, and "yes" when it has the file CERTIFICATES; @@@ between them.
cat /etc/pip.conf 2>/dev/null || true
echo @@@
env | grep -iE '^(https?|no)_proxy=' || true
echo @@@
[ ! -f "$1" ] || echo yes
