"""The rules for endpoints: addresses, keys, proxies, and which server is used."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from qchat.api import endpoint as endpoints
from qchat.api.endpoint import Endpoint, Secret, normalise, proxy_for, resolve
from qchat.api.error_messages import server_message
from qchat.errors import Code, UsageError, from_status
from qchat.settings import load


def endpoint(
    tmp_path: Path,
    config: str = "",
    *,
    server: str | None = None,
    base_url: str | None = None,
    api_key_env: str | None = None,
    **environ: str,
) -> Endpoint | None:
    folder = tmp_path / "config"
    folder.mkdir(exist_ok=True)
    (folder / "config.toml").write_text(config)
    resolved = load({"QCHAT_HOME": str(tmp_path), **environ})
    return resolve(resolved, server=server, base_url=base_url, api_key_env=api_key_env)


LAB = '[servers.lab]\nbase_url = "http://lab:8000"\nmodel = "lab-model"\n'
TWO = LAB + '[servers.b]\nbase_url = "https://b/api/paas/v4/"\n'


@pytest.mark.parametrize(
    ("url", "base"),
    [
        ("http://127.0.0.1:8000", "http://127.0.0.1:8000/v1"),
        ("http://127.0.0.1:8000/", "http://127.0.0.1:8000/v1"),
        ("HTTP://Host", "http://host/v1"),
        ("https://h/v1/", "https://h/v1"),
        ("https://h/api/paas/v4", "https://h/api/paas/v4"),
        ("http://[::1]:8000", "http://[::1]:8000/v1"),
        (" http://h ", "http://h/v1"),
    ],
)
def test_v1_is_added_only_where_there_is_no_path(url: str, base: str) -> None:
    assert normalise(url) == base


@pytest.mark.parametrize(
    ("url", "phrase"),
    [
        ("", "empty"),
        ("localhost:8000", "http://localhost:8000"),
        ("lab", "http://lab"),
        ("ftp://h", "http:// or https://"),
        ("http://", "no host"),
        ("http:///v1", "no host"),
        ("http://a b", "space"),
        ("http://a\nb", "space or a control character"),
        ("http://h:99999", "address"),
        ("http://h:0", "no host"),
        ("http://h:x", "address"),
        ("http://[::1", "address"),
        ("http://me:pass1234@h", "--api-key-env"),
        ("me:pass1234@h:80", "http://"),
        ("http://h?x=pass1234", "?"),
        ("http://h/v1/chat/completions", "/chat/completions"),
    ],
)
def test_bad_addresses_get_one_sentence(url: str, phrase: str) -> None:
    with pytest.raises(UsageError) as caught:
        normalise(url)
    text = str(caught.value)
    assert text.startswith("--base-url: ") and phrase in text
    assert "\n" not in text and "pass1234" not in text


def test_a_bad_address_in_chinese() -> None:
    code = """if True:
        from qchat.api.endpoint import normalise

        try:
            normalise("localhost:9999", "网址")
        except Exception as e:
            print(e)
    """
    environ = {**os.environ, "QCHAT_LANG": "zh", "PYTHONIOENCODING": "utf-8"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, encoding="utf-8", check=True
    )
    assert run.stdout.startswith("网址：'localhost:9999' 前面缺少")


def test_nothing_configured(tmp_path: Path) -> None:
    assert endpoint(tmp_path) is None


def test_which_server(tmp_path: Path) -> None:
    def base(config: str = "", **more: str | None) -> str:
        resolved = endpoint(tmp_path, config, **more)  # type: ignore[arg-type]
        assert resolved is not None
        return resolved.base_url

    other = {"OPENAI_BASE_URL": "http://other/v1"}
    default_b = 'server = "b"\n' + TWO
    assert base(default_b, base_url="http://x", **other) == "http://x/v1"
    assert base(default_b, server="lab", **other) == "http://lab:8000/v1"
    assert base(default_b, QCHAT_SERVER="lab") == "http://lab:8000/v1"
    assert base(default_b, **other) == "https://b/api/paas/v4"
    assert base(LAB, **other) == "http://lab:8000/v1"
    assert base(**other) == "http://other/v1"
    assert base(OPENAI_BASE_URL="http://other") == "http://other/v1"


def test_several_servers_and_none_chosen(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="lab, b"):
        endpoint(tmp_path, TWO)


def test_server_and_base_url_together(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not both"):
        endpoint(tmp_path, LAB, server="lab", base_url="http://x")


@pytest.mark.parametrize(
    ("config", "name", "phrase"),
    [(LAB, "lba", "'lab'"), (LAB, "zzz", "configured are lab"), ("", "lab", "none is configured")],
)
def test_an_unknown_server(tmp_path: Path, config: str, name: str, phrase: str) -> None:
    with pytest.raises(UsageError, match=phrase):
        endpoint(tmp_path, config, server=name)
    with pytest.raises(UsageError, match=f"^QCHAT_SERVER: .*{phrase}"):
        endpoint(tmp_path, config, QCHAT_SERVER=name)


def test_which_model_and_origin(tmp_path: Path) -> None:
    resolved = endpoint(tmp_path, 'model = "general"\n' + LAB)
    assert resolved is not None and resolved.model == "lab-model" and resolved.name == "lab"
    assert resolved.origin.endswith("config.toml:3")
    resolved = endpoint(tmp_path, 'model = "general"\n' + LAB, QCHAT_MODEL="env")
    assert resolved is not None and resolved.model == "env"
    resolved = endpoint(tmp_path, 'model = "general"\n' + LAB, base_url="http://x")
    assert resolved is not None and resolved.model == "general" and resolved.origin == "option"


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("https://api.openai.com/v1", True),
        ("https://eu.api.openai.com/v1", True),
        ("http://api.openai.com/v1", False),
        ("https://api.openai.com.evil.example/v1", False),
        ("https://evilapi.openai.com/v1", False),
        ("https://api.openai.com:8443/v1", False),
        ("http://127.0.0.1:8000/v1", False),
    ],
)
def test_openais_key_goes_to_openai_alone(tmp_path: Path, url: str, sent: bool) -> None:
    resolved = endpoint(tmp_path, base_url=url, OPENAI_API_KEY="sk-1")
    assert resolved is not None
    assert resolved.headers() == ({"Authorization": "Bearer sk-1"} if sent else {})


def test_openais_key_goes_where_openai_base_url_says(tmp_path: Path) -> None:
    environ = {"OPENAI_BASE_URL": "http://lan/v1", "OPENAI_API_KEY": "sk-1"}
    resolved = endpoint(tmp_path, **environ)
    assert resolved is not None and resolved.api_key == Secret("sk-1")
    # The same key, but another server chosen: not sent.
    for more in ({"base_url": "http://x"}, {"server": "lab"}):
        resolved = endpoint(tmp_path, TWO, **more, **environ)
        assert resolved is not None and resolved.api_key is None


def test_keys_from_variables(tmp_path: Path) -> None:
    resolved = endpoint(tmp_path, base_url="http://x", api_key_env="K", K=" key1\n")
    assert resolved is not None and resolved.headers() == {"Authorization": "Bearer key1"}
    config = LAB + 'api_key_env = "LAB"\n'
    resolved = endpoint(tmp_path, config, LAB="key2")
    assert resolved is not None and resolved.api_key == Secret("key2")
    resolved = endpoint(tmp_path, config, api_key_env="K", K="key3", LAB="key2")
    assert resolved is not None and resolved.api_key == Secret("key3")


@pytest.mark.parametrize(
    ("variable", "environ", "phrase"),
    [
        ("K", {}, "--api-key-env: the variable K is not set"),
        ("K", {"K": ""}, "is empty"),
        ("K", {"K": " \n"}, "is empty"),
        ("K", {"K": "a b"}, "one word"),
        ("K", {"K": "a\r\nX: y"}, "one word"),
        ("K", {"K": "ключ"}, "one word"),
        ("sk-abc-123", {}, "takes the name of a variable"),
        ("skabc123", {}, "is not set"),
    ],
)
def test_bad_keys(tmp_path: Path, variable: str, environ: dict[str, str], phrase: str) -> None:
    with pytest.raises(UsageError) as caught:
        endpoint(tmp_path, base_url="http://x", api_key_env=variable, **environ)
    text = str(caught.value)
    assert phrase in text
    assert "sk-abc" not in text and "skabc123" not in text and "X: y" not in text


def test_an_empty_openai_key_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="OPENAI_API_KEY is empty"):
        endpoint(tmp_path, base_url=endpoints.OPENAI_URL, OPENAI_API_KEY="")


def test_a_key_for_no_server(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="needs a server"):
        endpoint(tmp_path, api_key_env="K", K="x")


def test_a_key_in_a_file(tmp_path: Path) -> None:
    config = LAB + 'api_key_file = "lab.key"\n'
    file = tmp_path / "config" / "lab.key"
    with pytest.raises(UsageError, match=r"Can't read the key file .*lab\.key"):
        endpoint(tmp_path, config)
    file.write_text("key4\n")
    for mode in (0o644, 0o640, 0o604):
        file.chmod(mode)
        with pytest.raises(UsageError) as caught:
            endpoint(tmp_path, config)
        assert str(caught.value).endswith(f"chmod 600 {file}")
    file.chmod(0o600)
    resolved = endpoint(tmp_path, config)
    assert resolved is not None and resolved.api_key == Secret("key4")
    file.write_text("\n")
    with pytest.raises(UsageError, match="is empty"):
        endpoint(tmp_path, config)


def test_secrets_are_masked() -> None:
    secret = Secret("sk-1")
    resolved = Endpoint("http://x/v1", secret, proxy="http://me:pw@p")
    for text in (
        str(secret),
        repr(secret),
        f"{secret}",
        "%s" % secret,  # noqa: UP031
        repr(resolved),
        str(resolved),
    ):
        assert "sk-1" not in text and "pw" not in text
    assert secret.reveal() == "sk-1"


def test_paths_of_the_api() -> None:
    resolved = Endpoint("https://h/api/paas/v4")
    assert resolved.url("/v1/chat/completions") == "https://h/api/paas/v4/chat/completions"
    assert resolved.url("models") == "https://h/api/paas/v4/models"


@pytest.mark.parametrize(
    ("url", "environ", "proxy"),
    [
        ("https://h/v1", {"HTTPS_PROXY": "http://p:1"}, "http://p:1"),
        ("https://h/v1", {"https_proxy": "p:1", "HTTPS_PROXY": "http://q"}, "http://p:1"),
        ("https://h/v1", {"HTTP_PROXY": "http://p"}, None),
        ("http://h/v1", {"HTTP_PROXY": "http://p"}, "http://p"),
        ("http://h/v1", {"ALL_PROXY": "http://p"}, "http://p"),
        ("https://h/v1", {"ALL_PROXY": "http://a", "HTTPS_PROXY": "http://p"}, "http://p"),
        ("https://h/v1", {"HTTPS_PROXY": ""}, None),
        ("https://h/v1", {"HTTPS_PROXY": "http://p", "NO_PROXY": "*"}, None),
        ("https://h/v1", {"HTTPS_PROXY": "http://p", "no_proxy": "x, h"}, None),
        ("https://a.h.org/v1", {"HTTPS_PROXY": "http://p", "NO_PROXY": ".h.org"}, None),
        ("https://a.h.org/v1", {"HTTPS_PROXY": "http://p", "NO_PROXY": "h.org"}, None),
        ("https://ah.org/v1", {"HTTPS_PROXY": "http://p", "NO_PROXY": "h.org"}, "http://p"),
        ("https://h:8443/v1", {"HTTPS_PROXY": "http://p", "NO_PROXY": "h:443"}, "http://p"),
        ("https://h/v1", {"HTTPS_PROXY": "http://p", "NO_PROXY": "h:443"}, None),
        ("http://10.1.2.3/v1", {"HTTP_PROXY": "http://p", "NO_PROXY": "10.0.0.0/8"}, None),
        ("http://[fd00::1]/v1", {"HTTP_PROXY": "http://p", "NO_PROXY": "[fd00::1]"}, None),
        ("http://10.1.2.3/v1", {"HTTP_PROXY": "http://p", "NO_PROXY": "bad/8"}, "http://p"),
    ],
)
def test_proxies(url: str, environ: dict[str, str], proxy: str | None) -> None:
    assert proxy_for(url, environ) == proxy


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.8.9.1", "localhost", "a.localhost", "[::1]", "[::ffff:127.0.0.1]"]
)
def test_loopback_never_goes_through_a_proxy(host: str) -> None:
    names = ("ALL_PROXY", "all_proxy", "HTTP_PROXY", "http_proxy", "HTTPS_PROXY")
    everything = dict.fromkeys(names, "socks5://p:1080")
    assert proxy_for(f"http://{host}:8000/v1", everything) is None
    assert Endpoint(f"http://{host}:8000/v1").is_local


def test_a_socks_proxy_is_refused_in_a_sentence() -> None:
    with pytest.raises(UsageError) as caught:
        proxy_for("https://h/v1", {"ALL_PROXY": "socks5://me:pass1234@p:1080"})
    text = str(caught.value)
    assert "ALL_PROXY" in text and "socks5" in text and "NO_PROXY" in text
    assert "pass1234" not in text


def test_a_broken_proxy_is_refused_without_its_password() -> None:
    with pytest.raises(UsageError, match="HTTPS_PROXY is not a proxy") as caught:
        proxy_for("https://h/v1", {"HTTPS_PROXY": "http://me:pass1234@"})
    assert "pass1234" not in str(caught.value)


@pytest.mark.parametrize(("status", "advises"), [(401, True), (403, False), (421, False)])
def test_a_key_is_advised_only_where_it_may_help(status: int, advises: bool) -> None:
    """A server of qchat's refuses proxies and foreign host names, too, and says so itself."""
    failure = from_status(status, {"error": {"message": "It says why."}})
    assert failure.code is Code.UNAUTHORIZED  # no other row would fare better
    what, advice = server_message(failure, Endpoint("http://lab/v1"))
    assert "It says why" in what
    assert ("key" in what + advice) == advises


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("wrong", "The key wrong is wrong."),  # a short key is a word of the server's own
        ("longer-k", "The key **** is wrong."),
    ],
)
def test_a_refused_key_is_masked_and_a_common_word_is_not(key: str, message: str) -> None:
    failure = from_status(401, {"error": {"message": f"The key {key} is wrong."}})
    assert message in server_message(failure, Endpoint("http://lab/v1", Secret(key)))[0]


def test_behind_a_proxy_it_is_the_proxy_that_answers() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"http://127.0.0.1:{listening.getsockname()[1]}"
        assert endpoints.answers(Endpoint(f"{address}/v1"))
        assert endpoints.answers(Endpoint("https://server.invalid/v1", proxy=address))
    assert not endpoints.answers(Endpoint("http://127.0.0.1:1/v1"))
    assert not endpoints.answers(Endpoint(f"{address}/v1", proxy="http://127.0.0.1:1"))


def test_a_name_that_cannot_be_answers_nothing() -> None:
    assert not endpoints.answers(Endpoint(f"http://{'a' * 64}.example/v1"))


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        ("1.5", 1.5),
        ("-3", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
        ("soon", None),
        ("inf", None),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    """A date in the past is no wait, as is a negative number."""
    assert endpoints.retry_after(value) == seconds
