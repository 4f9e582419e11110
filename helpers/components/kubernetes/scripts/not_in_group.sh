# A probe: the user $1 is not in the group $2, or there is none. A user database that does not answer proves nothing.
code=0
said=$(getent group "$2") || code=$?
case $code:,${said##*:}, in
  2:* | 0:,,) ;;
  0:*",$1,"*) echo "$1 is still in the group $2"; exit 1 ;;
  0:*) ;;
  *) echo "cannot tell who is in the group $2: getent ended with $code"; exit 1 ;;
esac
