# Prints what listens to more than the host's own loopback, a line each: PORT PROGRAM.
ss -Hltnp | awk '{
  n = split($4, parts, ":"); port = parts[n]
  address = substr($4, 1, length($4) - length(port) - 1)
  if (address ~ /^(127\.|\[::1\]|\[::ffff:127\.)/) next
  who = "-"; if (match($0, /\(\("[^"]*"/)) { who = substr($0, RSTART + 3, RLENGTH - 4); gsub(/[ \t]/, "_", who) }
  print port, who
}' | sort -un
