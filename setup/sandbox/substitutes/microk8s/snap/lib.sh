# Functions of the hooks and daemons: certificates, waiting, the host's addresses.
# shellcheck shell=bash
export PATH="$SNAP/usr/sbin:$SNAP/usr/bin:$SNAP/bin:$PATH"
# shellcheck disable=SC2034 # for the daemons and hooks that source this file
PODS=10.1.0.0/16 SERVICES=10.152.183.0/24
# shellcheck disable=SC2034 # for the hooks that source this file
MARK="generated for MicroK8s pods"

host_addresses() {  # every IPv4 address of the host, without those of pods' links
  ip -o -4 addr show | awk '$2 != "lo" && $2 !~ /^(veth|cni|flannel)/ { sub("/.*", "", $4); print $4 }' | sort -u
}

rendered() {  # csr.conf with the host's addresses in the place of #MOREIPS
  local number=50 address lines=
  for address in $(host_addresses); do
    lines+="IP.$number = $address\n"
    number=$((number + 1))
  done
  sed "s/^#MOREIPS.*/${lines%\\n}/" "$SNAP_DATA/certs/csr.conf.template"
}

signed() {  # NAME CA [SUBJECT]: sign certs/NAME.key's request by certs/CA
  cd "$SNAP_DATA/certs" || return 1
  if [ -n "${3:-}" ]; then
    openssl req -new -sha256 -key "$1.key" -subj "$3" -out "$1.csr" -config <(sed '/^prompt = no/d' csr.conf)
  else
    openssl req -new -sha256 -key "$1.key" -out "$1.csr" -config csr.conf
  fi
  openssl x509 -req -sha256 -in "$1.csr" -CA "$2.crt" -CAkey "$2.key" -CAcreateserial -out "$1.crt" -days 365 \
    -extensions v3_ext -extfile csr.conf 2> /dev/null
}

produce_certs() {  # make what is missing; status 10 when csr.conf changed and the server's certificates were made anew
  local certs=$SNAP_DATA/certs key
  for key in serviceaccount ca server front-proxy-ca front-proxy-client; do
    [ -f "$certs/$key.key" ] || openssl genrsa -out "$certs/$key.key" 2048 2> /dev/null
  done
  [ -f "$certs/ca.crt" ] ||
    openssl req -x509 -new -sha256 -nodes -days 3650 -key "$certs/ca.key" -subj /CN=10.152.183.1 -out "$certs/ca.crt"
  [ -f "$certs/front-proxy-ca.crt" ] ||
    openssl req -x509 -new -sha256 -nodes -days 3650 -key "$certs/front-proxy-ca.key" -subj /CN=front-proxy-ca -out "$certs/front-proxy-ca.crt"
  rendered > "$certs/csr.conf.rendered"
  cmp -s "$certs/csr.conf" "$certs/csr.conf.rendered" && [ -f "$certs/server.crt" ] && [ -f "$certs/front-proxy-client.crt" ] && return 0
  cp "$certs/csr.conf.rendered" "$certs/csr.conf"
  signed server ca
  signed front-proxy-client front-proxy-ca /CN=front-proxy-client
  return 10
}

secured() {  # only root and the group microk8s read tokens, keys and arguments
  local dir
  for dir in credentials certs args var/lock; do
    chmod -R ug+rwX,o-rwX "$SNAP_DATA/$dir"
    chgrp -R microk8s "$SNAP_DATA/$dir"
  done
}

refreshed() {  # new authorities with the keys that are there, and kubeconfigs that know them
  local backup=$SNAP_DATA/var/log/ca-backup ca
  echo "Taking a backup of the current certificates under $backup/"
  mkdir -p "$backup" && cp -r "$SNAP_DATA/certs" "$SNAP_DATA/credentials" "$backup" || return 10
  echo "Creating new certificates"
  (
    flock 9  # or the kicker finds csr.conf away, and restarts what is about to be stopped
    rm -f "$SNAP_DATA"/certs/{ca.crt,front-proxy-ca.crt,csr.conf}
    produce_certs
  ) 9< "$SNAP_DATA/certs" || [ $? = 10 ] || return 20
  echo "Creating new kubeconfig file"
  ca=$(base64 -w0 "$SNAP_DATA/certs/ca.crt")
  sed -i "s@certificate-authority-data: .*@certificate-authority-data: $ca@" "$SNAP_DATA"/credentials/*.config
  secured
}

expanded() {  # FILE: its words as an array named `words`, with ${SNAP...} filled in, comments left out
  # The file is shell syntax, as in MicroK8s: only root and the group write it.
  eval "words=($(cat "$1"))"
}
