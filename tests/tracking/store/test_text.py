"""Which words of a text are secrets, and what is left of a text that is cut."""

import time

import pytest

from elbowroom.tracking.store.errors import BadInput, one_line
from elbowroom.tracking.store.text import clean, fingerprint, hidden


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://me:se:cret@host:5000/x", "http://me:***@host:5000/x"),
        ("postgresql+psycopg://me:a/b@c:d@host/db has", "postgresql+psycopg://me:***@host/db has"),
        ("http://me:p%40ss%2Fword@host", "http://me:***@host"),
        ("http://:secret@host", "http://:***@host"),
        (
            "'postgresql://host/db?user=me&password=a%26b' --out x",
            "'postgresql://host/db?user=me&password=***' --out x",
        ),
        (
            "http://s3/a?X-Amz-Credential=k&X-Amz-Signature=0&x=1",
            "http://s3/a?X-Amz-Credential=***&X-Amz-Signature=***&x=1",
        ),
        ("mssql://h/db?sslPassword=p@ss/word,", "mssql://h/db?sslPassword=***,"),
        ("pass 5432secret1 on", "pass *** on"),
        ("git+https://t0k3n@host/x", "git+https://***@host/x"),
        ("https://t0k3n:@host", "https://***:***@host"),
        ("https://t0k3n:x-oauth-basic@host", "https://***:***@host"),
        ("http://s3/a?sig=a%2Fb&se=1", "http://s3/a?sig=***&se=1"),
        ("http://s3/a?key=abc&api_key=abc", "http://s3/a?key=***&api_key=***"),
        ("AccountName=n;AccountKey=a==;EndpointSuffix=core", "AccountName=n;AccountKey=***"),
        ("SharedAccessSignature=sv=1&sig=a", "SharedAccessSignature=***&sig=***"),
        ("mssql:///?odbc_connect=UID%3Dme%3BPWD%3Dabc", "mssql:///?odbc_connect=UID%3Dme%3BPWD%3D***"),
        ("mssql://h:1433/db?sslPassword=p@ss/word", "mssql://h:***"),
        ("http://u:a?token=b@h", "http://u:***"),
        ("host=h user=me password='a b' dbname=d", "host=h user=me password='***' dbname=d"),
        ("aws_secret_access_key = abc", "aws_secret_access_key = ***"),
        ('{"token":"abc","user":"x"}', '{"token":"***","user":"x"}'),
        (r"{\"api_key\": \"abc\"}", r"{\"api_key\": \"***\"}"),
        ("Client(api_key='abc', model='x')", "Client(api_key='***', model='x')"),
        ("Authorization: Basic YTpi", "Authorization: Basic ***"),
        ("{'Authorization': 'Bearer abc', 'x': 1}", "{'Authorization': 'Bearer ***', 'x': 1}"),
        ("X-Amz-Security-Token: abc", "X-Amz-Security-Token: ***"),
        ("401 for Bearer ey0.abc", "401 for Bearer ***"),
        ("Authorization: t0k3n", "Authorization: ***"),
        ("Set-Cookie: session=t0k3n", "Set-Cookie: ***"),
        ("https://h/x?subscription-key=abc&auth=d", "https://h/x?subscription-key=***&auth=***"),
        ("invalid address 'ada:secret@127.0.0.1:9'", "invalid address 'ada:***@127.0.0.1:9'"),
        ("http:/ada:secret@h: No such file", "http:/ada:***@h: No such file"),
    ],
)
def test_passwords_tokens_and_keys_are_hidden(text: str, shown: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPASSWORD", "5432secret1")
    assert hidden(text) == hidden(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "user@example.org",
        "git@github.com:x/y",
        "ssh://git@github.com/x/y",
        "postgresql+psycopg://USER@HOST/NAME",
        "models:/elbowroom-digits@chosen",
        "http://host:5000",
        "a word",
        "key: value",
        "the password: at least 8 letters",
        "sqlite:///a@b.db",
        "dim3=params.key,error=metrics.token",
        "http://host:5000/#/experiments/1?workflowType=machine_learning",
        "Bearer token is missing: Authorization: permission denied",
        "bypass=1 design=2 monkey=3 tokens=4",
        "net sig=0.1 pass=2: use dim3 = 3",
        "mailto:user@example.org",
        "if token == other or password != x",
    ],
)
def test_innocent_texts_are_shown(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "word")  # too short to be told from one
    assert hidden(text) == text


@pytest.mark.parametrize(
    "shape",
    ["a", " ", "&", "?x=", "a@", "://a:", "://a:a:", "http://a", "a:", " a:", "'a:", "/a:",
     "token", "token=)", "token=' ", 'token="', "token = ",
     "bearer ", "authorization: ", "-token: ", 'token\\" : \\"'],
)  # fmt: skip
def test_a_long_text_of_any_shape_is_one_line_in_a_moment(shape: str) -> None:
    began = time.perf_counter()
    one_line(OSError((shape * 400_000)[:400_000]))  # quadratic patterns took half a minute
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize("before", [0, 250, 264, 266, 1_000_000])
def test_no_cut_shows_a_part_of_a_secret(before: int) -> None:
    said = " " * before + "http://ada:" + "s" * 300 + "@host " + "x" * 1_000
    assert "ss" not in clean(said, 400)
    assert "ss" not in one_line(OSError(said))


def test_errors_hide_passwords_in_their_own_words() -> None:
    assert str(BadInput("http://ada:secret@host is gone")) == "http://ada:***@host is gone"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("see the reasons http://host/runs/1 " + "a" * 30, "see the reasons …" + "a" * 13),
        ("b" * 30 + " a page http://host/run/1 is there", "b" * 26 + "… is there"),
        ("http://host/" + "c" * 40, "http://host/" + "c" * 14 + "…" + "c" * 13),  # nothing else would be left
        ("at http://host/1", "at http://host/1"),
    ],
)
def test_no_message_is_cut_in_an_address(text: str, shown: str) -> None:
    assert clean(text, 40) == shown


def test_a_fingerprint_is_the_beginning_of_sha_256() -> None:
    assert fingerprint("") == "e3b0c44298fc1c14"
