# Prints a name of the outside that the host itself depends on, that of its first package archive that has a name:
# "knows NAME", "lacks NAME" where the host itself has no address for it, or "none". Ends with 1 where it cannot tell.
uris=$(apt-get update --print-uris 2>&1) || { echo "cannot tell which archives apt has: ${uris##*$'\n'}" >&2; exit 1; }
name=$(sed -nE 's#^.[a-z]+://([^/@]*@)?([^/:]+).*#\2#p' <<< "$uris" | sed -nE '/^[[:alnum:].-]*[[:alpha:]][[:alnum:].-]*$/{p;q}')
[ -n "$name" ] || { echo none; exit 0; }
code=0
getent ahostsv4 "$name" >/dev/null || code=$?
case $code in
  0) echo "knows $name" ;;
  2) echo "lacks $name" ;;
  *) echo "cannot tell whether the host has an address for $name: getent ended with $code" >&2; exit 1 ;;
esac
