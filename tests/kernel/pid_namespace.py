"""Starts a workload and records it, both in a new PID namespace; prints the PIDs and the result."""

import json
import subprocess
import sys
import time
from pathlib import Path


def main(netprobe: str, folder: str, workload: str, *arguments: str) -> None:
    errors = Path(folder) / "errors"
    target = subprocess.Popen([workload, "gate", *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert target.stdout is not None
    target.stdout.readline()
    command = [netprobe, "syscalls", "-p", str(target.pid), "-d", "30", "--by", "thread", "--json"]
    with open(errors, "w") as err:
        session = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err)
    while session.poll() is None and "Attached in" not in errors.read_text():
        time.sleep(0.01)
    time.sleep(0.05)
    target.communicate(b"g")
    out, _ = session.communicate()
    print(json.dumps({"pid": target.pid, "status": session.returncode, "out": out.decode(), "err": errors.read_text()}))


main(*sys.argv[1:])
