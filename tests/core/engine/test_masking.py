"""The caller's key in an answer, however the server writes it."""

from __future__ import annotations

import json

import pytest

from planasonix.engine import Reply
from planasonix.engine.masking import masked

KEY = "k3y-of-odd-form-123456"
ODD = 'a/b+c=<d>&"e"\\f'


@pytest.mark.parametrize("body", [b"", b'{"id": "job_1", "note": "a \\"quoted\\" word"}'])
@pytest.mark.parametrize("secret", [KEY, ODD, ""])
def test_an_answer_without_the_key_is_the_same_object(body, secret):
    reply = Reply(200, {"date": "x"}, body)
    assert masked(reply, (secret,)) is reply


def test_body_and_headers():
    reply = masked(Reply(200, {"x-echo": f"is {KEY}", "date": "x"}, f"{KEY} and {KEY}".encode()), (KEY,))
    assert reply == Reply(200, {"x-echo": "is ***", "date": "x"}, b"*** and ***")


@pytest.mark.parametrize(
    "written",
    [
        json.dumps(ODD),
        json.dumps(ODD).replace("/", "\\/"),
        json.dumps(ODD).replace("<", "\\u003c").replace(">", "\\u003E").replace("&", "\\u0026").replace("=", "\\u003d"),
    ],
)
def test_escapes_of_json(written):
    body = masked(Reply(200, {}, f'{{"m": {written}, "n": "\\n"}}'.encode()), (ODD,)).body
    assert json.loads(body) == {"m": "***", "n": "\n"}


def test_short_texts_are_no_secrets():
    reply = Reply(200, {"date": "k"}, b"k")
    assert masked(reply, ("k", "abcde")) is reply
