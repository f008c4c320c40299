"""A model's config and the size of its weights, from a folder, the cache and a hub."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from qchat.engine.fit.model_needs import needs_of_reading
from qchat.engine.models.model_reading import read_local, read_model
from qchat.engine.models.model_weights import Weights, read_header, read_weights, size_of_files
from tests.engine import model_configs
from tests.engine.file_server import file_server

NAME = "org/model"


def write_tensors(file: Path, tensors: Mapping[str, tuple[str, int]]) -> None:
    """Write a safetensors file with a header for `tensors`, and no weights behind it."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, (dtype, size) in tensors.items():
        header[name] = {"dtype": dtype, "shape": [size], "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    file.write_bytes(len(text).to_bytes(8, "little") + text)


def write_index(folder: Path, names: list[str], total: object) -> None:
    """Write an index of the files `names`, which says that all tensors have `total` bytes."""
    weight_map = {name: f"{name}.safetensors" for name in names}
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def write_model(folder: Path, config: Mapping[str, Any] | None = None) -> Path:
    folder.mkdir(parents=True)
    values = model_configs.raw("Qwen/Qwen3-8B") if config is None else config
    (folder / "config.json").write_text(json.dumps(values))
    write_tensors(folder / "model.safetensors", {"model.layers.0.x": ("BF16", 16 << 20)})
    return folder


class TestWeights:
    def test_by_data_type(self, tmp_path: Path) -> None:
        write_tensors(tmp_path / "a.safetensors", {"x": ("F8_E4M3", 700), "y": ("BF16", 200)})
        write_tensors(tmp_path / "b.safetensors", {"z": ("F8_E4M3", 100)})
        weights = read_weights(tmp_path)
        assert weights == Weights(1000, {"F8_E4M3": 800, "BF16": 200})
        assert weights.dtype == "F8_E4M3"

    def test_only_the_files_of_the_index(self, tmp_path: Path) -> None:
        for name in ("one", "two"):
            write_tensors(tmp_path / f"{name}.safetensors", {"x": ("BF16", 1000)})
        index = {"weight_map": {"x": "one.safetensors"}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
        weights = read_weights(tmp_path)
        assert weights is not None and weights.stored_bytes == 1000

    @pytest.mark.parametrize("present", [[], ["one"], ["one", "pointer"]])
    def test_files_that_are_missing_count_by_the_index(
        self, tmp_path: Path, present: list[str]
    ) -> None:
        write_index(tmp_path, ["one", "pointer", "three"], 5000)
        for name in present:
            write_tensors(tmp_path / f"{name}.safetensors", {"x": ("BF16", 1000)})
        if "pointer" in present:
            (tmp_path / "pointer.safetensors").write_bytes(b"version https://git-lfs.github.com")
        assert read_weights(tmp_path) == Weights(5000, is_complete=False)

    @pytest.mark.parametrize("total", [None, "5000", -1, True, float("inf"), 1e300])
    def test_an_index_that_does_not_tell(self, tmp_path: Path, total: object) -> None:
        write_index(tmp_path, ["one", "two"], total)
        write_tensors(tmp_path / "one.safetensors", {"x": ("BF16", 1000)})
        assert read_weights(tmp_path) is None
        write_tensors(tmp_path / "two.safetensors", {"y": ("BF16", 1000)})
        assert read_weights(tmp_path) == Weights(2000, {"BF16": 2000})

    def test_weights_that_only_speculative_decoding_loads(self, tmp_path: Path) -> None:
        write_tensors(
            tmp_path / "m.safetensors",
            {
                "model.layers.60.mlp": ("BF16", 1000),
                "model.layers.61.mlp": ("BF16", 500),
                "mtp.fc": ("BF16", 300),
                "model.visual.layers.61.mlp": ("BF16", 10),
            },
        )
        weights = read_weights(tmp_path, layers=61)
        assert weights is not None and weights.stored_bytes == 1010

    def test_32_bits_are_loaded_in_16(self) -> None:
        assert Weights(1000 << 20, {"F32": 1000 << 20}).mib == 500
        assert Weights(1000 << 20, {"BF16": 900 << 20, "F32": 100 << 20}).mib == 1000

    def test_other_formats_count_by_their_size(self, tmp_path: Path) -> None:
        (tmp_path / "pytorch_model.bin").write_bytes(bytes(1000))
        assert read_weights(tmp_path) == Weights(1000)

    @pytest.mark.parametrize(
        "content", [b"", b"short", (1 << 40).to_bytes(8, "little"), b"\x05" + bytes(7) + b"[1,2]"]
    )
    def test_damaged(self, tmp_path: Path, content: bytes) -> None:
        file = tmp_path / "model.safetensors"
        file.write_bytes(content)
        assert read_header(file) is None
        assert read_weights(tmp_path) == (Weights(len(content)) if content else None)

    def test_of_a_repository(self) -> None:
        files = [("model-1.safetensors", 700), ("model-2.safetensors", 300), ("README.md", 5)]
        assert size_of_files(files) == Weights(1000)
        twice = [*files, ("consolidated.safetensors", 1000), ("original/x.safetensors", 9)]
        assert size_of_files(twice) == Weights(1000)
        assert size_of_files([("README.md", 5)]) is None


class TestLocal:
    def test_the_demo_model(self) -> None:
        reading = read_local("demo", {})
        assert reading.config is not None and reading.weights is not None
        assert reading.config.kv_cache.token_bytes() == 4 * 2 * 64 * 2
        assert reading.weights.by_dtype == {"BF16": reading.weights.stored_bytes}

    def test_a_folder(self, tmp_path: Path) -> None:
        reading = read_local(str(write_model(tmp_path / "m")), {})
        needs = needs_of_reading(reading)
        assert needs is not None and reading.problem is None
        assert (needs.name, needs.precision, needs.weights_mib) == ("m", "bf16", 16)

    def test_a_folder_whose_weights_are_still_missing(self, tmp_path: Path) -> None:
        folder = write_model(tmp_path / "m")
        write_index(folder, ["one", "two"], 16 << 30)
        reading = read_local(str(folder), {})
        needs = needs_of_reading(reading)
        assert needs is not None and needs.weights_mib == 16 << 10
        assert reading.problem is not None and "not have all of its weights" in reading.problem

    def test_the_cache_of_the_hub(self, tmp_path: Path) -> None:
        folder = tmp_path / "models--org--model"
        write_model(folder / "snapshots" / "c0ffee")
        (folder / "refs").mkdir()
        (folder / "refs" / "main").write_text("c0ffee")
        reading = read_local(NAME, {"HF_HUB_CACHE": str(tmp_path)})
        assert reading.config is not None and reading.folder == folder / "snapshots" / "c0ffee"

    def test_overrides_go_into_the_config(self, tmp_path: Path) -> None:
        folder = str(write_model(tmp_path / "m", model_configs.raw("Qwen/Qwen3.5-27B")))
        reading = read_local(folder, {}, {"text_config": {"max_position_embeddings": 1_000_000}})
        assert reading.config is not None and reading.config.context == 1_000_000

    def test_the_quantisation_in_a_file_of_its_own(self, tmp_path: Path) -> None:
        folder = write_model(tmp_path / "m")
        (folder / "hf_quant_config.json").write_text(
            json.dumps({"quantization": {"quant_algo": "NVFP4", "kv_cache_quant_algo": "FP8"}})
        )
        needs = needs_of_reading(read_local(str(folder), {}))
        assert needs is not None
        assert (needs.precision, needs.kv_cache.token_bytes()) == ("nvfp4", 72 * 1024)

    def test_a_config_without_a_context(self, tmp_path: Path) -> None:
        values = {**model_configs.raw("Qwen/Qwen3-8B"), "model_type": "new"}
        del values["max_position_embeddings"]
        reading = read_local(str(write_model(tmp_path / "m", values)), {})
        assert needs_of_reading(reading) is None
        assert reading.why_unknown == "its config.json has no maximum context"

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", "[" * 100_000])
    def test_a_config_that_is_none(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "config.json").write_text(text)
        reading = read_local(str(tmp_path), {})
        assert reading.config is None and reading.problem is not None
        assert needs_of_reading(reading) is None


CONFIG, FILES = f"/{NAME}/resolve/main/config.json", f"/api/models/{NAME}"
SIZES = {"siblings": [{"rfilename": "model.safetensors", "size": 16 << 30}]}


def environ(url: str) -> dict[str, str]:
    return {"HF_ENDPOINT": f"{url}/", "HF_HUB_CACHE": "/nonexistent"}


class TestHub:
    def test_the_config_and_the_sizes(self) -> None:
        config = json.dumps(model_configs.raw("Qwen/Qwen3-8B")).encode()
        with file_server({CONFIG: config, FILES: json.dumps(SIZES).encode()}) as hub:
            reading = read_model(NAME, environ(hub.url) | {"HF_TOKEN": "hf_secret"})
        needs = needs_of_reading(reading)
        assert needs is not None and needs.weights_mib == 16 << 10
        tokens = {request.headers["Authorization"] for request in hub.requests}
        assert tokens == {"Bearer hf_secret"}

    @pytest.mark.parametrize(("total", "asked"), [(20 << 30, 0), (None, 2)])
    def test_a_cache_that_has_some_of_the_files(
        self, tmp_path: Path, total: int | None, asked: int
    ) -> None:
        """The index says the size; where it does not, the hub is asked."""
        cached = tmp_path / "models--org--model"
        snapshot = write_model(cached / "snapshots" / "c0ffee")
        (cached / "refs").mkdir()
        (cached / "refs" / "main").write_text("c0ffee")
        write_index(snapshot, ["model", "two"], total)
        config = json.dumps(model_configs.raw("Qwen/Qwen3-8B")).encode()
        with file_server({CONFIG: config, FILES: json.dumps(SIZES).encode()}) as hub:
            reading = read_model(NAME, environ(hub.url) | {"HF_HUB_CACHE": str(tmp_path)})
        needs = needs_of_reading(reading)
        assert needs is not None and reading.problem is None
        assert needs.weights_mib == (total or 16 << 30) >> 20
        assert len(hub.requests) == asked

    @pytest.mark.parametrize("content", [b"", b"no JSON", b"{}", b"[]"])
    def test_a_hub_that_does_not_tell(self, content: bytes) -> None:
        with file_server({CONFIG: content, FILES: b"{}"}) as hub:
            reading = read_model(NAME, environ(hub.url))
        assert needs_of_reading(reading) is None
        assert reading.problem == f"{hub.url} does not tell the size of {NAME}."

    @pytest.mark.parametrize("status", [401, 404, 500])
    def test_a_hub_that_refuses(self, status: int) -> None:
        with file_server({}, status=status) as hub:
            reading = read_model(NAME, environ(hub.url))
        assert reading.problem is not None and f"HTTP {status}" in reading.problem
        assert len(hub.requests) == 1

    def test_offline_it_is_not_asked(self) -> None:
        with file_server({}) as hub:
            reading = read_model(NAME, environ(hub.url) | {"HF_HUB_OFFLINE": "1"})
        assert hub.requests == []
        assert reading.problem == "org/model is not on this machine yet."

    def test_an_address_where_nothing_listens(self) -> None:
        with file_server({}) as hub:
            pass
        reading = read_model(NAME, environ(hub.url))
        assert reading.problem is not None and "refused" in reading.problem

    @pytest.mark.parametrize("endpoint", ["file:///etc", "nonsense", "ftp://host"])
    def test_only_http(self, endpoint: str) -> None:
        reading = read_model(NAME, environ(endpoint))
        assert reading.problem is not None and "not an http(s) address" in reading.problem
