"""Which words of a text are secrets, and where none is shown."""

import logging
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator

import pytest

from elbowroom.analysis.report import main as report
from elbowroom.tracking.cli import be_quiet
from elbowroom.tracking.store import errors
from elbowroom.tracking.store.errors import BadInput, one_line
from elbowroom.tracking.store.terminal import hide_in_output
from elbowroom.tracking.store.text import clean, hidden

URI = "http://ada:secret@host"


@pytest.fixture
def hiding() -> Iterator[None]:
    factory, form, hook = logging.getLogRecordFactory(), warnings.formatwarning, sys.excepthook
    hide_in_output()
    yield
    logging.setLogRecordFactory(factory)
    warnings.formatwarning, sys.excepthook = form, hook


@pytest.mark.parametrize(
    ("text", "shown"),
    [
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
def test_tokens_and_keys_are_hidden(text: str, shown: str) -> None:
    assert hidden(text) == hidden(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "user@example.org",
        "git@github.com:x/y",
        "ssh://git@github.com/x/y",
        "postgresql+psycopg://USER@HOST/NAME",
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
def test_innocent_texts_are_shown(text: str) -> None:
    assert hidden(text) == text


@pytest.mark.parametrize(
    "shape",
    ["a", " ", "&", "?x=", "a@", "://a:", "://a:a:", "http://a", "a:", " a:", "'a:", "/a:",
     "token", "token=)", "token=' ", 'token="', "token = ",
     "bearer ", "authorization: ", "-token: ", 'token\\" : \\"'],
)  # fmt: skip
def test_two_megabytes_of_any_shape_are_one_line_in_seconds(shape: str) -> None:
    began = time.perf_counter()
    one_line(OSError((shape * 2_000_000)[:2_000_000]))  # quadratic patterns took minutes
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize("before", [0, 250, 264, 266, 1_000_000])
def test_no_cut_shows_a_part_of_a_secret(before: int) -> None:
    said = " " * before + "http://ada:" + "s" * 300 + "@host " + "x" * 1_000
    assert "ss" not in clean(said, 400)
    assert "ss" not in one_line(OSError(said))


def test_errors_hide_passwords_in_their_own_words() -> None:
    for error in (BadInput(f"{URI} is gone"), errors.BadInput(f"{URI} is gone")):
        assert str(error) == "http://ada:***@host is gone"


def test_a_record_of_any_logger_hides_passwords_in_its_message_and_traceback(hiding: None) -> None:
    shown: list[str] = []
    own = logging.Handler()  # a library's, behind which nothing reaches the root
    own.emit = lambda record: shown.append(own.format(record))  # type: ignore[method-assign]
    log = logging.getLogger("a.library")
    log.addHandler(own)
    try:
        raise OSError(URI)
    except OSError:
        log.exception("Retrying %s", URI)
    finally:
        log.removeHandler(own)
    (text,) = shown
    assert text.startswith("Retrying http://ada:***@host\nTraceback ")
    assert text.endswith("OSError: http://ada:***@host")


def test_warnings_and_uncaught_exceptions_hide_passwords(hiding: None, capsys: pytest.CaptureFixture[str]) -> None:
    assert "UserWarning: http://ada:***@host" in warnings.formatwarning(URI, UserWarning, "a.py", 1)
    try:
        raise OSError(URI)
    except OSError as error:
        sys.excepthook(OSError, error, error.__traceback__)
        told = "".join(traceback.format_exception(error))
    assert capsys.readouterr().err == told.replace("secret", "***")


@pytest.mark.parametrize("start", [be_quiet, lambda: report(["--rule", "?"])], ids=["tracking", "analysis"])
def test_what_commands_and_workers_start_with_hides(hiding: None, start: Callable[[], object]) -> None:
    logging.setLogRecordFactory(logging.LogRecord)
    start()
    assert logging.getLogRecordFactory() is not logging.LogRecord
