# What comes on standard input becomes the file $1, whole or not at all: SHA-256 $2, owner $3, mode $4.
umask 077
part=$1.part.$$
trap 'rm -f "$part"' EXIT
mkdir -p "$(dirname "$1")"
cat > "$part"
echo "$2  $part" | sha256sum -c --quiet -
chown "$3" "$part"
chmod "$4" "$part"
mv -fT "$part" "$1"
