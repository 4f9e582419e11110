# What comes on standard input, and the root pair of the settings $1 as the former one, become $1: whole or not at all.
umask 077
part=$1.part.$$
trap 'rm -f "$part"' EXIT
cat > "$part"
for names in ROOT_USER/ACCESS_KEY ROOT_PASSWORD/SECRET_KEY; do
  { grep "^MINIO_${names%/*}=" "$1" || grep "^MINIO_${names#*/}=" "$1"; } | tail -n 1 |
    sed "s/^MINIO_[A-Z_]*=/MINIO_${names%/*}_OLD=/" >> "$part"
done
sync "$part"
mv -fT "$part" "$1"
