"""The checkpoint: a safetensors file and its record, from disk or from a hub."""

from __future__ import annotations

import hashlib
import json
import math
import os
import pickle
import runpy
import shutil
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import huggingface_hub.constants as hub_constants
import pytest
import segmentation_models_pytorch as smp
import torch
from safetensors.torch import load_file, save, save_file

from lgg_demo.intensity import NORMALISATION
from lgg_demo.network import checkpoint
from lgg_demo.network.checkpoint import load_checkpoint, save_checkpoint
from lgg_demo.network.checkpoint_files import CHECKPOINT, WEIGHTS, amend_record, find_checkpoint, write_checkpoint
from lgg_demo.network.inference import TorchEngine
from lgg_demo.network.record import CheckpointError, NetworkSettings, Record, lineage
from lgg_demo.network.segmenter import Segmenter
from lgg_demo.network.unet import build_network

SMALL = NetworkSettings(decoder_channels=(16, 8, 8, 8, 4))


def refused(name: str | Path | None) -> str:
    """The one sentence with which a checkpoint is refused."""
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(name)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    path = tmp_path / CHECKPOINT
    save_checkpoint(path, build_network(SMALL).eval(), SMALL, {"threshold": 0.5, "intended_use": "tests"})
    return path


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A network that is made in no time, where only its record and its bytes matter."""
    made = NetworkSettings(family="seed", width=1)
    save_checkpoint(tmp_path / CHECKPOINT, build_network(made), made, {"threshold": 0.5})
    return tmp_path / CHECKPOINT


def read_record(path: Path) -> dict[str, Any]:
    return dict(json.loads(path.with_suffix(".json").read_text(encoding="utf-8")))


def rewrite(path: Path, **changes: Any) -> None:
    """Change entries of a checkpoint's record; None takes one away."""
    beside = path.with_suffix(".json")
    record = read_record(path) | changes
    beside.write_text(json.dumps({k: v for k, v in record.items() if v is not None}))


# The checkpoint


