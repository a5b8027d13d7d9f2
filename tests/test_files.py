"""Files that are complete or absent, and locks between processes."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from nas.errors import InputError, RunError
from nas.files import lock_file, output_file, replace_file


def test_a_file_is_replaced_only_when_it_is_complete(tmp_path):
    path = tmp_path / "new" / "file.txt"
    with replace_file(path) as temporary:
        assert temporary.suffix == ".txt"
        temporary.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with contextlib.suppress(ZeroDivisionError), replace_file(path) as temporary:
        temporary.write_text("two")
        raise ZeroDivisionError
    assert path.read_text() == "one"
    assert [item.name for item in path.parent.iterdir()] == ["file.txt"]


@pytest.mark.parametrize(
    ("number", "error", "message"),
    [
        (errno.ENOSPC, RunError, "because the disk is full; free space or use another folder"),
        (errno.EACCES, InputError, "the output folder must be writable, got '.*': Permission denied"),
    ],
)
def test_an_output_that_cannot_be_written_is_one_clear_error(tmp_path, number, error, message):
    with pytest.raises(error, match=message), output_file(tmp_path / "file.txt"):
        raise OSError(number, os.strerror(number))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("path", ["/", "."])
def test_an_output_without_a_name_is_one_clear_error(path):
    with pytest.raises(InputError, match="an output file must have a name"), output_file(Path(path)):
        pass


HOLDER = """
import sys, time
from pathlib import Path
from nas.files import lock_file
lock = lock_file(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def test_a_lock_ends_with_its_process(tmp_path):
    path = tmp_path / "folder" / "lock"
    holder = subprocess.Popen([sys.executable, "-c", HOLDER, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(InputError, match="in use"):
        lock_file(path, "in use")
    holder.send_signal(signal.SIGKILL)
    holder.communicate()
    lock_file(path, "in use").release()


def test_a_lock_without_a_message_waits(tmp_path):
    first = lock_file(tmp_path / "lock")
    waiting = threading.Thread(target=lambda: lock_file(tmp_path / "lock").release())
    waiting.start()
    waiting.join(timeout=0.2)
    assert waiting.is_alive()
    first.release()
    waiting.join(timeout=30)
    assert not waiting.is_alive()
