"""The HTTP door, the pytest fixture and the command line."""

import os
import subprocess
import sys
import time

import httpx
import pytest

from planasonix.sandbox import Sandbox


def test_the_served_sandbox_answers_like_the_in_process_one():
    with Sandbox().serve() as running:
        headers = {"Authorization": f"Bearer {running.api_key}"}
        with httpx.Client(base_url=running.url, headers=headers) as http:
            started = http.post("/api/v1/connections/conn_shop_orders/sync", json={"priority": "low"})
            assert started.status_code == 202
            job = started.json()["data"]["job"]["id"]
            assert http.get(f"/api/v1/jobs/{job}").json()["data"]["id"] == job
            assert http.get("/api/v1/jobs", params={"status": "queued"}).status_code == 200
            assert http.get("/api/v1/jobs/a%2Fb").status_code == 404
            assert http.get("/api/v1/openapi.yaml").headers["content-type"] == "application/yaml"
            assert http.get("/sandbox/health", headers={"Authorization": ""}).json()["status"] == "ok"
            too_long = http.post("/api/v1/connections/conn_hr_people/sync", content=b" " * 2_000_000)
            assert too_long.status_code == 400
        assert running.jobs_started() == 1
        assert running.job_url_template == running.url + "/#/{kind}s/{id}"
    with pytest.raises(httpx.ConnectError):
        httpx.get(running.url)


def test_a_sandbox_can_be_served_again_on_its_port():
    sandbox = Sandbox()
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    with sandbox.serve() as first, httpx.Client(headers=headers) as http:
        http.post(first.url + "/api/v1/connections/conn_shop_orders/sync")
    with sandbox.serve(port=first.port) as second:
        assert second.url == first.url
        assert len(httpx.get(second.url + "/api/v1/jobs", headers=headers).json()["data"]) == 1


def test_two_sandboxes_do_not_meet():
    with Sandbox().serve() as one, Sandbox().serve() as two:
        assert one.url != two.url
        headers = {"Authorization": f"Bearer {one.api_key}"}
        httpx.post(one.url + "/api/v1/connections/conn_shop_orders/sync", headers=headers)
        assert (one.jobs_started(), two.jobs_started()) == (1, 0)


def test_a_taken_port_is_an_error():
    with Sandbox().serve() as running, pytest.raises(OSError, match="in use"):
        Sandbox().serve(port=running.port)


def test_the_fixture(planasonix_sandbox):
    assert httpx.get(planasonix_sandbox.url + "/sandbox/health").json()["profile"] == "strict"
    assert planasonix_sandbox.api_key
    assert planasonix_sandbox.transport()
    assert planasonix_sandbox.jobs_started() == 0


CODE_UNDER_TEST = """
import os
from planasonix import Planasonix

def test_inside(planasonix_sandbox):
    assert os.environ["PLANASONIX_BASE_URL"] == planasonix_sandbox.url
    assert os.environ["PLANASONIX_API_KEY"] == planasonix_sandbox.api_key
    with Planasonix() as client:
        client.connections.sync("conn_shop_orders")
    assert planasonix_sandbox.jobs_started() == 1

def test_afterwards():
    assert os.environ["PLANASONIX_BASE_URL"] == "https://real.invalid"
    assert os.environ["PLANASONIX_API_KEY"] == "plnx_live_real"
"""


def test_the_fixture_stands_in_for_every_tenant(tmp_path):
    (tmp_path / "test_mine.py").write_text(CODE_UNDER_TEST)
    real = {"PLANASONIX_BASE_URL": "https://real.invalid", "PLANASONIX_API_KEY": "plnx_live_real"}
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "test_mine.py"]
    out = subprocess.run(command, cwd=tmp_path, env=os.environ | real, capture_output=True, text=True)
    assert "2 passed" in out.stdout, out.stdout + out.stderr


@pytest.mark.planasonix_sandbox(profile="rich", speed=0, api_keys="k")
def test_the_fixture_takes_options(planasonix_sandbox):
    assert planasonix_sandbox.profile == "rich"
    assert planasonix_sandbox.clock.is_manual
    assert planasonix_sandbox.api_key == "k"


@pytest.mark.parametrize("module", ["planasonix.testing", "planasonix.sandbox", "planasonix.cli"])
def test_imports_stay_light(module):
    heavy = "starlette uvicorn httpx pydantic yaml sqlalchemy" + (" planasonix.sandbox" if "testing" in module else "")
    code = f"import sys, {module}; print([m for m in {heavy.split()!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.fixture
def command_line():
    started = []

    def start(*arguments):
        command = [sys.executable, "-c", "from planasonix.cli import main; main()", "sandbox", *arguments]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
        process.communicate()


@pytest.mark.parametrize("stop", ["SIGINT", "SIGTERM"])
def test_the_command(command_line, stop):
    import signal

    process = command_line(
        "--port", "0", "--profile", "rich", "--speed", "60", "--seed", "3", "--api-key", "canary-key"
    )
    lines = [process.stdout.readline() for _ in range(5)]
    url = lines[0].split()[-1]
    health = httpx.get(url + "/sandbox/health").json()
    assert (health["profile"], health["seed"]) == ("rich", 3)
    assert httpx.get(url + "/api/v1/jobs", headers={"Authorization": "Bearer canary-key"}).status_code == 200
    process.send_signal(getattr(signal, stop))
    out, err = process.communicate(timeout=10)
    assert (process.returncode, err) == (0, "")
    assert "Stopped." in out
    # Its jobs' times lie in the future for whoever looks at a clock on the wall.
    assert "60 times as fast" in lines[3]
    assert "canary-key" not in "".join(lines) + out


def test_the_command_names_a_taken_port(command_line):
    with Sandbox().serve() as running:
        process = command_line("--port", str(running.port))
        _, err = process.communicate(timeout=10)
    assert process.returncode == 1
    assert "cannot listen" in err


def test_a_missing_extra_is_named():
    code = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "sys.argv = ['planasonix', 'sandbox', '--port', '0']\n"
        "from planasonix.cli import main; main()"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.returncode == 1
    assert "pip install 'planasonix[sandbox]'" in out.stderr


@pytest.mark.parametrize(("arguments", "extra"), [("sandbox --port 0", "sandbox"), ("--help", "cli")])
def test_without_click_the_first_message_names_all_that_is_missing(arguments, extra):
    code = "import sys; sys.modules['click'] = None\nfrom planasonix.cli import main; main()"
    out = subprocess.run([sys.executable, "-c", code, *arguments.split()], capture_output=True, text=True)
    assert out.returncode == 1
    assert out.stderr.strip().endswith(f"pip install 'planasonix[{extra}]'")


def test_thousands_of_calls():
    sandbox = Sandbox(busy="parallel")
    headers = {"Authorization": f"Bearer {sandbox.api_key}"}
    began = time.process_time()
    for _ in range(2_000):
        sandbox.handle("POST", "/api/v1/connections/conn_hr_people/sync", (), headers)
    for _ in range(1_000):
        sandbox.handle("GET", "/api/v1/jobs", [("status", "running"), ("limit", "100")], headers)
    # An order of magnitude above what it takes, far below what a scan of all jobs per call would.
    assert time.process_time() - began < 10
