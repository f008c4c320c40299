"""Recipes from elsewhere: checked, written, listed, and removed again."""

import datetime
import json
import os
from pathlib import Path

import pytest

from qchat import cli
from qchat.engine.recipes.catalog import (
    Precision,
    RecipeError,
    bundled_recipes,
    find_recipe,
    load_recipes,
    own_file,
    own_recipes,
)
from qchat.engine.recipes.recipe_update import remove_update, update_recipes
from qchat.errors import UsageError
from qchat.settings import Paths
from tests.engine.file_server import file_server

TODAY = datetime.date(2026, 11, 26)
OURS = """
source = "a page"
date = "2026-01-01"
[[recipe]]
name = "NAME"
mode = "instruct"
active_b = 1
layers = 2
kv_heads = 1
head_dim = 64
context = 4096
tool_parser = "hermes"
[recipe.variants]
bf16 = { model = "org/NAME", weights_mib = 2000, most_gpus = 1 }
"""
THEIRS = """
meta: {tasks: [text], date_updated: 2026-03-04}
model:
  model_id: ID
  min_vllm_version: "0.20.0"
  parameter_count: "9B"
  context_length: 131072
  base_args: ["--trust-remote-code", "--block-size", "128", "--host", "0.0.0.0"]
features:
  tool_calling: {args: ["--enable-auto-tool-choice", "--tool-call-parser", "mimo"]}
  reasoning: {args: ["--reasoning-parser", "mimo"]}
variants:
  default: {precision: bf16, vram_minimum_gb: 24}
  fp8: {precision: fp8, model_id: org/New-9B-FP8, vram_minimum_gb: 12}
  odd: {precision: int2, vram_minimum_gb: 3}
"""


@pytest.fixture
def paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Paths:
    monkeypatch.setenv("QCHAT_HOME", str(tmp_path / "home"))
    return Paths.find()


def ours(path: Path, name: str = "New-1B", text: str = OURS) -> Path:
    path.write_text(text.replace("NAME", name), "utf-8")
    return path


def theirs(folder: Path, model: str = "org/New-9B", text: str = THEIRS) -> Path:
    owner, name = model.split("/")
    (folder / "models" / owner).mkdir(parents=True, exist_ok=True)
    (folder / "models" / owner / f"{name}.yaml").write_text(text.replace("ID", model), "utf-8")
    return folder


