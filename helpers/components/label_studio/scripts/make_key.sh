# Give Label Studio a SECRET_KEY, in $1, as the user $2. The unit $3 is started again where it runs, to sign with it.
key=$(od -An -vtx1 -N32 /dev/urandom | tr -d ' \n')
runuser -u "$2" -- sh -c 'umask 077; { echo; cat; } >> "$1"' sh "$1" <<< "SECRET_KEY=$key"
if systemctl -q is-active "$3"; then systemctl restart "$3"; fi
