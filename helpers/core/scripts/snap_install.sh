# The classic snap $1 from the channel $2. A change that is under way (an install that was cut off) is waited for,
# and so is a snapd that a fresh host has not seeded yet.
for _ in $(seq 100); do
  if snap list "$1" >/dev/null 2>&1; then
    said=$(snap refresh "$1" --classic --channel="$2" 2>&1) && break
  else
    said=$(snap install "$1" --classic --channel="$2" 2>&1) && break
  fi
  case $said in *"change in progress"* | *"not yet seeded"*) sleep 3 ;; *)
    echo "$said" >&2
    exit 1
    ;;
  esac
done
echo "$said"
