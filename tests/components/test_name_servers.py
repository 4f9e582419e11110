"""What asks a name server from a host or a pod, with nothing but Python, against one that loses questions."""

import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from helpers import components


@pytest.mark.parametrize("lost, code, told", [(2, 0, ""), (9, 1, "the name server 127.0.0.1 gives no answer")])
@pytest.mark.parametrize("program", ["addons/scripts/count_addresses.py", "gitlab_runner/scripts/ask_dns.py"])
def test_a_question_that_is_lost_on_its_way_to_the_name_server_is_asked_again(program, lost, code, told):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
        line.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=_name_server, args=(line, lost), daemon=True)
        thread.start()
        text = (
            (Path(components.__file__).parent / program)
            .read_text()
            .replace("53)", f"{line.getsockname()[1]})")
            .replace("(5)\n", "(0.3)\n")
        )
        said = subprocess.run([sys.executable, "-c", text, "127.0.0.1", "a.example"], capture_output=True, text=True)
        line.sendto(b"", line.getsockname())
        thread.join(10)
    assert said.returncode == code and told in said.stderr and (code or said.stdout)


def _name_server(line, lost):
    """Answers each question but the first ones, with one address, until an empty packet comes."""
    while True:
        asked, back = line.recvfrom(512)
        if not asked:
            return
        lost -= 1
        if lost < 0:
            address = b"\xc0\x0c" + struct.pack(">2HIH", 1, 1, 60, 4) + bytes([10, 0, 0, 1])
            line.sendto(asked[:2] + struct.pack(">5H", 0x8180, 1, 1, 0, 0) + asked[12:] + address, back)
