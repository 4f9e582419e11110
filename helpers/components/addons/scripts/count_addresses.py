"""Asks a name server for an A record, with nothing but Python: prints the number of answers. SERVER NAME"""

import socket
import struct
import sys

server, name = sys.argv[1:]
labels = b"".join(bytes([len(part)]) + part.encode() for part in name.split("."))
query = struct.pack(">HHHHHH", 7, 0x100, 1, 0, 0, 0) + labels + b"\0\0\1\0\1"
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.settimeout(5)
s.connect((server, 53))  # so that a port where nobody listens is told at once
for _ in range(5):  # a packet may be lost
    try:
        s.send(query)
        print(struct.unpack(">H", s.recv(4096)[6:8])[0])
        break
    except OSError:
        continue
else:
    sys.exit("the name server " + server + " gives no answer")
