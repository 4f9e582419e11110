# What the chapter $2 makes or changes on the host: the note $1/$2.json, one thing a line, and in $1/copies/$2 what was
# there before. $3: look, note, brought, gone, pause, resume, restore, restored or finish; then its things. A name has no
# quote and no space. This is the first half: it sees how things are, and changes none; own.sh goes on with it.
# shellcheck disable=SC2034 # verb, removing: for own.sh

base=$1 chapter=$2 verb=$3
shift 3
note=$base/$chapter.json copies=$base/copies/$chapter
removing=$copies/removing
umask 077
shopt -s inherit_errexit # else a failure inside $(...) is none

no() { echo "$*" >&2; exit 3; }
cannot() { no "cannot tell: $*"; }
entry() { [ ! -e "$note" ] || grep -F "\"kind\": \"$1\", \"name\": \"$2\"," "$note" || true; }
field() { sed -n "s/.*\"$1\": \"\([^\"]*\)\".*/\1/p"; }
copy() { echo "$copies/$1${2//\//%}"; }
back() { echo "$copies/back-$1-${2//\//%}"; } # put back by remove: from then on it is its owner's alone
exists() { [ -e "$1" ] || [ -L "$1" ]; }
inside() { ls -A "$1" | { grep -vx lost+found || true; }; }
as_postgres() { runuser -u postgres -- psql -w -p "${1%%/*}" -d postgres -AtXq -v ON_ERROR_STOP=1 -f -; }
kubeconfig_of() { # nothing, where there is no such user
  local said code=0
  said=$(getent passwd "$1") || code=$?
  case $code in 0) ;; 2) return ;; *) cannot "where $1 lives: getent ended with $code" ;; esac
  echo "$(cut -d: -f6 <<< "$said")/.kube/config"
}
kubernetes_has() {
  if command -v microk8s >/dev/null; then microk8s kubectl get --ignore-not-found -o name "$@" 2>&1
  elif [ -e "${SNAPS:-/snap}/microk8s" ]; then echo "there is a MicroK8s, and no program microk8s" && return 1; fi
}

# One word of a thing: away, empty (a folder, or a disk that is mounted there) or there. What cannot be asked is an error.
state() {
  local said code=0
  case $1 in
    file) if exists "$2"; then echo there; else echo away; fi ;;
    folder)
      if [ -d "$2" ] && [ ! -L "$2" ]; then
        said=$(inside "$2") || cannot "what lies in $2"
        if [ -z "$said" ]; then echo empty; else echo there; fi
      else state file "$2"; fi ;;
    place) # a folder that a package fills
      said=$(state folder "$2") || return
      case $said in there) echo there ;; *) echo away ;; esac ;;
    user)
      for said in passwd group; do
        code=0
        getent $said "$2" >/dev/null || code=$?
        case $code in 0) echo there; return ;; 2) ;; *) cannot "getent $said $2 ended with $code" ;; esac
      done
      echo away ;;
    package)
      said=$(dpkg-query -W -f '${db:Status-Abbrev}' "$2" 2>/dev/null) || code=$?
      [ $code -lt 2 ] || cannot "dpkg-query -W $2 ended with $code"
      case $said in ?i*) echo there ;; *) echo away ;; esac ;; # also one on hold
    unit | boot)
      said=$(systemctl show -p LoadState "$2" 2>&1) || cannot "systemctl show $2: $said"
      case $said in LoadState=not-found) echo away ;; LoadState=?*) echo there ;; *) cannot "systemctl show $2: $said" ;; esac ;;
    member) # of a group: GROUP/USER
      said=$(getent group "${2%%/*}") || code=$?
      case $code in 0 | 2) ;; *) cannot "who is in the group ${2%%/*}: getent ended with $code" ;; esac
      case ,${said##*:}, in *",${2#*/},"*) echo there ;; *) echo away ;; esac ;;
    alias)
      said=$(LC_ALL=C snap aliases 2>&1) || cannot "snap aliases: $said"
      if awk '{print $2}' <<< "$said" | grep -qxF "$2"; then echo there; else echo away; fi ;;
    context) # USER/NAME, in the kubeconfig of a user
      said=$(kubeconfig_of "${2%%/*}") || exit 3
      [ -e "$said" ] || { echo away; return; }
      said=$(cat "$said") || cannot "which contexts there are"
      if grep -qE "^[ -]*name: *[\"']?${2#*/}[\"']?$" <<< "$said"; then echo there; else echo away; fi ;;
    snap)
      command -v snap >/dev/null || { echo away; return; }
      said=$(LC_ALL=C snap list "$2" 2>&1) && { echo there; return; }
      case $said in *"no matching snaps"* | *"o snaps are installed"*) echo away ;; *) cannot "snap list $2: $said" ;; esac ;;
    database | role)
      command -v pg_lsclusters >/dev/null || { echo away; return; }
      said=$(pg_lsclusters -h) || cannot "pg_lsclusters does not say which clusters there are"
      grep -qE "^[^ ]+ +[^ ]+ +${2%%/*} " <<< "$said" || { echo away; return; }
      case $1 in database) said=pg_database:datname ;; role) said=pg_roles:rolname ;; esac
      said=$(as_postgres "$2" <<< "select 'there' from ${said%:*} where ${said#*:} = '${2#*/}'") ||
        cannot "PostgreSQL does not answer on port ${2%%/*}"
      echo "${said:-away}" ;;
    namespace | object)
      case $1 in
        namespace) said=$(kubernetes_has namespace "$2") || code=$? ;;
        object) said=$(kubernetes_has "${2#*/}" -n "${2%%/*}") || code=$? ;;
      esac
      case $said in *"the server doesn't have a resource type"*) code=0 said= ;; esac
      [ $code = 0 ] || cannot "microk8s kubectl get $1 $2: ${said##*$'\n'}"
      if [ -n "$said" ]; then echo there; else echo away; fi ;;
    bucket | miniouser) # of the host's own MinIO: a folder of its data directory; a file where it keeps its users
      [ -e "${MINIO:=/etc/default/minio}" ] || { echo away; return; }
      said=$(sed -n 's/^MINIO_VOLUMES="\?\([^"]*\)"\?$/\1/p' "$MINIO")
      [ -d "$said" ] || cannot "which ${1#minio}s MinIO has: no data directory in $MINIO"
      case $1 in
        bucket) state file "$said/$2" ;;
        miniouser) state file "$said/.minio.sys/config/iam/users/$2/identity.json" ;;
      esac ;;
    port) echo away ;; # PORT/PROGRAM: whose it is, is a precondition's business
    *) cannot "what a $1 is" ;;
  esac
}

# Proved to be away; of a disk that is mounted there, what was on it.
gone() {
  local said
  said=$(state "$1" "$2")
  [ "$said" = away ] || { [ "$said" = empty ] && mountpoint -q "$2"; }
}
