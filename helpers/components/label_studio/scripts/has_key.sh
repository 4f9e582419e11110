# A probe: $1, the .env of Label Studio's data, has a SECRET_KEY that it can read. It signs tokens and sessions with it.
# The last one counts. One that begins with $ is to django-environ the name of a variable, which is not there: each program
# of Label Studio's would add another one, and what the one before it signed is worth nothing. It makes one of fifty so.
key=$(sed -n 's/^SECRET_KEY=//p' "$1" 2>/dev/null | tail -n 1) || true
case $key in
  '') echo "no SECRET_KEY is in $1"; exit 1 ;;
  '$'*) echo "SECRET_KEY in $1 begins with a dollar sign: Label Studio cannot read it"; exit 1 ;;
esac
