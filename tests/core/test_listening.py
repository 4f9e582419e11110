"""What can be asked at a host's address from here, and the words where it cannot."""

from __future__ import annotations

import re
import socket
import threading
from pathlib import Path

import pytest

import helpers
from helpers.core.listening import from_here, why_left_out


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.1.1", "::1", "localhost"])
def test_the_way_to_itself_is_left_out_by_its_address(address):
    assert why_left_out(address) == f"left out: {address} is this machine's own way to itself, which is open"


@pytest.mark.parametrize("address", ["192.0.2.7", "2001:db8::7", "only-the-jump-host.invalid"])
def test_another_address_is_asked(address):
    assert why_left_out(address) is None


def test_the_words_stand_once():
    texts = {path: path.read_text("utf-8") for path in Path(helpers.__file__).parent.rglob("*.py")}
    assert [path.name for path, text in texts.items() if re.search("own way to itself", text)] == ["listening.py"]


def test_a_port_that_is_slow_to_accept_is_open():
    """A full queue drops what comes; the kernel tries again."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, socket.create_connection(server.getsockname()):
        port = server.getsockname()[1]
        threading.Timer(2.1, server.accept).start()
        assert from_here("127.0.0.1", [port]) == {port: "open"}
