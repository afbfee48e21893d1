from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from planasonix.errors import ConfigurationError, SignatureError
from planasonix.sandbox.signing import signature_headers
from planasonix.sandbox.switches import Switches
from planasonix.webhooks import SigningSecrets, sign, verify

SECRET = "whsec_" + base64.b64encode(bytes(range(24))).decode()
NOW = 1_763_866_800
BODY = b'{"id":"evt_1","type":"job.succeeded","job_id":"job_1","data":{"status":"succeeded"}}'
KEYS = {
    "text": SECRET.encode(),
    "without prefix": SECRET.removeprefix("whsec_").encode(),
    "base64": bytes(range(24)),
}


def openssl_hmac(key: bytes, signed: bytes) -> bytes:
    program = shutil.which("openssl")
    assert program, "openssl is needed: it is the independent tool"
    command = [program, "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{key.hex()}", "-binary"]
    return subprocess.run(command, input=signed, capture_output=True, check=True).stdout


@pytest.mark.parametrize("body", [BODY, b""])
def test_sign_agrees_with_openssl(body: bytes) -> None:
    signed = f"{NOW}.".encode() + body if body else str(NOW).encode()
    assert sign(body, SECRET, timestamp=NOW) == {
        "X-Planasonix-Signature": "v1=" + openssl_hmac(SECRET.encode(), signed).hex(),
        "X-Planasonix-Timestamp": str(NOW),
    }
    assert sign(body, SECRET, timestamp=None)["X-Planasonix-Signature"] == openssl_hmac(SECRET.encode(), body).hex()


@pytest.mark.parametrize("key", KEYS)
def test_every_form_of_a_body_signature_that_openssl_makes_is_taken(key: str) -> None:
    digest = openssl_hmac(KEYS[key], BODY)
    plain, url = base64.b64encode(digest).decode(), base64.urlsafe_b64encode(digest).decode()
    for value in (digest.hex(), digest.hex().upper(), plain, plain.rstrip("="), url, f"{'0' * 64}, {digest.hex()}"):
        for prefix in ("", "sha256=", "v1=", "v1,"):
            headers = {"x-planasonix-signature": prefix + value}
            assert verify(BODY, headers, SECRET, schemes=("body",)).job_id == "job_1", (prefix, value)
            with pytest.raises(SignatureError):
                verify(BODY + b" ", headers, SECRET, schemes=("body",))


@pytest.mark.parametrize("encoding", ["hex", "base64"])
@pytest.mark.parametrize("scheme", ["body", "timestamped"])
def test_what_the_sandbox_signs_is_genuine(scheme: Any, encoding: Any) -> None:
    switches = Switches(signature_scheme=scheme, signature_encoding=encoding, signature_prefix="sha256=")
    headers = signature_headers(BODY, SECRET, switches=switches, timestamp=NOW)
    assert verify(BODY, headers, SECRET, schemes=(scheme,), now=NOW).event_id == "evt_1"


@pytest.mark.parametrize(("age", "is_taken"), [(300, True), (301, False), (-60, True), (-61, False)])
def test_a_timestamp_counts_for_five_minutes(age: int, is_taken: bool) -> None:
    headers = sign(BODY, SECRET, timestamp=NOW - age)
    if is_taken:
        assert verify(BODY, headers, SECRET, now=datetime.fromtimestamp(NOW, UTC)).status == "succeeded"
        return
    with pytest.raises(SignatureError):
        verify(BODY, headers, SECRET, now=NOW)


def test_the_header_never_chooses_the_scheme() -> None:
    with pytest.raises(SignatureError):
        verify(BODY, sign(BODY, SECRET, timestamp=None), SECRET)
    with pytest.raises(SignatureError):
        verify(BODY, sign(BODY, SECRET, timestamp=NOW), SECRET, schemes=("body",), now=NOW)


def test_an_event_older_than_the_horizon_is_refused_where_only_the_body_is_signed() -> None:
    at = datetime.fromtimestamp(NOW, UTC)
    body = json.dumps({"id": "evt_1", "type": "job.failed", "timestamp": (at - timedelta(days=8)).isoformat()}).encode()
    headers = sign(body, SECRET, timestamp=None)
    with pytest.raises(SignatureError, match="horizon"):
        verify(body, headers, SECRET, schemes=("body",), now=at)
    assert verify(body, headers, SECRET, schemes=("body",), now=at, horizon=timedelta(days=9)).type == "job.failed"


