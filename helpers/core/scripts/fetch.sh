# fetch URL [FILE]: its content, printed or into a file. A fresh Ubuntu has one of the two programs.
# What is cut off is fetched again, into a file only: what was printed cannot be taken back. HTTPS never becomes HTTP.
fetch() {
  local try code=0 only=http,https
  [ "${1%%:*}" = https ] && only=https
  for try in 1 2 3; do
    if command -v curl > /dev/null; then
      curl -fsSL --proto-redir "=$only" --retry 3 --max-time 600 --speed-limit 1024 --speed-time 30 -o "${2:--}" "$1"
    elif [ $only = https ]; then
      wget -qO "${2:--}" --https-only --tries=3 --timeout=30 "$1"
    else
      wget -qO "${2:--}" --tries=3 --timeout=30 "$1"
    fi && return
    code=$?
    case $code:${2:+file} in
      18:file | 28:file | 56:file) [ "$try" = 3 ] || continue ;; # cut off, stalled, reset
    esac
    return $code
  done
}
