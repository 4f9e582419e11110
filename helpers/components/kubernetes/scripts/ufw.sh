# Prints what ufw is set to, a line each: "on", its two policies, its rules as they are typed; nothing where it is off.
command -v ufw >/dev/null || exit 0
export LC_ALL=C
said=$(ufw status 2>&1) || { echo "unknown $(tail -n 1 <<< "$said")"; exit 0; }
case $said in "Status: active"*) echo on ;; *) exit 0 ;; esac
sed -n 's/^DEFAULT_\(INPUT\|FORWARD\)_POLICY=["'\'']*\([A-Z]*\).*/policy \1 \2/p' /etc/default/ufw
ufw show added | sed -n 's/^ufw /rule /p'
