"""Commands of this machine: what becomes of one whose output cannot be written down."""

import time
import tracemalloc

import pytest

from helpers.core.errors import RunbookError
from helpers.core.process import execute

MUCH = ["bash", "-c", "for i in $(seq 40); do head -c 9999 /dev/zero | tr '\\0' x; echo; done; echo end >&2"]


def test_a_full_disk_of_this_machine_ends_the_command_in_words_not_at_its_time_out():
    with open("/dev/full", "w", buffering=1) as log:
        start = time.monotonic()
        with pytest.raises(RunbookError) as e:
            execute(MUCH, timeout=15, on_line=lambda stream, text: log.write(text + "\n"))
        assert time.monotonic() - start < 10
        with pytest.raises(OSError):  # what could not be written goes with the file
            log.close()
    assert e.value.saw == "No space left on device" and "df -h" in e.value.do


def test_the_command_itself_goes_on_to_its_end(tmp_path):
    mark = tmp_path / "mark"

    def bad(stream, text):
        raise ValueError(text)

    with pytest.raises(ValueError, match="one"):
        execute(["bash", "-c", f"echo one; echo two; sleep 0.2; touch {mark}"], timeout=15, on_line=bad)
    assert mark.exists()


#: 20 MB in 20,000 lines on each stream
WITHOUT_END = """line=$(head -c 1000 /dev/zero | tr '\\0' x)
for i in $(seq 20000); do echo "$i $line"; echo "$i $line" >&2; done"""


def test_a_command_that_prints_without_end_takes_no_more_memory_the_longer_it_does():
    seen = []
    tracemalloc.start()
    done = execute(["bash", "-c", WITHOUT_END], timeout=300, on_line=lambda *_: seen.append(1), keep=100)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(seen) == 40000 and most < 5_000_000, most
    for text in (done.out, done.err):
        assert [line.split()[0] for line in text.splitlines()] == [str(n) for n in range(19901, 20001)]