class TestOwnForm:
    def test_a_file(self, paths: Paths, tmp_path: Path) -> None:
        update = update_recipes(str(ours(tmp_path / "mine.toml")), paths, TODAY)
        assert [recipe.name for recipe in update.recipes] == ["New-1B"] and not update.replaced
        match = find_recipe("org/new-1b")
        assert match is not None and match.recipe.origin.endswith("mine.toml (2026-11-26)")
        assert len(load_recipes()) == len(bundled_recipes()) + 1
        assert own_file(paths).stat().st_mode & 0o777 == 0o600

    def test_a_folder(self, paths: Paths, tmp_path: Path) -> None:
        folder = tmp_path / "many"
        folder.mkdir()
        ours(folder / "a.toml", "A-1B")
        ours(folder / "b.toml", "B-1B")
        (folder / "README.md").write_text("no recipe")
        update = update_recipes(str(folder), paths, TODAY)
        assert [recipe.name for recipe in update.recipes] == ["A-1B", "B-1B"]

    def test_one_of_the_same_name_replaces_the_bundled(self, paths: Paths, tmp_path: Path) -> None:
        update = update_recipes(str(ours(tmp_path / "x.toml", "qwen3-8b")), paths, TODAY)
        assert update.replaced == ["qwen3-8b"]
        match = find_recipe("Qwen3-8B")
        assert match is not None and match.recipe.layers == 2
        assert len(load_recipes()) == len(bundled_recipes())

    def test_the_demo_stays(self, paths: Paths, tmp_path: Path) -> None:
        file = tmp_path / "x.toml"
        file.write_text(OURS.replace("NAME", "A-1B") + OURS.partition("[[")[2].join(["[[", ""]))
        text = file.read_text().replace("NAME", "demo", 1).replace("NAME", "x")
        file.write_text(text)
        update = update_recipes(str(file), paths, TODAY)
        assert [recipe.name for recipe in update.recipes] == ["A-1B"]
        match = find_recipe("demo")
        assert match is not None and match.recipe.variants[Precision.BF16].model == "demo"

    def test_an_update_replaces_the_last_and_is_removed(self, paths: Paths, tmp_path: Path) -> None:
        update_recipes(str(ours(tmp_path / "a.toml", "A-1B")), paths, TODAY)
        update_recipes(str(ours(tmp_path / "b.toml", "B-1B")), paths, TODAY)
        assert [recipe.name for recipe in own_recipes()] == ["B-1B"]
        assert remove_update(paths) is True
        assert remove_update(paths) is False
        assert load_recipes() == bundled_recipes()

    @pytest.mark.parametrize(
        ("text", "reason"),
        [
            (OURS.replace("layers = 2", "layers = -2"), "layers is not a positive"),
            (OURS.replace("org/NAME", "./NAME"), "not an id on the model hub"),
            (OURS + OURS.partition('2026-01-01"')[2], "twice"),
            ("recipe = []", "no recipe in it"),
            ("x = ", "Invalid value"),
            ("a" * (2 << 20), "too large"),
        ],
    )
    def test_nothing_changes_where_it_is_not_valid(
        self, paths: Paths, tmp_path: Path, text: str, reason: str
    ) -> None:
        update_recipes(str(ours(tmp_path / "good.toml")), paths, TODAY)
        with pytest.raises(UsageError, match=f"bad.toml.*{reason}.*Nothing was changed"):
            update_recipes(str(ours(tmp_path / "bad.toml", text=text)), paths, TODAY)
        assert [recipe.name for recipe in own_recipes()] == ["New-1B"]

    def test_links_and_other_files_are_not_read(self, paths: Paths, tmp_path: Path) -> None:
        secret = ours(tmp_path / "outside.toml", "Outside-1B")
        folder = tmp_path / "folder"
        folder.mkdir()
        ours(folder / "inside.toml", "Inside-1B")
        (folder / "link.toml").symlink_to(secret)
        os.mkfifo(folder / "pipe.toml")
        update = update_recipes(str(folder), paths, TODAY)
        assert [recipe.name for recipe in update.recipes] == ["Inside-1B"]
        with pytest.raises(UsageError, match="no regular file"):
            update_recipes(str(folder / "pipe.toml"), paths, TODAY)

    def test_no_such_source(self, paths: Paths, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match="No such file"):
            update_recipes(str(tmp_path / "none"), paths, TODAY)


class TestUrl:
    def test_a_file(self, paths: Paths) -> None:
        with file_server({"/r.toml": OURS.replace("NAME", "Web-1B").encode()}) as server:
            update = update_recipes(f"{server.url}/r.toml", paths, TODAY)
            assert [recipe.name for recipe in update.recipes] == ["Web-1B"]
            with pytest.raises(UsageError, match="HTTP 404"):
                update_recipes(f"{server.url}/none.toml", paths, TODAY)
        with pytest.raises(UsageError, match="refused"):
            update_recipes(f"{server.url}/r.toml", paths, TODAY)

    def test_a_redirect_is_not_followed(self, paths: Paths) -> None:
        with (
            file_server({"/r.toml": OURS.encode()}) as other,
            file_server({}, redirects={"/r.toml": f"{other.url}/r.toml"}) as server,
            pytest.raises(UsageError, match="HTTP 302"),
        ):
            update_recipes(f"{server.url}/r.toml", paths, TODAY)
        assert not other.requests

    @pytest.mark.parametrize("url", ["http://192.0.2.1/r.toml", "file:///etc/passwd", "ftp://x/y"])
    def test_only_https(self, paths: Paths, url: str) -> None:
        with pytest.raises(UsageError, match="only https"):
            update_recipes(url, paths, TODAY)

    def test_too_large(self, paths: Paths) -> None:
        with (
            file_server({"/r.toml": b"#" * (9 << 20)}) as server,
            pytest.raises(UsageError, match="more than"),
        ):
            update_recipes(f"{server.url}/r.toml", paths, TODAY)


