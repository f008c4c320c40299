"""What a conversation uses: who says it, and that it is kept."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from qchat.api.endpoint import LOCAL_URL, Endpoint, Secret, local_endpoint
from qchat.errors import UsageError
from qchat.sampling import Sampling
from qchat.settings import load
from qchat.store import open_store
from qchat.tui.request_settings import DefaultSettings, Origin, RequestSettings, endpoint_named

from ..config_file import write_config

HERE = Endpoint("http://127.0.0.1:9/v1", model="m")


def test_who_says_a_value() -> None:
    options = Sampling(temperature=0.9, extra={"min_p": 0.3})
    settings = RequestSettings.new(DefaultSettings(HERE, options=options, preset="code"))
    assert settings.value("temperature") == (0.9, Origin.COMMAND)
    assert settings.value("min_p") == (0.3, Origin.COMMAND)
    assert settings.value("top_p") == (0.5, Origin.PRESET)
    assert settings.value("thinking") == (False, Origin.PRESET)
    assert settings.value("seed") == (None, Origin.SERVER)
    assert settings.value("preset") == ("code", Origin.CONFIG)
    settings = settings.with_text("temperature", "0.1").with_text("preset", "fast")
    assert settings.value("temperature") == (0.1, Origin.CONVERSATION)
    assert settings.value("top_p") == (0.8, Origin.PRESET)
    assert settings.value("preset") == ("fast", Origin.CONVERSATION)


def test_the_values_are_those_of_the_request() -> None:
    settings = RequestSettings.new(
        DefaultSettings(HERE, options=Sampling(extra={"top_k": 3}), preset="creative")
    )
    settings = settings.with_text("thinking", "on").with_text("max_tokens", "7")
    request = settings.request_parameters()
    template = request.pop("chat_template_kwargs")
    assert template == {"enable_thinking": settings.value("thinking")[0]}
    assert request == {name: settings.value(name)[0] for name in request}
    assert set(request) == {"temperature", "top_p", "top_k", "max_tokens"}


def test_a_value_changed_here_beats_the_extra_body() -> None:
    extra = {"top_k": 3, "n": 1, "chat_template_kwargs": {"enable_thinking": True, "x": 1}}
    settings = RequestSettings.new(DefaultSettings(HERE, options=Sampling(extra=extra)))
    settings = settings.with_text("top_k", "9").with_text("thinking", "off")
    assert settings.request_parameters() == {
        "top_k": 9,
        "n": 1,
        "chat_template_kwargs": {"enable_thinking": False, "x": 1},
    }


def test_reset() -> None:
    settings = RequestSettings.new(
        DefaultSettings(HERE, options=Sampling(temperature=0.9), preset="code")
    )
    assert settings.with_text("temperature", "").value("temperature") == (0.1, Origin.PRESET)
    bare = settings.with_text("preset", "none").with_text("temperature", "default")
    assert bare.value("temperature") == (None, Origin.SERVER) and bare.request_parameters() == {}
    assert bare.value("preset") == (None, Origin.CONVERSATION)
    assert bare.with_text("preset", "").value("preset") == ("code", Origin.CONFIG)
    assert settings.with_text("preset", "fast").reset().preset == "code"
    with pytest.raises(UsageError, match="no preset 'odd'"):
        settings.with_text("preset", "odd")


@pytest.mark.parametrize("preset", ["code", "none", ""])
def test_stored_and_loaded(tmp_path: Path, preset: str) -> None:
    defaults = DefaultSettings(HERE, preset="fast")
    settings = RequestSettings.new(defaults).with_text("stop", "END").with_text("preset", preset)
    settings = settings.with_text("thinking", "on")
    with open_store(tmp_path) as store:
        made = store.conversations.create(
            system="s", server=settings.server, model="other", settings=settings.settings()
        )
        again = RequestSettings.of(defaults, store.conversations.get(made.id), HERE, first=False)
    assert (again.own, again.plain, again.preset) == (settings.own, settings.plain, settings.preset)
    assert (again.endpoint, again.model, again.system) == (HERE, "other", "s")
    json.dumps(settings.settings())


def test_the_command_line_counts_in_what_it_opens(tmp_path: Path) -> None:
    other = Endpoint("http://127.0.0.1:8/v1", origin="option")
    defaults = DefaultSettings(other, "new", "new system", Sampling(temperature=0.9), chosen=True)
    with open_store(tmp_path) as store:
        made = store.conversations.create(
            system="s", server=HERE.base_url, model="old", settings={"temperature": 0.1, "seed": 3}
        )
    first = RequestSettings.of(defaults, made, HERE, first=True)
    assert (first.endpoint, first.model, first.system) == (other, "new", "new system")
    assert (first.own.temperature, first.own.seed) == (0.9, 3)
    later = RequestSettings.of(defaults, made, HERE, first=False)
    assert (later.endpoint.base_url, later.model, later.system) == (HERE.base_url, "old", "s")
    assert later.own.temperature == 0.1


def test_a_server_by_name_by_address_and_one_that_is_gone(tmp_path: Path) -> None:
    write_config(tmp_path, '[servers.lab]\nbase_url = "http://127.0.0.1:7"\nmodel = "big"\n')
    settings = load({"QCHAT_HOME": str(tmp_path)})
    defaults = DefaultSettings(HERE, settings=settings)
    assert endpoint_named(defaults, "lab").base_url == "http://127.0.0.1:7/v1"
    assert endpoint_named(defaults, HERE.base_url) is endpoint_named(defaults, None) is HERE
    local = endpoint_named(defaults, LOCAL_URL)
    assert (local.base_url, local.origin) == (LOCAL_URL, "default")
    with pytest.raises(UsageError, match=r"no server 'lba'.*'lab'"):
        endpoint_named(defaults, "lba")


def test_the_api_key_of_a_detected_server_is_used_again() -> None:
    plain, keyed = (
        Endpoint("http://127.0.0.1:8/v1"),
        Endpoint("http://127.0.0.1:8/v1", api_key=Secret("k" * 32)),
    )
    defaults = DefaultSettings(HERE, detected={keyed.base_url: keyed})
    assert endpoint_named(defaults, plain.base_url) is keyed
    assert endpoint_named(defaults._replace(endpoint=plain), None) is keyed
    lab = replace(plain, name="lab")
    assert endpoint_named(defaults._replace(endpoint=lab), "lab") is lab


def test_the_default_address_is_stored_as_an_address(tmp_path: Path) -> None:
    local = local_endpoint(load({"QCHAT_HOME": str(tmp_path)}))
    assert RequestSettings.new(DefaultSettings(local)).server == LOCAL_URL
