# Of the things $2..., $KIND $NAME is ours where the chapter's note, $1, is of a runbook that named none of them: it
# lacks $2, which today's notes have from the first step on. What follows is asked where there is no note.
if [ -n "$NOTED" ]; then
  note=$1 first=${2#* }
  shift
  for thing; do
    if [ "$KIND $NAME" = "$thing" ]; then
      ! grep -qF "\"name\": \"$first\"" "$note"
      exit
    fi
  done
  exit 1
fi
