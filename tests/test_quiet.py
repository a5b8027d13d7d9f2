"""Output of Python and native code that is dropped or passed on, in processes with ordinary streams."""

import subprocess
import sys

PROGRAM = """
import logging, os, sys, warnings
from nas.quiet import silence_output, silence_stderr

def write():
    print("print", flush=True)
    print("error", file=sys.stderr)
    os.write(1, b"native\\n")
    os.write(2, b"native error\\n")

"""


def run(code):
    done = subprocess.run([sys.executable, "-c", PROGRAM + code], capture_output=True, text=True, check=True)
    return done.stdout.split("\n")[:-1], done.stderr.split("\n")[:-1]


def test_silence_output_drops_output_warnings_and_logs():
    code = """
logging.basicConfig()
with silence_output():
    write()
    warnings.warn("warning")
    logging.getLogger("tensorflow").error("log")
print("afterwards")
warnings.warn("later warning")
logging.getLogger("tensorflow").error("later log")
"""
    out, err = run(code)
    assert out == ["afterwards"]
    assert "later warning" in err[0]
    assert err[-1] == "ERROR:tensorflow:later log"


def test_silence_stderr_drops_lines_that_match_and_passes_the_others_on():
    assert run("with silence_stderr('native'): write()") == (["print", "native"], ["error"])
    assert run("with silence_stderr(): write()") == (["print", "native"], [])


def test_output_is_restored_after_an_error():
    code = """
try:
    with silence_output():
        raise ValueError
except ValueError:
    write()
"""
    assert run(code) == (["print", "native"], ["error", "native error"])
