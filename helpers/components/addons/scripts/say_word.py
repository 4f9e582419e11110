"""Says a word to whoever connects, and first prints the port where: one that is free. ADDRESS WORD SECONDS"""

import signal
import socket
import sys

address, word, seconds = sys.argv[1:]
signal.alarm(int(seconds))  # it ends then, whatever became of who started it
server = socket.socket()
server.bind((address, 0))
server.listen(5)
print(server.getsockname()[1], flush=True)
while True:
    connection, _ = server.accept()
    connection.sendall(word.encode() + b"\n")
    connection.close()
