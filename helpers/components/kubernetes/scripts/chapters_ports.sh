# Prints each chapter that has a note in the folder $1, and the ports that it says are its own: CHAPTER PORT/PROGRAM ...
for note in "$1"/*.json; do
  [ -e "$note" ] || continue
  chapter=${note##*/}
  echo "${chapter%.json} $(sed -n 's/^{"kind": "port", "name": "\([^"]*\)".*/\1/p' "$note" | tr '\n' ' ')"
done