class TestCheckout:
    def test_a_new_model(self, paths: Paths, tmp_path: Path) -> None:
        update = update_recipes(str(theirs(tmp_path / "repo")), paths, TODAY)
        (recipe,) = update.recipes
        assert (recipe.name, recipe.context, recipe.date) == ("New-9B", 131072, "2026-03-04")
        assert (recipe.reasoning_parser, recipe.tool_parser) == ("mimo", "mimo")
        assert recipe.min_vllm == "0.20.0" and recipe.active_b == 9
        assert recipe.options == (("block-size", "128"),)  # no code, no address
        assert recipe.variants[Precision.BF16].weights_mib == pytest.approx(20e9 / 2**20, abs=1)
        assert recipe.variants[Precision.FP8].model == "org/New-9B-FP8"
        assert recipe.kv_bytes() == 160 << 10

    def test_a_known_one_keeps_its_shape_and_what_is_not_mentioned(
        self, paths: Paths, tmp_path: Path
    ) -> None:
        update = update_recipes(str(theirs(tmp_path, "Qwen/Qwen3-8B")), paths, TODAY)
        match = find_recipe("Qwen3-8B")
        assert match is not None and update.replaced == ["Qwen3-8B"]
        recipe = match.recipe
        assert recipe.kv_bytes() == 144 << 10 and recipe.yarn is not None
        assert recipe.variants[Precision.BF16].basis == "measured"
        assert recipe.variants[Precision.INT4].model == "Qwen/Qwen3-8B-AWQ"
        assert recipe.tool_parser == "mimo"

    @pytest.mark.parametrize(
        ("before", "after", "skipped"),
        [
            ("[text]", "[omni]", []),
            ("context_length: 131072", "context_length: many", ["context is not a positive"]),
            ("mimo]", "'a b']", ["reasoning_parser has an invalid"]),
            ("model_id: ID", "model_id: /etc/x", ["not an id on the model hub"]),
            ("model:", "model: [", ["while parsing"]),
            ("variants:", "others:", ["no weights"]),
        ],
    )
    def test_what_is_left_out(
        self, paths: Paths, tmp_path: Path, before: str, after: str, skipped: list[str]
    ) -> None:
        text = THEIRS.replace('"mimo"]', "mimo]")
        assert before in text
        theirs(tmp_path, "org/Good-9B")
        theirs(tmp_path, "org/Bad-9B", text.replace(before, after))
        update = update_recipes(str(tmp_path), paths, TODAY)
        assert [recipe.name for recipe in update.recipes] == ["Good-9B"]
        assert len(update.skipped) == len(skipped)
        assert all(part in line for part, line in zip(skipped, update.skipped, strict=True))

    def test_a_link_to_a_folder_is_not_followed(self, paths: Paths, tmp_path: Path) -> None:
        theirs(tmp_path / "repo")
        theirs(tmp_path / "outside", "evil/Bad-9B")
        (tmp_path / "repo" / "models" / "evil").symlink_to(tmp_path / "outside" / "models" / "evil")
        update = update_recipes(str(tmp_path / "repo"), paths, TODAY)
        assert [recipe.name for recipe in update.recipes] == ["New-9B"]

    def test_yaml_makes_no_objects(self, paths: Paths, tmp_path: Path) -> None:
        theirs(tmp_path, "org/Good-9B")
        theirs(tmp_path, "org/Bad-9B", "model: !!python/object/apply:os.system ['false']")
        update = update_recipes(str(tmp_path), paths, TODAY)
        assert len(update.skipped) == 1


class TestCommand:
    def test_to_and_fro(
        self, paths: Paths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source = str(ours(tmp_path / "mine.toml"))
        assert cli.run(["recipes", "--update", source]) == 0
        assert f"1 recipe taken from {source}" in capsys.readouterr().out
        assert cli.run(["recipes"]) == 0
        assert "1 recipe is not qchat's own: from" in capsys.readouterr().out
        assert cli.run(["recipes", "--explain", "New-1B"]) == 0
        out = capsys.readouterr().out
        assert "source: a page, 2026-01-01" in out and "added by qchat recipes --update" in out
        assert cli.run(["recipes", "--json"]) == 0
        origins = [one["origin"] for one in json.loads(capsys.readouterr().out)["recipes"]]
        assert len([origin for origin in origins if origin]) == 1
        assert cli.run(["recipes", "--update", "none"]) == 0
        assert not own_file(paths).exists()

    def test_a_damaged_file_is_told_and_does_not_hinder(
        self, paths: Paths, capsys: pytest.CaptureFixture[str]
    ) -> None:
        own_file(paths).parent.mkdir(parents=True)
        for content in ("{", "[]", '{"recipe": [{"name": "x"}]}', "[" * 100_000):
            own_file(paths).write_text(content)
            with pytest.raises(RecipeError, match="--update none"):
                own_recipes()
            assert load_recipes() == bundled_recipes()
        assert cli.run(["recipes"]) == 0
        assert "can't be read" in capsys.readouterr().out

    def test_a_bad_source(self, paths: Paths, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.run(["recipes", "--update", "/no/\x1b[31mwhere"]) == 2
        assert "Nothing was changed" in capsys.readouterr().err
