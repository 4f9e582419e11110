# The file at the URL $1, of SHA-256 $2, becomes the program $3; checked while it is still a temporary file.
part=$3.part.$$
trap 'rm -f "$part"' EXIT
fetch "$1" "$part"
echo "$2  $part" | sha256sum -c --quiet -
chmod 0755 "$part"
mv -f "$part" "$3"
