"""Models are built on first use, which may come from several threads at once."""

import subprocess
import sys

CODE = """
import sys, threading
from planasonix.models import Backfill, ConnectionTables, Job, JobResults, SyncRequestBody

sys.setswitchinterval(1e-6)
start, failures = threading.Barrier(12), []

def use():
    start.wait()
    try:
        Job.read_many([{"id": "1", "error": "x", "metrics": {"rows_loaded": 1}}])
        JobResults.read({"tables": ["a"], "warnings": [{"code": "x"}]}).to_wire()
        Backfill.read({"id": "1", "error": ["a"]})
        ConnectionTables.read({"tables": ["x"]})
        SyncRequestBody(priority="low").to_bytes()
    except BaseException as error:
        failures.append(error)

threads = [threading.Thread(target=use) for _ in range(12)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failures, failures
"""


def test_models_can_be_used_first_by_many_threads():
    subprocess.run([sys.executable, "-c", CODE], check=True, timeout=60)