_anything = st.one_of(st.none(), st.integers(), st.text(), st.binary(), st.lists(st.text()))
_names = st.one_of(_anything.filter(lambda one: not isinstance(one, list)), st.sampled_from(["X-PLANASONIX-SIGNATURE"]))


@given(
    body=_anything,
    headers=st.one_of(_anything, st.dictionaries(_names, _anything)),
    signature=st.one_of(st.text(), st.binary(), st.from_regex(r"(v1=|sha256=)?[0-9a-f]{64}")),
    stamp=st.one_of(st.text(), st.just(str(NOW)), st.from_regex(r"[0-9\u0660-\u0669]{1,14}")),
)
def test_whatever_is_sent_ends_in_the_one_error(body: Any, headers: Any, signature: Any, stamp: Any) -> None:
    named = {"x-planasonix-signature": signature, b"X-Planasonix-Timestamp": stamp}
    for sent in (headers, named, list(named.items())):
        with pytest.raises(SignatureError):
            verify(body, sent, SECRET, schemes=("timestamped", "body"), now=NOW)


@given(st.binary())
def test_a_genuine_body_that_is_no_event_is_the_one_error_too(body: bytes) -> None:
    # Hardly any draw is an event: a draw that is one would fail here, and belongs into a test of its own.
    with pytest.raises(SignatureError, match="genuine"):
        verify(body, sign(body, SECRET, timestamp=NOW), SECRET, now=NOW)


@pytest.mark.parametrize("secrets", [[], "", "short", ["whsec_0123456789abcdef", "whsec_short"]])
def test_weak_secrets_are_refused_without_being_shown(secrets: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        SigningSecrets(secrets)
    assert "whsec_short" not in str(caught.value)
    assert "whsec_0123" not in str(caught.value)


def test_a_file_of_secrets_is_read_again_when_it_changes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    old, new, path = "whsec_old_0123456789", "whsec_new_0123456789", tmp_path / "secrets"
    path.touch(mode=0o600)
    path.write_text(old + "\n")
    secrets = SigningSecrets.from_file(path)
    assert not caplog.records

    def takes(secret: str) -> bool:
        try:
            verify(BODY, sign(BODY, secret, timestamp=NOW), secrets, now=NOW)
        except SignatureError:
            return False
        return True

    def replace(text: str) -> None:
        (tmp_path / "next").write_text(text)
        os.replace(tmp_path / "next", path)

    assert (takes(old), takes(new)) == (True, False)
    replace(f"# rotating-until: 2999-01-01T00:00:00Z\n{new}\n# expires: 2999-01-01T00:00:00Z\n{old}\n")
    assert (takes(old), takes(new), secrets.is_rotating()) == (True, True, True)
    replace(f"{new}\n# expires: 2001-01-01T00:00:00Z\n{old}\n")
    assert (takes(old), takes(new), secrets.is_rotating()) == (False, True, False)
    replace("weak\n")
    assert takes(new)
    path.unlink()
    assert takes(new)
    assert takes(new)
    assert len(caplog.records) == 2
    assert new not in caplog.text + repr(secrets)


def test_a_file_of_secrets_that_everybody_can_open_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "secrets"
    path.write_text("whsec_0123456789abcdef\n")
    path.chmod(0o644)
    secrets = SigningSecrets.from_file(path)
    secrets.keys()
    assert [str(path) in record.getMessage() and "chmod 600" in record.getMessage() for record in caplog.records] == [
        True
    ]
    assert "whsec_" not in caplog.text


def test_a_file_of_secrets_that_is_put_right_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Only its mode was wrong: neither its time nor its size tell."""
    old, new, path = "whsec_old_0123456789", "whsec_new_0123456789", tmp_path / "secrets"
    path.touch(mode=0o600)
    path.write_text(old + "\n")
    secrets = SigningSecrets.from_file(path)
    path.write_text(f"{new}\n{old}\n")

    def refused(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", refused)
        for _ in range(3):
            assert [key.text for key in secrets.keys(datetime.now(UTC))] == [old.encode()]
    assert [key.text for key in secrets.keys(datetime.now(UTC))] == [new.encode(), old.encode()]
    assert len(caplog.records) == 1
    path.unlink()
    secrets.keys()
    assert len(caplog.records) == 2


def test_a_file_of_secrets_that_is_half_written_takes_none_away(tmp_path: Path) -> None:
    secret, path = "whsec_0123456789abcdef", tmp_path / "secrets"
    path.write_text(secret + "\n")
    secrets = SigningSecrets.from_file(path)
    path.write_text("")
    assert [key.text for key in secrets.keys(datetime.now(UTC))] == [secret.encode()]
