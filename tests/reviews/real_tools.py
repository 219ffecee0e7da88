"""Hold exports against the real packages: run by a Python that has label-studio-sdk 2.1 and argilla 2.8.

    python real_tools.py label-studio FOLDER [EXPORTED.json]   validated by the SDK's LabelInterface
    python real_tools.py argilla FOLDER BACK.json              read by Settings and Record, answered, written by JsonIO

Prints one JSON object. Argilla's client asks a server who it is: one on loopback answers that, and takes a data set.
"""

from __future__ import annotations

import json
import sys
import threading
import uuid
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

ANNA, BEN = uuid.UUID(int=1), uuid.UUID(int=2)
A_TIME = "2026-01-01T00:00:00"


def label_studio(folder: Path, exported: Path | None) -> dict[str, Any]:
    """Faults that the SDK finds, and whether it would find one."""
    from label_studio_sdk.label_interface import LabelInterface

    interface = LabelInterface((folder / "labeling.xml").read_text(encoding="utf-8"))
    interface.validate()
    tasks = json.loads((folder / "tasks.json").read_text(encoding="utf-8"))
    faults: list[str] = []
    for task in tasks:
        if not interface.validate_task({"data": task["data"]}):
            faults.append(f"task {task['data']}")
        for prediction in task["predictions"]:
            faults += interface.validate_prediction(prediction, return_errors=True)
    wrong = json.loads(json.dumps(tasks[0]["predictions"][0]))
    wrong["result"][0]["from_name"] = "nothing"
    done = json.loads(exported.read_text(encoding="utf-8")) if exported else []
    annotations = [annotation for task in done for annotation in task["annotations"]]
    faults += [f"annotation {one['id']}" for one in annotations if not interface.validate_annotation(one)]
    return {
        "controls": sorted(control.name for control in interface.controls),
        "objects": sorted(one.name for one in interface.objects),
        "num_tasks": len(tasks),
        "num_annotations": len(annotations),
        "faults": faults,
        "sees_faults": bool(interface.validate_prediction(wrong, return_errors=True)),
    }


def argilla(folder: Path, back: Path) -> dict[str, Any]:
    """What the package reads; it also loads the folder as a data set, and writes answers of two people to `back`."""
    import argilla as rg
    from argilla.records._io import JsonIO

    warnings.simplefilter("ignore")
    server = _Server()
    client = rg.Argilla(api_url=server.address, api_key="any")
    settings = rg.Settings.from_json(folder / ".argilla" / "settings.json")
    settings.validate()
    rg.Dataset.from_disk(str(folder), workspace="default", client=client)
    records = JsonIO._records_from_json(folder / "records.json")
    said = [(0, ANNA, "accept", None, None), (1, ANNA, "edit", "The jaw drops & stays.", "<b>too short</b>")]
    for number, user, decision, text, reason in [*said, (1, BEN, "reject", None, None)]:
        answers = {"decision": decision, "edited_text": text, "reason": reason}
        for question, value in answers.items():
            if value is not None:
                records[number].responses.add(rg.Response(question, value, user_id=user, status="submitted"))
    JsonIO.to_json(records, back)
    return {
        "fields": [field.name for field in settings.fields],
        "questions": [question.name for question in settings.questions],
        "num_records": len(records),
        "texts": [record.fields["text"] for record in records],
        "num_sent": sum(len(body["items"]) for path, body in server.taken if "bulk" in path),
    }


class _Server:
    """As much of Argilla's API as `from_disk` asks for."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, Any]] = []
        taken, workspace = self.taken, {"name": "default", "id": str(uuid.uuid4())}
        stamps = {"inserted_at": A_TIME, "updated_at": A_TIME}
        me = {"id": str(ANNA), "username": "anna", "first_name": "a", "last_name": "a", "role": "owner", **stamps}
        made: dict[str, Any] = {}
        parts: dict[str, list[Any]] = {}

        class Handler(BaseHTTPRequestHandler):
            def _answer(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length)) if length else {}
                path = self.path.split("?")[0]
                if self.command != "GET":
                    taken.append((path, body))
                answer: dict[str, Any]
                if path.endswith("/me"):
                    answer = me
                elif "/workspaces/" in path:
                    answer = {**workspace, **stamps}
                elif path.endswith("/workspaces"):
                    answer = {"items": [{**workspace, **stamps}]}
                elif "bulk" in path:
                    items = [{**one, "id": str(uuid.uuid4())} for one in body["items"]]
                    answer = {"items": items, "updated_item_ids": []}
                elif self.command == "POST" and path.endswith("/datasets"):
                    made.update(body, id=str(uuid.uuid4()), status="draft")
                    answer = made
                elif self.command == "POST":
                    answer = {**body, "id": str(uuid.uuid4()), **stamps}
                    parts.setdefault(path.rsplit("/", 1)[-1], []).append(answer)
                elif made and path.endswith((made["id"], "/publish")):
                    made.update(body, status="ready" if path.endswith("/publish") else made["status"])
                    answer = made
                else:
                    answer = {
                        "items": parts.get(path.rsplit("/", 1)[-1].replace("metadata-properties", "metadata"), [])
                    }
                data = json.dumps(answer).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_PATCH = _answer

            def log_message(self, *_: Any) -> None:
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        self.address = f"http://127.0.0.1:{server.server_port}"


if __name__ == "__main__":
    tool, *places = sys.argv[1:]
    paths = [Path(place) for place in places]
    told = label_studio(paths[0], paths[1] if len(paths) > 1 else None) if tool == "label-studio" else argilla(*paths)
    sys.stdout.write(json.dumps(told) + "\n")
