"""What asks a name server from a host or a pod, with nothing but Python, against one that loses questions."""

import socket
import struct
import subprocess
import sys
import threading

import pytest

from helpers.components.kubernetes.probes import ASK_DNS

#: answers: an address of the name that was asked for, that it is an alias of b, and an address of b
ONE = b"\xc0\x0c" + struct.pack(">2HIH", 1, 1, 60, 4) + bytes([10, 0, 0, 1])
ALIAS = b"\xc0\x0c" + struct.pack(">2HIH", 5, 1, 60, 3) + b"\1b\0"
OTHER = b"\1b\0" + struct.pack(">2HIH", 1, 1, 60, 4) + bytes([10, 0, 0, 2])


def asked(lost, *answers):
    """The program's end, where the name server does not see the first questions and has these answers."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_name_server, args=(line, lost, answers), daemon=True)
        thread.start()
        text = ASK_DNS.replace("53)", f"{line.getsockname()[1]})").replace("(5)\n", "(0.3)\n")
        said = subprocess.run([sys.executable, "-c", text, "127.0.0.1", "a.example"], capture_output=True, text=True)
        line.sendto(b"", line.getsockname())
        thread.join(10)
    return said.returncode, said.stdout, said.stderr


def _name_server(line, lost, answers):
    """Answers each question but the first ones, until an empty packet comes."""
    while True:
        question, back = line.recvfrom(512)
        if not question:
            return
        lost -= 1
        if lost < 0:
            head = question[:2] + struct.pack(">5H", 0x8180, 1, len(answers), 0, 0)
            line.sendto(head + question[12:] + b"".join(answers), back)


def test_a_question_that_is_lost_on_its_way_to_the_name_server_is_asked_again():
    assert asked(2, ONE) == (0, "10.0.0.1\n", "")
    assert asked(9, ONE) == (1, "", "the name server 127.0.0.1 gives no answer\n")


@pytest.mark.parametrize(
    "answers, said",
    [([ALIAS, OTHER, ONE], (0, "10.0.0.2\n10.0.0.1\n", "")), ([ALIAS], (1, "\n", "")), ([], (1, "\n", ""))],
)
def test_the_addresses_are_printed_and_an_alias_that_leads_nowhere_is_none(answers, said):
    assert asked(0, *answers) == said
