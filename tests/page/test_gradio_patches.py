"""What `gradio_patches` and `gate` rely on in Gradio, so that an upgrade that changes it fails here and not in a clinic."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import gradio as gr
from gradio import queueing, route_utils, routes
from gradio.context import LocalContext
from gradio.processing_utils import async_move_files_to_cache
from gradio.state_holder import SessionState, StateHolder

from lgg_demo.page import gate, gradio_patches
from lgg_demo.page.gradio_patches import Line, PageBlocks, Sessions


def parameters(function: object) -> list[str]:
    return list(inspect.signature(function).parameters)  # type: ignore[arg-type]


def source(thing: object) -> str:
    return inspect.getsource(thing)  # type: ignore[arg-type]


def test_a_file_component_hands_over_paths_alone() -> None:
    assert "self._process_single_file(f) for f in payload" in source(gr.File.preprocess)
    assert "block.async_move_resource_to_block_cache(" in source(async_move_files_to_cache)
    assert gr.File.move_resource_to_block_cache(gr.File(), "http://127.0.0.1:9/x") == "http://127.0.0.1:9/x"
    assert "temp_files" in source(gr.blocks.Block.async_move_resource_to_block_cache), "or the patch is not needed any more"


def test_sessions_are_ours_and_keep_no_values() -> None:
    assert routes.StateHolder is Sessions and "self.state_holder = StateHolder()" in source(routes.App.__init__)
    assert "delete_all_expired_state()" in source(route_utils._delete_state)
    assert {"session_data", "time_last_used"} <= set(vars(StateHolder()))
    assert parameters(SessionState._update_value_in_config) == ["self", "key", "value"]
    assert "_update_value_in_config(" in source(gr.Blocks.preprocess_data) + source(gr.Blocks.postprocess_data)
    assert "SessionState(self.blocks)" in source(StateHolder.__getitem__)
    readers = [p.name for p in Path(gr.__file__).parent.rglob("*.py") if "config_values" in p.read_text(encoding="utf-8")]
    assert readers == ["state_holder.py"], "what a session does not keep is read by nothing"
    with gr.Blocks() as demo:
        words, count = gr.HTML("words " * 1000), gr.State(1)
    holder = Sessions()
    holder.set_blocks(demo)
    session = holder["one"]
    session[count._id] = 2
    session._update_value_in_config(words._id, "seen")
    assert (session[count._id], session.config_values) == (2, {})


def test_every_call_goes_through_what_page_blocks_override() -> None:
    """Also those that no route of today makes: `process_api` is called nowhere but where its errors end as a sentence."""
    called = [
        path.name
        for path in Path(gr.__file__).parent.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr == "process_api"
    ]
    # Blocks are called from Python, examples are made, and the MCP server is switched off (`launch_page`).
    assert set(called) == {"blocks.py", "helpers.py", "mcp.py", "route_utils.py"}
    for name in ("process_api", "preprocess_data"):
        ours, theirs = parameters(getattr(PageBlocks, name)), parameters(getattr(gr.Blocks, name))
        assert theirs[:3] == ours[:3]
    assert "self.preprocess_data(" in source(gr.Blocks.process_api)
    assert "self.queue()" in source(gr.Blocks.__init__), "so that the line is there from the beginning"


def test_the_line_finds_what_it_looks_at() -> None:
    queue = queueing.Queue(True, 1, 1, None, gr.Blocks())
    for name in (
        "pending_messages_per_session", "pending_event_ids_session", "event_ids_to_events",
        "event_queue_per_concurrency_id", "ANALYTICS_MAX_EVENTS", "cached_event_analytics_summary",
    ):  # fmt: skip
        assert hasattr(queue, name), name
    for name in ("push", "broadcast_estimations", "compute_analytics_summary"):
        assert parameters(getattr(Line, name)) == parameters(getattr(queueing.Queue, name)), name
    assert parameters(queueing.Queue.clean_events) == ["self", "session_hash", "event_id"]
    assert {"session_hash", "fn", "request", "data", "alive", "_id"} <= set(
        vars(queueing.Event("s", _Fn(), None, None))  # type: ignore[arg-type]
    )
    assert "job.alive = False" in source(queueing.Queue.clean_events)
    assert "event_ids_to_events.pop(event._id" in source(queueing.Queue.process_events)


class _Fn:
    concurrency_id = "x"


def test_a_handler_can_tell_its_own_request() -> None:
    assert hasattr(LocalContext, "event_id") and hasattr(LocalContext, "blocks")
    gradio_patches.Stop()()  # outside a server nobody has left


def test_the_parser_of_uploads_is_as_the_gate_takes_it() -> None:
    parser = route_utils.GradioMultiPartParser
    wanted = {"headers", "stream", "upload_dir", "upload_id", "upload_progress", "max_file_size"}
    assert wanted <= set(parameters(parser.__init__))
    assert "self._files_to_close_on_error.append" in source(parser.on_headers_finished)
    assert 'f"File size exceeded' in source(parser.parse)
    assert hasattr(routes, "file_upload_statuses")


def test_the_gate_leaves_open_what_exists() -> None:
    """Each address that the page needs is one of Gradio's; what a new version adds stays shut."""
    text = source(routes)
    for address in (
        "/info", "/startup-events", "/queue/join", "/queue/data", "/upload_progress", "/heartbeat/{session_hash}",
        "/cancel", "/call/{api_name}", "/call/{api_name}/{event_id}", "/reset", "/file={path_or_url:path}", "/upload",
    ):  # fmt: skip
        assert f'"{address}"' in text, address
        plain = gate.API + address.replace("{path_or_url:path}", "x").replace("{", "").replace("}", "")
        assert gate.ROUTES.fullmatch(f"GET {plain}") or gate.ROUTES.fullmatch(f"POST {plain}"), address
    for address in ("/", "/config", "/theme.css", "/assets/{path:path}", "/static/{path:path}"):
        assert f'"{address}"' in text and gate.ROUTES.fullmatch(f"GET {address}"), address
    assert not gate.ROUTES.fullmatch("GET /gradio_api/anything-new")
