# fetch URL: prints its content. A fresh Ubuntu has one of the two programs.
fetch() {
  if command -v curl >/dev/null; then
    curl -fsSL --retry 3 --max-time 600 "$1"
  else
    wget -qO- --tries=3 "$1"
  fi
}