def test_round_trip_in_half_precision(saved: Path) -> None:
    torch.manual_seed(0)
    before = build_network(SMALL).eval()
    after, record = load_checkpoint(saved)
    assert not after.training
    assert {v.dtype for v in load_file(saved).values()} == {torch.float16}
    assert {p.dtype for p in after.parameters()} == {torch.float32}
    x = torch.rand(2, 3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(torch.sigmoid(after(x)), torch.sigmoid(before(x)), atol=5e-3, rtol=0)
    built_from = {"encoder": SMALL.encoder, "decoder_channels": [16, 8, 8, 8, 4]}
    assert record["network"] == {"family": "smp"} | built_from
    assert record["normalisation"] == NORMALISATION
    assert record["threshold"] == 0.5 == Segmenter(TorchEngine(after, Record.of(record)), record).threshold
    assert record["name"] == "lgg-unet"
    assert record["sha256"] == hashlib.sha256(saved.read_bytes()).hexdigest()
    assert sorted(p.name for p in saved.parent.iterdir()) == ["lgg-unet.json", "lgg-unet.safetensors"]


def test_a_pickle_is_never_loaded(saved: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    for save_trap in (torch.save, lambda trap, path: path.write_bytes(pickle.dumps(trap))):
        save_trap({"trap": Trap()}, saved)
        rewrite(saved, sha256=hashlib.sha256(saved.read_bytes()).hexdigest())  # whoever changes one can change the other
        assert refused(saved) == f"{saved} is damaged, or no safetensors file."
    assert not (tmp_path / "sprung").exists()


def signed(path: Path, state: dict[str, torch.Tensor]) -> Path:
    """Put other weights in a checkpoint's place, with their own SHA-256 in the record."""
    write_checkpoint(path, save(state), read_record(path))
    return path


def test_weights_that_do_not_fit_are_refused(saved: Path) -> None:
    state = load_file(saved)
    assert "does not fit the network that its record describes" in refused(
        signed(saved, {k: v for k, v in state.items() if k != "encoder.conv_stem.weight"})
    )
    assert "does not fit" in refused(signed(saved, state | {"more": torch.zeros(1)}))
    signed(saved, state)
    rewrite(saved, network={"encoder": SMALL.encoder, "decoder_channels": [32, 16, 8, 8, 4]})
    with warnings.catch_warnings():  # smp's own, of thirty lines
        warnings.simplefilter("error", UserWarning)
        assert "does not fit" in refused(saved)
    for encoder in ("no-such", ""):
        rewrite(saved, network={"encoder": encoder, "decoder_channels": [16, 8, 8, 8, 4]})
        assert "describes a network that cannot be built" in refused(saved)


@pytest.mark.parametrize("damage", ["one bit", "cut", "longer", "empty", "another's"])
def test_damaged_weights_are_refused(tiny: Path, damage: str) -> None:
    content = tiny.read_bytes()
    made = NetworkSettings(family="seed", width=1)
    save_checkpoint(tiny.parent / "other.safetensors", build_network(made), made, {})
    damaged = {
        "one bit": content[:-1] + bytes([content[-1] ^ 1]),  # of a value, which safetensors cannot check
        "cut": content[:-100],
        "longer": content + b"0",
        "empty": b"",
        "another's": (tiny.parent / "other.safetensors").read_bytes(),
    }
    tiny.write_bytes(damaged[damage])
    assert "its SHA-256 is not the one in lgg-unet.json" in refused(tiny)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_neither_served_nor_written(saved: Path, value: float) -> None:
    state = load_file(saved)
    state["encoder.conv_stem.weight"][0, 0, 0, 0] = value
    assert "not finite" in refused(signed(saved, state))
    before = saved.read_bytes()
    network = build_network(SMALL)
    with torch.no_grad():
        next(network.parameters())[0] = 1e6 if value == math.inf else value  # too large for half precision
    with pytest.raises(CheckpointError, match="no longer finite"):
        save_checkpoint(saved, network, SMALL, {})
    assert saved.read_bytes() == before


@pytest.mark.parametrize("text", ["", '{"format": 1', "[]", "\udcff", "[" * 100_000, "9" * 10_000])
def test_a_damaged_record_is_refused(tiny: Path, text: str) -> None:
    tiny.with_suffix(".json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "is not a record of this project" in refused(tiny)
    tiny.with_suffix(".json").unlink()
    assert f"{tiny.with_suffix('.json')} is missing" in refused(tiny)


def test_a_long_line_of_networks_is_read_or_refused(tiny: Path) -> None:
    """Each began from the one before; Python's limit of recursion is no concern of the user's."""
    beside, alone = tiny.with_suffix(".json"), json.dumps(read_record(tiny))[:-1]
    for legs in (100, 900, 5000):
        beside.write_text(alone + ', "begun_from": ' + '{"begun_from": ' * legs + '{"epoch": 1}' + "}" * (legs + 1))
        try:
            assert len(lineage(load_checkpoint(tiny)[1])) == legs + 2
        except CheckpointError as error:
            assert legs > 100 and "is not a record" in str(error)


def test_a_record_without_a_digest_gets_one_by_command(tiny: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Of an earlier version: nothing is served that nobody vouches for."""
    before = read_record(tiny)
    rewrite(tiny, sha256=None)
    assert f"`python -m lgg_demo.network.checkpoint {tiny}`" in refused(tiny)
    assert checkpoint.main([str(tiny.parent)]) == 0
    assert read_record(tiny) == before
    load_checkpoint(tiny)
    tiny.write_bytes(tiny.read_bytes()[:-1])  # damaged, and with a digest: that is not written anew
    assert checkpoint.main([str(tiny)]) == 2
    rewrite(tiny, sha256=None)  # damaged so that no network can be built
    assert checkpoint.main([str(tiny)]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "SHA-256" in said[0] and "is damaged" in said[1]


class Killed(BaseException):
    """What nothing catches."""


def steps_until(monkeypatch: pytest.MonkeyPatch, last: int) -> None:
    """Die before the `last` write or rename; of a write that is cut short half of the bytes are there."""
    done = iter(range(1, 1000))
    replace = Path.replace

    def dying_replace(self: Path, target: Path) -> Path:
        if next(done) >= last:
            raise Killed
        return replace(self, target)

    def dying_sync(descriptor: int) -> None:
        if next(done) >= last:
            os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            raise Killed

    monkeypatch.setattr(Path, "replace", dying_replace)
    monkeypatch.setattr(os, "fsync", dying_sync)


@pytest.mark.parametrize("last", range(1, 7))
@pytest.mark.parametrize("first", [False, True])
def test_killed_while_it_is_written_a_checkpoint_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, last: int, first: bool
) -> None:
    """At each write and rename: two renames and a rename of the record beside, two writes, and after the last of them."""
    path = tmp_path / CHECKPOINT
    made = NetworkSettings(family="seed", width=1)
    networks = [build_network(made) for _ in range(3)]
    if not first:
        save_checkpoint(path, networks[0], made, {"epoch": 1})
    with monkeypatch.context() as patch:
        steps_until(patch, last)
        if last < 6:
            with pytest.raises(Killed):
                save_checkpoint(path, networks[1], made, {"epoch": 2})
        else:
            save_checkpoint(path, networks[1], made, {"epoch": 2})
    if first and last < 5:  # until the weights are in place
        assert not path.exists()
    else:
        network, record = load_checkpoint(path)
        assert record["epoch"] == (2 if last >= 5 else 1)
        weight = networks[record["epoch"] - 1].state_dict()["head.weight"].half().float()
        assert torch.equal(network.state_dict()["head.weight"], weight)
        amend_record(path, resumed_after_epochs=[1])
        assert load_checkpoint(path)[1]["epoch"] == record["epoch"]
        assert sorted(p.suffix for p in tmp_path.iterdir() if p.suffix != ".part") == [".json", ".safetensors"]
    save_checkpoint(path, networks[2], made, {"epoch": 3})
    assert load_checkpoint(path)[1]["epoch"] == 3
    assert sorted(p.suffix for p in tmp_path.iterdir()) == [".json", ".safetensors"]


@pytest.mark.parametrize("damage", ["weights", "none"])
def test_the_app_says_why_it_does_not_start(
    tiny: Path, damage: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if damage == "weights":
        tiny.write_bytes(tiny.read_bytes()[:-1])
    else:
        tiny.unlink()
    monkeypatch.setenv("LGG_DEMO_CHECKPOINT", str(tiny))
    with pytest.raises(SystemExit) as caught:
        runpy.run_path(str(WEIGHTS.parent / "app.py"), run_name="__main__")
    assert caught.value.code == 2
    said = capsys.readouterr().err
    assert said.startswith("app: ") and len(said.strip().splitlines()) == 1


def test_a_name_that_cannot_be_looked_for_is_one_sentence() -> None:
    for name in ("a" * 5000, "a/" + "b" * 5000, "\0"):
        assert "heckpoint" in refused(name)


def test_a_checkpoint_is_found_by_file_by_folder_and_by_environment(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_checkpoint(tiny) == find_checkpoint(str(tiny)) == find_checkpoint(tiny.parent) == tiny
    monkeypatch.delenv("LGG_DEMO_CHECKPOINT", raising=False)
    assert find_checkpoint() == WEIGHTS / CHECKPOINT
    monkeypatch.setenv("LGG_DEMO_CHECKPOINT", str(tiny))
    assert find_checkpoint() == tiny
    for missing in (tiny.parent / "other.safetensors", "./none", "none"):
        with pytest.raises(CheckpointError, match="There is no checkpoint at"):
            find_checkpoint(missing)


# The Hub: a server on loopback that answers as huggingface.co does where a file is resolved


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder whose owner/name/FILE are served as repositories."""
    folder = tmp_path / "hub"

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            owner, name, resolve, _, *rest = self.path.lstrip("/").split("/")
            path = folder.joinpath(owner, name, *rest)
            if resolve != "resolve" or not path.is_file():
                self.send_response(404)
                self.send_header("X-Error-Code", "EntryNotFound" if path.parent.is_dir() else "RepoNotFound")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            content = path.read_bytes()
            self.send_response(200)
            self.send_header("X-Repo-Commit", "0123456789abcdef" * 2 + "01234567")
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    use_hub(monkeypatch, f"http://127.0.0.1:{server.server_port}", tmp_path / "cache")
    yield folder
    server.shutdown()
    server.server_close()


def use_hub(monkeypatch: pytest.MonkeyPatch, address: str, cache: Path) -> None:
    """What HF_ENDPOINT and HF_HUB_CACHE would do at the start of the process."""
    monkeypatch.setattr(hub_constants, "ENDPOINT", address)
    monkeypatch.setattr(hub_constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setattr(hub_constants, "HF_HUB_CACHE", str(cache))
    monkeypatch.setattr(hub_constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN", raising=False)


def test_a_checkpoint_comes_from_the_hub_and_a_damaged_one_is_refused(tiny: Path, hub: Path) -> None:
    for name in ("whole", "damaged"):
        (hub / "owner" / name).mkdir(parents=True)
        for path in (tiny, tiny.with_suffix(".json")):
            shutil.copy(path, hub / "owner" / name)
    assert load_checkpoint("owner/whole")[1] == load_checkpoint(tiny)[1]
    (hub / "owner" / "damaged" / CHECKPOINT).write_bytes(tiny.read_bytes()[:-1] + b"?")
    assert "its SHA-256 is not the one in" in refused("owner/damaged")


def test_imagenet_weights_come_from_smps_own_repository(hub: Path) -> None:
    """smp asks the hub for a repository of its own; here it holds other weights, which must arrive."""
    repository = hub / smp.encoders.encoders[SMALL.encoder]["pretrained_settings"]["imagenet"]["repo_id"]
    repository.mkdir(parents=True)
    (repository / "config.json").write_text("{}")
    state = build_network(SMALL).get_submodule("encoder").state_dict()
    save_file(state, repository / "model.safetensors")
    arrived = build_network(SMALL, "imagenet").get_submodule("encoder").state_dict()
    assert all(torch.equal(value, state[name]) for name, value in arrived.items())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("owner/other", "RepositoryNotFoundError"),
        ("owner/half", "RemoteEntryNotFoundError"),
        ("no such name/at all", "HFValidationError"),
    ],
)
def test_what_the_hub_does_not_have_gets_one_sentence(hub: Path, name: str, kind: str) -> None:
    (hub / "owner" / "half").mkdir(parents=True)
    (hub / "owner" / "half" / "lgg-unet.json").write_text("{}")
    assert refused(name).startswith(f"There is no checkpoint at {name}, and none could be downloaded from a Hub")
    assert kind in refused(name)


def test_a_hub_out_of_reach_gets_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    use_hub(monkeypatch, "http://127.0.0.1:1", tmp_path)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # between its retries
    assert "none could be downloaded" in refused("owner/lgg-unet")
    with pytest.raises(CheckpointError, match=r"could not be downloaded \(LocalEntryNotFoundError\)"):
        build_network(SMALL, "imagenet")
