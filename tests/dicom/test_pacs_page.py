"""What docs/pacs.md and docs/pacs/ say is what the command line takes, and what Orthanc and the node say of each other."""

from __future__ import annotations

import json
import re
import shlex
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import tyro
import yaml
from orthanc import Orthanc, basic, why_no_orthanc

from lgg_demo.dicom.__main__ import Command, Node
from lgg_demo.dicom.peers import read_peers

ROOT = Path(__file__).resolve().parents[2]
PAGE, FOLDER = ROOT / "docs" / "pacs.md", ROOT / "docs" / "pacs"


def given(arguments: list[str]) -> Any:
    """What the command line makes of some flags."""
    return tyro.cli(Command, args=arguments)  # type: ignore[call-overload]


def composed() -> dict[str, Any]:
    return dict(yaml.safe_load((FOLDER / "compose.yaml").read_text(encoding="utf-8")))


def configured() -> dict[str, Any]:
    return dict(json.loads((FOLDER / "orthanc.json").read_text(encoding="utf-8")))


def test_the_command_line_takes_what_the_page_says() -> None:
    blocks = "".join(re.findall(r"```bash\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL))
    lines = [line for line in blocks.splitlines() if line.startswith("python -m lgg_demo.dicom")]
    kinds = set()
    for command in (shlex.split(line, comments=True) for line in lines):
        arguments = command[3 : command.index("2>") if "2>" in command else None]
        if "--help" not in arguments:
            kinds.add(type(given(arguments)).__name__)
    assert kinds == {"Node", "Segment", "Store"}


def test_the_page_and_the_node_agree_on_names_and_ports() -> None:
    """The node is what Orthanc knows as lgg-demo, on the page and in the composition."""
    page = PAGE.read_text(encoding="utf-8")
    on_page = json.loads(page.partition("orthanc.json <<'END'\n")[2].partition("END")[0])
    node = given(["node", *composed()["services"]["node"]["command"][1:]])
    assert isinstance(node, Node)
    for config, host, archive in ((on_page, "127.0.0.1", "127.0.0.1"), (configured(), "node", "orthanc")):
        assert config["DicomModalities"] == {"lgg-demo": [node.aet, host, node.port]}
        peer = f"{config['DicomAet']}@{archive}:{config['DicomPort']}"
        assert peer in page if archive == "127.0.0.1" else peer == node.to.peer
    assert read_peers(FOLDER / "peers.toml").allowed == (("ORTHANC", "orthanc"),)


def test_what_the_composition_mounts_and_the_images_copy_is_there() -> None:
    services = composed()["services"]
    assert set(services) == {"orthanc", "node"}
    for service in services.values():
        context = FOLDER / service["build"]["context"]
        dockerfile = context / service["build"]["dockerfile"]
        mounted = [v.split(":")[0] for v in service["volumes"] if v.startswith("./")]
        assert mounted and all((FOLDER / name).is_file() for name in mounted)
        copied = re.findall(r"^COPY (?!--from)(\S+)", dockerfile.read_text(encoding="utf-8"), re.MULTILINE)
        assert all((context / name).exists() for name in copied)
        ignored = dockerfile.with_name(f"{dockerfile.name}.dockerignore")
        if copied:
            assert {f"!{name}" for name in copied} <= set(ignored.read_text(encoding="utf-8").splitlines())


def test_orthanc_takes_the_compositions_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It asks for the password that the environment holds, and knows the node."""
    if why := why_no_orthanc():
        pytest.skip(why)
    monkeypatch.setenv("ORTHANC_PASSWORD", "chosen")
    here = ("StorageDirectory", "IndexDirectory", "HttpPort", "DicomPort")  # of a container's own
    settings = {key: value for key, value in configured().items() if key not in here}
    orthanc = Orthanc(tmp_path, basic("orthanc", "chosen"), **settings)
    orthanc.start()
    try:
        assert orthanc.call("GET", "/modalities") == ["lgg-demo"]
        assert orthanc.call("GET", "/dicom-web/studies") == []
        with pytest.raises(urllib.error.HTTPError, match="401"):
            urllib.request.build_opener(urllib.request.ProxyHandler({})).open(f"{orthanc.url}/modalities", timeout=60)
    finally:
        orthanc.kill()
