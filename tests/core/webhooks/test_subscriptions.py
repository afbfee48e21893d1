"""Subscriptions that are made once, and secrets that change without one lost: functions and commands."""

from __future__ import annotations

import json
import os
import stat
import threading
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from planasonix import Planasonix
from planasonix.cli.group import planasonix
from planasonix.errors import ConfigurationError, NotFoundError, PlanasonixError
from planasonix.sandbox import Sandbox
from planasonix.webhooks import SigningSecrets, rotate, subscribe
from planasonix.webhooks.secrets_file import SecretsFile, new_secret
from planasonix.webhooks.subscriptions import url_warnings

URL = "https://etl.example.com/planasonix/webhooks"
SECRET = "whsec_canary_0123456789abcdef"


class Tenant:
    def __init__(self) -> None:
        self.sandbox = Sandbox(speed=0, api_keys="plnx_test_subscriptions")
        transport = self.sandbox.transport()
        self.client = Planasonix("plnx_test_subscriptions", transport=transport).with_options(max_tries=1)

    def signed_with(self, webhook_id: str) -> str:
        return self.sandbox._state.webhooks.by_id[webhook_id].secret

    def count(self) -> int:
        return len(list(self.client.webhooks.list()))


@pytest.fixture
def tenant() -> Tenant:
    return Tenant()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "secrets"


def secrets_in(file: Path) -> list[str]:
    return [line for line in file.read_text().splitlines() if not line.startswith("#")]


def test_one_subscription_for_a_url_however_it_is_spelled(tenant: Tenant) -> None:
    made = subscribe(tenant.client, URL, secret=SECRET)
    assert made.done == "created"
    assert tenant.signed_with(made.webhook_id) == SECRET
    again = subscribe(tenant.client, "https://ETL.example.com:443/planasonix/webhooks", secret=SECRET)
    assert (again.webhook_id, again.done) == (made.webhook_id, "unchanged")
    fewer = subscribe(tenant.client, URL, ["job.failed"], secret=SECRET)
    assert (fewer.webhook_id, fewer.done) == (made.webhook_id, "updated")
    assert tenant.client.webhooks.get(made.webhook_id).events == ["job.failed"]
    assert tenant.count() == 1
    assert "canary" not in repr((made, again, fewer))


def test_one_that_is_off_stays_off_unless_asked(tenant: Tenant) -> None:
    made = subscribe(tenant.client, URL, secret=SECRET)
    tenant.client.webhooks.update(made.webhook_id, enabled=False)
    left = subscribe(tenant.client, URL, secret=SECRET)
    assert left.done == "unchanged"
    assert "switched off" in left.warnings[0]
    assert subscribe(tenant.client, URL, secret=SECRET, enable=True).done == "updated"
    assert tenant.client.webhooks.get(made.webhook_id).enabled is True


def test_the_receiver_knows_a_new_secret_before_the_api_does(tenant: Tenant, file: Path) -> None:
    tenant.sandbox.fault("webhooks.create", "refused", times=1)
    with pytest.raises(PlanasonixError):
        subscribe(tenant.client, URL, secrets_file=str(file))
    assert secrets_in(file) == [], "nothing was sent, so nothing is signed with it"
    made = subscribe(tenant.client, URL, secrets_file=str(file))
    assert secrets_in(file) == [tenant.signed_with(made.webhook_id)]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_lost_answer_makes_no_second_subscription(tenant: Tenant, file: Path) -> None:
    tenant.sandbox.fault("webhooks.create", "drop", times=1)
    made = subscribe(tenant.client, URL, secrets_file=str(file))
    assert tenant.count() == 1
    assert secrets_in(file) == [tenant.signed_with(made.webhook_id)]


def test_a_second_subscription_ends_no_other_one_s_secret(tenant: Tenant, file: Path) -> None:
    first = subscribe(tenant.client, URL, secrets_file=str(file))
    second = subscribe(tenant.client, URL + "/two", secrets_file=str(file))
    rotate(tenant.client, second.webhook_id, str(file), sleep=lambda _: None)
    text = file.read_text()
    assert text.count("# expires:") == 1, "of the second one's old secret"
    assert f"# webhook: {first.webhook_id}\n{tenant.signed_with(first.webhook_id)}" in text


def test_a_rotation_marks_the_file_before_the_api_signs_anew(tenant: Tenant, file: Path) -> None:
    made = subscribe(tenant.client, URL, secret=SECRET, secrets_file=str(file))
    seen: list[str] = []
    done = rotate(tenant.client, made.webhook_id, str(file), sleep=lambda _: seen.append(file.read_text()))
    assert done.done == "rotated"
    assert "# rotating-until: " in seen[0]
    assert tenant.signed_with(made.webhook_id) not in seen[0]
    after = file.read_text()
    assert "# rotating-until: " not in after
    assert secrets_in(file) == [tenant.signed_with(made.webhook_id), SECRET], "the newest first"
    expires = datetime.fromisoformat(after.partition("# expires: ")[2].partition("\n")[0])
    assert abs(expires - datetime.now(UTC) - timedelta(hours=24)) < timedelta(minutes=1)


