"""API keys that a person typed: kept for one address, readable by nobody else."""

import stat
from pathlib import Path

import pytest

from qchat.api import endpoint as endpoints
from qchat.api.endpoint import Secret
from qchat.api.stored_keys import forget_key, key_file, store_key
from qchat.errors import UsageError
from qchat.settings import load

from ..config_file import write_config

URL = "https://gpu.example/v1"


def test_a_key_is_kept_for_one_address(tmp_path: Path) -> None:
    settings = load({"QCHAT_HOME": str(tmp_path)})
    file = store_key(settings.paths, URL, "secret-1")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    store_key(settings.paths, URL, "secret-2")
    found = endpoints.resolve(settings, base_url="https://GPU.example")
    assert found is not None and found.api_key == Secret("secret-2")
    for other in ("http://gpu.example", "https://gpu.example/v2", "https://gpu.example:444"):
        found = endpoints.resolve(settings, base_url=other)
        assert found is not None and found.api_key is None
    assert forget_key(settings.paths, URL) and not forget_key(settings.paths, URL)
    found = endpoints.resolve(settings, base_url=URL)
    assert found is not None and found.api_key is None


def test_what_is_configured_comes_first(tmp_path: Path) -> None:
    write_config(tmp_path, f'[servers.lab]\nbase_url = "{URL}"\napi_key_env = "LAB_KEY"\n')
    settings = load({"QCHAT_HOME": str(tmp_path), "LAB_KEY": "configured"})
    store_key(settings.paths, URL, "typed")
    found = endpoints.resolve(settings)
    assert found is not None and found.api_key == Secret("configured")


def test_the_default_address_has_a_key_too(tmp_path: Path) -> None:
    settings = load({"QCHAT_HOME": str(tmp_path)})
    store_key(settings.paths, endpoints.LOCAL_URL, "local")
    assert endpoints.local_endpoint(settings).api_key == Secret("local")


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    settings = load({"QCHAT_HOME": str(tmp_path)})
    store_key(settings.paths, URL, "typed").chmod(0o644)
    with pytest.raises(UsageError, match="chmod 600"):
        endpoints.resolve(settings, base_url=URL)


@pytest.mark.parametrize("url", ["http://[::1]:8000/v1", "http://a" + "b" * 300 + "/v1"])
def test_any_address_has_a_file_name(tmp_path: Path, url: str) -> None:
    settings = load({"QCHAT_HOME": str(tmp_path)})
    store_key(settings.paths, url, "typed")
    assert key_file(settings.paths, url).read_text() == "typed\n"
    assert key_file(settings.paths, url).parent == tmp_path / "config" / "keys"
