"""Settings: layers, origins, and one sentence for every mistake."""

import os
import stat
from pathlib import Path

import pytest
from click.testing import CliRunner

from qchat import cli, settings
from qchat.errors import UsageError
from qchat.settings import Settings, load

from .config_file import write_config


def loaded(home: Path, **environ: str) -> Settings:
    return load({"QCHAT_HOME": str(home), **environ})


def test_defaults_say_so(tmp_path: Path) -> None:
    got = loaded(tmp_path)
    assert (got.server, got.model, got.preset, dict(got.servers)) == (None, None, None, {})
    assert got.where("model") == "default"


def test_home_moves_the_four_places(tmp_path: Path) -> None:
    paths = loaded(tmp_path).paths
    assert [paths.config, paths.data, paths.state, paths.cache] == [
        tmp_path / name for name in ("config", "data", "state", "cache")
    ]
    assert not any(p.exists() for p in (paths.config, paths.data, paths.state, paths.cache))


def test_xdg_without_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("QCHAT_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "xdg"))
    file = settings.Paths.find().config_file
    assert file.is_relative_to(tmp_path)
    if os.uname().sysname == "Linux":
        assert file == tmp_path / "xdg" / "qchat" / "config.toml"


def test_the_environment_beats_the_file(tmp_path: Path) -> None:
    file = write_config(tmp_path, '# comment\nmodel = "a"\npreset = "code"\n')
    got = loaded(tmp_path, QCHAT_MODEL="b")
    assert (got.model, got.where("model")) == ("b", "QCHAT_MODEL")
    assert (got.preset, got.where("preset")) == ("code", f"{file}:3")
    assert got.from_environment("model") and not got.from_environment("preset")


def test_an_empty_variable_is_ignored(tmp_path: Path) -> None:
    write_config(tmp_path, 'model = "a"')
    assert loaded(tmp_path, QCHAT_MODEL="").model == "a"


def test_servers(tmp_path: Path) -> None:
    file = write_config(
        tmp_path,
        "\ufeff[servers.lab]\nbase_url = 'http://lab'\napi_key_file = 'lab.key'\r\n"
        'model = "m"\n[servers."b.1"]\nbase_url="http://b"\napi_key_env="B_KEY"\n',
    )
    got = loaded(tmp_path)
    assert list(got.servers) == ["lab", "b.1"]
    assert got.servers["lab"].api_key_file == file.parent / "lab.key"
    assert got.servers["b.1"].api_key_env == "B_KEY"
    assert got.where("servers.lab.model") == f"{file}:4"
    assert got.where("servers.b.1.base_url") == f"{file}:6"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('\nmodle = "a"', 2, ["'modle'", "'model'"]),
        ('zzzzzz = "a"', 1, ["'zzzzzz'", "server, model, preset"]),
        ("model = 3", 1, ["model", "quotes"]),
        ("model = ''", 1, ["model is empty"]),
        ("servers = 3", 1, ["servers"]),
        ("[servers]\nlab = 3", 2, ["[servers.lab]"]),
        ("[servers.lab]\n", 1, ["no base_url"]),
        ("[servers.lab]\nbase_url='http://a'\napi_key='sk-abc'", 3, ["api_key_env"]),
        ("[servers.lab]\nbase_ulr='http://a'", 2, ["'base_ulr'", "'base_url'"]),
        ("[servers.'a b']\nbase_url='http://a'", 1, ["'a b'"]),
        ("servers = {lab = {base_url = 3}}", 1, ["base_url"]),
        (
            "[servers.lab]\nbase_url='http://a'\napi_key_env='A'\napi_key_file='b'",
            1,
            ["not both"],
        ),
        ('preset = "codee"', 1, ["'codee'", "qwen3-thinking"]),
        ('model = """\npreset = 3\n"""\nprest = "x"', 4, ["'prest'", "'preset'"]),
        ("[tui]\nenter = 'sned'", 2, ['"send" or "newline"']),
        ("[tui]\nattach_kib = 0", 2, ["attach_kib", "above 0"]),
        ("[tui]\nattach_kib = true", 2, ["attach_kib", "above 0"]),
        ("[tui]\ntitles = 1", 2, ["titles", "true or false"]),
        ("[tui]\nattach_kbi = 8", 2, ["'attach_kbi'", "'attach_kib'"]),
        ("[tui]\nsystem_prompt = 3", 2, ["system_prompt must be text"]),
        ("tui = 3", 1, ["[tui]"]),
        (b"a = '\xff'", 1, ["UTF-8"]),
    ],
)
def test_mistakes_name_file_line_and_remedy(
    tmp_path: Path, text: str | bytes, line: int, words: list[str]
) -> None:
    file = write_config(tmp_path, text)
    with pytest.raises(UsageError) as caught:
        loaded(tmp_path)
    said = str(caught.value)
    assert said.startswith(f"{file}:{line}: "), said
    for word in words:
        assert word in said
    assert "sk-abc" not in said


