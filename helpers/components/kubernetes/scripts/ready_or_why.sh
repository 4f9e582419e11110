# A probe: ready() holds, or why not, with what last_event() tells of the pods that do not start.
why=$(ready) || {
  event=$(last_event 2>/dev/null || true)
  echo "$why${event:+; its pods do not start: $event}" # in one line: a wait tells the first
  exit 1
}
