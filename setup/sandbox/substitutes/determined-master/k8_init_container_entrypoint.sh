#!/bin/bash
# NUMBER FROM TO: unpacks that many archives, each into a folder of its own. The real master's needs the same programs of the image.
for i in $(seq 0 $(($1 - 1))); do
  mkdir "$3/$i"
  tar --same-owner -xvf "$2/$i.tar.gz" -C "$3/$i"
done
