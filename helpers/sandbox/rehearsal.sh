# rehearsal.sh NAME HOST...: an authority of the sandbox NAME's own, and a certificate for these hosts, in this folder.
set -eu
name=$1; shift
umask 077
ec="-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
# shellcheck disable=SC2086 # words
openssl req -x509 $ec -days 3650 -keyout ca.key -out ca.pem -subj "/CN=sandbox $name, rehearsal of upstream" \
  -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
# shellcheck disable=SC2086
openssl req $ec -keyout server.key -out server.csr -subj "/CN=rehearsal of upstream"
{ printf 'subjectAltName='; printf 'DNS:%s\n' "$@" | paste -sd, ; } > server.ext
openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile server.ext -out server.pem
chmod 644 ca.pem
printf '%s\n' "$@" > hosts