def test_broken_toml(tmp_path: Path) -> None:
    file = write_config(tmp_path, "model = \n")
    with pytest.raises(UsageError, match="line 1") as caught:
        loaded(tmp_path)
    assert str(file) in str(caught.value)


def test_a_folder_in_the_files_place(tmp_path: Path) -> None:
    (tmp_path / "config" / "config.toml").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"Can't read .*config\.toml"):
        loaded(tmp_path)


def test_a_mistyped_variable_is_refused_and_other_peoples_are_not(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"QCHAT_SEVER .*QCHAT_SERVER"):
        loaded(tmp_path, QCHAT_SEVER="lab")
    assert loaded(tmp_path, QCHAT_LAB_KEY="x").server is None


def test_an_unknown_preset_in_a_variable(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^QCHAT_PRESET: .*'nope'"):
        loaded(tmp_path, QCHAT_PRESET="nope")


def test_private_dir(tmp_path: Path) -> None:
    made = settings.private_dir(tmp_path / "a" / "b")
    assert stat.S_IMODE(made.stat().st_mode) == 0o700
    assert stat.S_IMODE(made.parent.stat().st_mode) == 0o700
    assert settings.private_dir(made) == made
    (tmp_path / "file").touch()
    for bad in (tmp_path / "file", tmp_path / "file" / "c"):
        with pytest.raises(UsageError, match="Can't make the folder"):
            settings.private_dir(bad)


def config(home: Path, *args: str, **environ: str) -> str:
    env = {"QCHAT_HOME": str(home), "OPENAI_BASE_URL": "", "OPENAI_API_KEY": "", **environ}
    result = CliRunner().invoke(cli.main, ["config", *args], env=env, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_init_writes_a_private_file_once(tmp_path: Path) -> None:
    file = tmp_path / "config" / "config.toml"
    assert str(file) in config(tmp_path, "init")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_text("model = 'mine'\n")
    with pytest.raises(UsageError, match="left as it is"):
        config(tmp_path, "init")
    assert file.read_text() == "model = 'mine'\n"


def test_the_file_of_init_is_valid_and_so_is_every_line_of_it(tmp_path: Path) -> None:
    config(tmp_path, "init")
    assert loaded(tmp_path).where("model") == "default"
    text = (tmp_path / "config" / "config.toml").read_text()
    examples = [
        line.removeprefix("# ")
        for line in text.splitlines()
        if line.startswith(("# [servers", "# [tui"))
        or (" = " in line and "api_key_file" not in line)
    ]
    write_config(tmp_path, "\n".join(examples))
    got = loaded(tmp_path)
    assert got.server in got.servers and got.model and got.preset
    names = {k.name for k in settings.KEYS} | set(settings.TUI_KEYS)
    assert {line.split(" ")[0] for line in examples} >= names
    assert got.tui == settings.TuiSettings(keys={"new": "ctrl+n"}) and got.where(
        "tui.enter"
    ).startswith(str(tmp_path))


def test_the_section_of_the_chat(tmp_path: Path) -> None:
    file = write_config(
        tmp_path, '[tui]\nenter = "newline"\nattach_kib = 8\nsystem_prompt = "terse"\n'
    )
    got = loaded(tmp_path)
    assert got.tui == settings.TuiSettings("newline", 8, system_prompt="terse")
    assert got.where("tui.attach_kib") == f"{file}:3"
    assert f"{file}:2" in config(tmp_path)


def test_show_names_values_and_origins_and_masks_keys(tmp_path: Path) -> None:
    file = write_config(
        tmp_path,
        'server = "lab"\n[servers.lab]\nbase_url = "http://lab:8000"\napi_key_env = "LAB_KEY"\n',
    )
    shown = config(tmp_path, LAB_KEY="sk-very-secret", QCHAT_MODEL="m")
    assert "sk-very-secret" not in shown and "****" in shown
    assert f"{file}:1" in shown and "QCHAT_MODEL" in shown and "default" in shown
    assert "http://lab:8000/v1" in shown
    assert "LAB_KEY is not set" in config(tmp_path)


def test_a_key_in_the_place_of_a_variables_name_is_not_printed(tmp_path: Path) -> None:
    for wrong in ("sk-abc-123", "skabc123"):
        write_config(tmp_path, f"[servers.lab]\nbase_url = 'http://lab'\napi_key_env = '{wrong}'\n")
        assert wrong not in config(tmp_path)


def test_path(tmp_path: Path) -> None:
    assert config(tmp_path, "path") == f"{tmp_path}/config/config.toml\n"
