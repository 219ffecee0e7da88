"""Who works on a corpus in object storage, where no lock ends with a process: leases, which end unless renewed.

    NAME/alone     who holds the name alone; written only by who read it last (by its tag), and empty if nobody does
    NAME/ID        one who holds it beside others

A lease is renewed every few seconds and lapses LEASE_S after it was renewed last, by the store's clock: by the times at
which it says that objects were written, so that no machine's clock is asked. Who takes a name writes first and looks
then; of two who do so at once, at least one sees the other and steps back. Who finds that its lease has lapsed changes
nothing any more. Between that look and the change another could have come: so the commit of a snapshot, which only one
wins, remains the guard.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from contextlib import suppress
from datetime import datetime
from typing import Protocol

from pipeline.files import StoredFile, StoreError

LEASE_S = 60.0
"""After its last renewal a lease counts for so long: a killed run is in the way no longer than that."""

BEATS = 4
"""Renewals in that time: some may fail."""


class Objects(Protocol):
    """What a lease needs of a store."""

    address: str

    def put(self, path: str, data: bytes) -> datetime:
        """Write; when that was, by the store's clock."""

    def put_if(self, path: str, data: bytes, tag: str | None) -> str | None:
        """Write if the file has still this tag, or with None if there is none; its new tag, or None."""

    def get_with_tag(self, path: str) -> tuple[bytes, str]:
        """A file and its tag. Raises FileNotFoundError."""

    def listed(self, below: str = "") -> list[StoredFile]:
        """Every file below a prefix."""

    def remove(self, path: str) -> None:
        """Delete."""


def hold_together(objects: Objects, name: str, who: str) -> Lease | None:
    """Hold a name beside others; None if one holds it alone."""
    lease = Lease(objects, f"{name}/{uuid.uuid4().hex}", who, None)
    written = objects.put(lease.path, lease.words())
    if any(file.path == _alone(name) for file in _living(objects, name, written, but=lease.path)):
        objects.remove(lease.path)
        return None
    lease.begin()
    return lease


def hold_alone(objects: Objects, name: str, who: str) -> Lease | None:
    """Hold a name alone; None if anybody holds it."""
    path, lease = _alone(name), Lease(objects, _alone(name), who, None)
    tag = objects.put_if(path, lease.words(), None)
    if tag is None:
        try:
            words, its_tag = objects.get_with_tag(path)
        except FileNotFoundError:  # nobody deletes it but by hand
            return None
        if words and any(file.path == path for file in _living(objects, name, _now(objects), but="")):
            return None
        tag = objects.put_if(path, lease.words(), its_tag)
        if tag is None:
            return None
    lease.tag = tag
    if _living(objects, name, _now(objects), but=path):
        lease.release()
        return None
    lease.begin()
    return lease


def holder_of(objects: Objects, name: str) -> str:
    """Who said to hold it alone, if anybody did."""
    try:
        words, _ = objects.get_with_tag(_alone(name))
        return str(json.loads(words)["who"]) if words else ""
    except (FileNotFoundError, ValueError, KeyError, TypeError, RecursionError):
        return ""


class Lease:
    """One lease, renewed by a thread of its own until it is released or lost."""

    def __init__(self, objects: Objects, path: str, who: str, tag: str | None) -> None:
        self.path, self.tag = path, tag
        """The tag is of a lease that is held alone."""
        self._objects, self._who, self._id = objects, who, uuid.uuid4().hex
        self._beat, self._renewed_s, self._is_lost = 0, time.monotonic(), False
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._renew_until_the_end, name=f"lease {path}", daemon=True)

    def words(self) -> bytes:
        """What stands in it: no two are the same, nor is one that was renewed as it was."""
        return json.dumps({"who": self._who, "id": self._id, "renewed": self._beat}).encode()

    def begin(self) -> None:
        """Renew it from now on."""
        self._thread.start()

    def refuse_lost(self) -> None:
        """Raise StoreError if it has lapsed, and another may hold the name."""
        if self._is_lost or time.monotonic() - self._renewed_s > LEASE_S:
            raise StoreError(
                f"the lease of this run on {self._objects.address} has lapsed: this machine stood still or could not "
                f"reach it for {LEASE_S:.0f} s, and another run may have begun. Nothing more was changed; what was "
                "finished is kept. Run the same again"
            )

    def release(self) -> None:
        """Give the name free. What cannot be told to the store, it finds out when the lease lapses."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join()
        with suppress(StoreError):
            if self.tag is None:
                self._objects.remove(self.path)
            elif not self._is_lost:
                self._objects.put_if(self.path, b"", self.tag)

    def _renew_until_the_end(self) -> None:
        while not self._ends.wait(LEASE_S / BEATS) and not self._is_lost:
            began_s = time.monotonic()
            self._is_lost = began_s - self._renewed_s > LEASE_S
            if not self._is_lost:
                with suppress(StoreError):  # the next one may go well
                    self._beat += 1
                    self._renew()
                    self._renewed_s = began_s

    def _renew(self) -> None:
        if self.tag is None:
            self._objects.put(self.path, self.words())
            return
        tag = self._objects.put_if(self.path, self.words(), self.tag)
        self._is_lost = tag is None
        self.tag = tag or self.tag


def _alone(name: str) -> str:
    return f"{name}/alone"


def _living(objects: Objects, name: str, now: datetime, *, but: str) -> list[StoredFile]:
    """The leases that have not lapsed. Those of killed runs are cleared away."""
    living = []
    for file in objects.listed(name):
        has_lapsed = now.timestamp() - file.changed_s > LEASE_S
        if has_lapsed and file.path != _alone(name):
            objects.remove(file.path)
        elif not has_lapsed and file.bytes and file.path != but:
            living.append(file)
    return living


def _now(objects: Objects) -> datetime:
    """The present time by the store's clock."""
    probe = f"tmp/{uuid.uuid4().hex}"
    try:
        return objects.put(probe, b"what time is it?")
    finally:
        objects.remove(probe)
