# The group $3 goes ($1: go), or is gone (gone): the package of its name made it, and its purge leaves it. Only where the
# note $2 has that package as ours, and it is away; a group that somebody is in by now stays.
brought=yes installed='' said='' code=0
grep -qsF "\"kind\": \"package\", \"name\": \"$3\", \"before\": \"away\"" "$2" || brought=no
installed=$(dpkg-query -W -f '${db:Status-Abbrev}' "$3" 2>/dev/null) || true
case $brought:$installed in
  no:* | yes:?i*) ;;
  *)
    said=$(getent group "$3") || code=$?
    case $code:${said##*:}:$1 in
      2:* | 0:?*:*) ;;
      0::go) groupdel "$3" ;;
      0::*) echo "the group $3 is there"; exit 1 ;;
      *) echo "cannot tell whether there is a group $3: getent ended with $code"; exit 1 ;;
    esac ;;
esac