@pytest.mark.parametrize(("fault", "stays"), [("refused", False), ("drop", True)])
def test_a_rotation_that_fails_is_marked_as_long_as_nobody_knows(
    tenant: Tenant, file: Path, fault: str, stays: bool
) -> None:
    made = subscribe(tenant.client, URL, secret=SECRET, secrets_file=str(file))
    tenant.sandbox.fault("webhooks.rotate_secret", fault, times=1)
    with pytest.raises(PlanasonixError):
        rotate(tenant.client, made.webhook_id, str(file), sleep=lambda _: None)
    assert ("# rotating-until: " in file.read_text()) is stays
    tenant.sandbox.fault("webhooks.rotate_secret", "refused", times=1)
    with pytest.raises(PlanasonixError):
        rotate(tenant.client, made.webhook_id, str(file), sleep=lambda _: None)
    assert ("# rotating-until: " in file.read_text()) is stays, "the answer that was lost is still lost"
    rotate(tenant.client, made.webhook_id, str(file), sleep=lambda _: None)
    assert secrets_in(file)[0] == tenant.signed_with(made.webhook_id)
    assert "# rotating-until: " not in file.read_text()


def test_a_rotation_leaves_the_mark_of_another_one(tenant: Tenant, file: Path) -> None:
    """An answer that was lost: nobody knows that subscription's secret, however well the other one's rotation went."""
    first = subscribe(tenant.client, URL, secrets_file=str(file)).webhook_id
    second = subscribe(tenant.client, URL + "/two", secrets_file=str(file)).webhook_id
    tenant.sandbox.fault("webhooks.rotate_secret", "drop", times=1)
    with pytest.raises(PlanasonixError):
        rotate(tenant.client, first, str(file), sleep=lambda _: None)
    rotate(tenant.client, second, str(file), sleep=lambda _: None)
    receiver = SigningSecrets.from_file(file)
    assert receiver.is_rotating()
    rotate(tenant.client, first, str(file), sleep=lambda _: None)
    receiver.keys()
    assert not receiver.is_rotating()
    file.write_text(f"# rotating-until: 2999-01-01T00:00:00Z\n{file.read_text()}")
    rotate(tenant.client, first, str(file), sleep=lambda _: None)
    assert "# rotating-until: 2999-01-01T00:00:00Z\n" in file.read_text(), "a hand's mark names nobody"


@pytest.mark.parametrize("own", [False, True], ids=["secret of the API's", "secret of the caller's"])
def test_rotations_at_once_happen_one_after_the_other(tenant: Tenant, file: Path, own: bool) -> None:
    """Of one subscription and of two: what the API signs with is in the file, and does not expire."""
    ids = [subscribe(tenant.client, URL + path, secrets_file=str(file)).webhook_id for path in ("", "/two")]
    at_once, most, lock = 0, 0, threading.Lock()
    ended: list[str] = []

    def slow(_: float) -> None:
        nonlocal at_once, most
        with lock:
            at_once += 1
            most = max(most, at_once)
        time.sleep(0.05)
        with lock:
            at_once -= 1

    def one(webhook_id: str) -> None:
        secret = new_secret() if own else None
        try:
            ended.append(rotate(tenant.client, webhook_id, str(file), secret=secret, sleep=slow).done)
        except NotFoundError:  # its id is another one since the rotation before
            ended.append("gone")

    threads = [threading.Thread(target=one, args=(each,)) for each in ids * 3]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert Counter(ended) == ({"replaced": 2, "gone": 4} if own else {"rotated": 6})
    assert most <= 1
    known = SigningSecrets.from_file(file).keys()
    in_force = {key.text.decode() for key in known if key.expires_at is None}
    assert in_force == {tenant.signed_with(each.id) for each in tenant.client.webhooks.list()}
    assert "# rotating-until: " not in file.read_text()


def test_a_secret_of_the_caller_s_is_known_before_it_signs(tenant: Tenant, file: Path) -> None:
    made = subscribe(tenant.client, URL, ["job.failed"], secret=SECRET, secrets_file=str(file))
    newer = new_secret()
    done = rotate(tenant.client, made.webhook_id, str(file), secret=newer)
    assert (done.done, tenant.count()) == ("replaced", 1)
    assert tenant.signed_with(done.webhook_id) == newer
    assert tenant.client.webhooks.get(done.webhook_id).events == ["job.failed"]
    assert secrets_in(file) == [newer, SECRET]
    assert "# rotating-until: " not in file.read_text()


def test_changes_at_once_lose_no_secret_and_readers_see_whole_files(file: Path) -> None:
    added = [new_secret() for _ in range(40)]
    SecretsFile(file).add(SECRET)
    torn: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            lines = secrets_in(file)
            if lines[-1] != SECRET or any(len(each) < 20 for each in lines):
                torn.append(str(len(lines)))

    reader = threading.Thread(target=read)
    reader.start()
    writers = [threading.Thread(target=lambda each=each: SecretsFile(file).add(each)) for each in added]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    done.set()
    reader.join()
    assert sorted(secrets_in(file)) == sorted([*added, SECRET])
    assert torn == []
    assert os.listdir(file.parent) == [file.name], "no temporary file is left"


@pytest.mark.parametrize("secret", ["short", "", "  " + SECRET, SECRET + "\n", "#" + SECRET, SECRET + "," + SECRET])
def test_a_secret_that_cannot_be_one_is_refused_unseen(tenant: Tenant, secret: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        subscribe(tenant.client, URL, secret=secret)
    assert caught.value.field == "secret"
    assert "canary" not in str(caught.value)
    assert tenant.sandbox.calls("webhooks.create") == 0


@pytest.mark.parametrize(
    "url",
    [
        "",
        "etl.example.com",
        "ftp://etl.example.com/",
        "https://",
        "https://u:p@etl.example.com/",
        "https://[",
        " " + URL,
    ],
)
def test_a_url_that_cannot_be_one_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        url_warnings(url)
    assert caught.value.field == "url"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        (URL, []),
        ("http://etl.example.com/", ["http://"]),
        ("https://10.0.0.7/", ["private"]),
        ("https://169.254.169.254/", ["private"]),
        ("https://[fe80::1]/", ["private"]),
        ("https://localhost:8443/", ["Port 8443", "private"]),
        ("https://etl.internal/", ["private"]),
    ],
)
def test_a_url_that_will_hardly_work_is_warned_of(url: str, words: list[str]) -> None:
    warnings = url_warnings(url)
    assert len(warnings) == len(words)
    assert all(any(word in warning for warning in warnings) for word in words)


# --- the commands -----------------------------------------------------------------------------------------------------


def call(*arguments: str, **environment: str) -> Result:
    result = CliRunner().invoke(planasonix, ["webhooks", *arguments], env=environment)
    assert "canary" not in result.output
    assert os.environ["PLANASONIX_API_KEY"] not in result.output
    return result


@pytest.mark.planasonix_sandbox(speed=0)
def test_create_list_and_rotate_from_the_command_line(planasonix_sandbox: Any, file: Path) -> None:
    made = call("create", URL, "--secret-env", "MINE", "--output", "json", MINE=SECRET)
    assert made.exit_code == 0, made.stderr
    row = json.loads(made.stdout)
    assert row["done"] == "created"
    again = call("create", URL, "--event", "job.failed", "--secrets-file", str(file))
    assert f"{row['webhook_id']}  updated" in again.stdout
    assert "Run: planasonix webhooks rotate" in again.stderr, "nobody here knows its secret"
    rows = [json.loads(line) for line in call("list", "--output", "json").stdout.splitlines()]
    assert [(one["webhook_id"], one["url"], one["events"]) for one in rows] == [
        (row["webhook_id"], URL, ["job.failed"])
    ]
    done = call("rotate", row["webhook_id"], "--secrets-file", str(file))
    assert "held no secret before" in done.stderr, "a receiver may read another file"
    assert done.exit_code == 0, done.stderr
    assert len(secrets_in(file)) == 1
    assert secrets_in(file)[0] not in done.output
    assert call("rotate", row["webhook_id"], "--secrets-file", str(file)).stderr == ""


@pytest.mark.planasonix_sandbox(speed=0)
def test_mistakes_on_the_command_line(planasonix_sandbox: Any, tmp_path: Path) -> None:
    assert call("create", "etl.example.com", "--secret-env", "MINE", MINE=SECRET).exit_code == 2
    assert call("create", URL).exit_code == 2, "no terminal to ask for a secret"
    assert call("create", URL, "--secret-env", "NOT_THERE").exit_code == 2
    assert call("create", URL, "--secret-file", str(tmp_path / "none")).exit_code == 2
    assert call("rotate", "wh_1", "--secrets-file", str(tmp_path / "no" / "file")).exit_code == 2
    assert call("rotate", "wh_none", "--secrets-file", str(tmp_path / "file")).exit_code == 1
    in_clear = call("create", URL, "--secret", SECRET)
    assert in_clear.exit_code == 0
    assert "shell's history" in in_clear.stderr


@pytest.mark.planasonix_sandbox(speed=0)
def test_a_sweep_from_the_command_line(planasonix_sandbox: Any, sqlite_url: str) -> None:
    first = call("sweep", "--once", "--interval", "0.01", PLANASONIX_INBOX=sqlite_url)
    assert json.loads(first.stdout) == {"found": 0, "open": 0}, first.stderr
    with Planasonix() as client:
        job = client.connections.sync("conn_shop_orders")
    planasonix_sandbox.finish(job.id, "cancelled")
    second = call("sweep", "--once", "--interval", "0.01", "--inbox", sqlite_url)
    assert json.loads(second.stdout)["found"] == 1
    assert call("sweep", "--once", "--inbox", "mysql://user:canary@host/db").exit_code == 2
