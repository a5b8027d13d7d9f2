"""The write-ahead journal of a search: all that MLflow does not have yet, as files beside the record.

Everything is written here first and removed when MLflow has it, so that a process may be killed at any
instant, on any state of the server.

mlruns/spool/NAME/
  lock                    held by the process that writes the record of the search NAME
  search.json             the search's run in MLflow, and the state in which the search has ended
  000007/                 one trial: trial.json and its files
  journal.jsonl           over-limit trials and points of the search's own metrics, one per line
  delivering.jsonl        those that are being delivered
  attached/               files for the search's run
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from nas.errors import StorageError
from nas.files import TEMPORARY_PREFIX, replace_file
from nas.record.trial_text import decode, encode
from nas.trials import Trial

__all__ = ["Entry", "Header", "Point", "Spool"]

TRIAL_FILE = "trial.json"
PARTIAL = ".part"
DAMAGED = ".damaged"
STATES = ("", "complete", "interrupted", "failed")


@dataclass(frozen=True)
class Entry:
    """One trial to be written to MLflow."""

    trial: Trial
    files: Mapping[str, Path]  # by their name in MLflow
    time_ms: int  # of its metrics, since 1970; the same at a second attempt, so that none is duplicated
    folder: Path | None = None  # in the spool, if it is there

    @property
    def ended_ms(self) -> int:
        """When the trial reached its state; a trial that is written again keeps that time."""
        return self.trial.ended_ms or self.time_ms


@dataclass(frozen=True)
class Point:
    """One value of a metric of the search's run."""

    name: str
    value: float
    step: int
    time_ms: int


@dataclass(frozen=True)
class Header:
    """To which run the content of a spool belongs, and how its search has ended: '' if it has not."""

    run_id: str
    state: Literal["", "complete", "interrupted", "failed"] = ""


class Spool:
    """The undelivered files of one search. All methods that write need the lock of the search.

    Trials may be added by one thread while another one delivers and removes them.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.damaged: dict[Path, str] = {}  # entries that cannot be read, and why
        self._header = folder / "search.json"
        self._attached = folder / "attached"
        self._journal = folder / "journal.jsonl"
        self._delivering = folder / "delivering.jsonl"
        self._lock = threading.Lock()  # of the journal
        self._last = 0  # number of the latest entry

    def header(self) -> Header | None:
        """Return the header, None if there is none that can be read."""
        try:
            content = json.loads(self._header.read_text(encoding="utf-8"))
            run_id, state = content["run_id"], content["state"]
        except (OSError, ValueError, KeyError, TypeError):  # absent, or damaged
            return None
        return Header(run_id, state) if isinstance(run_id, str) and state in STATES else None

    def write_header(self, header: Header) -> None:
        """Replace the header; raises StorageError."""
        with self._storage_errors(), replace_file(self._header) as temporary:
            temporary.write_text(
                json.dumps({"run_id": header.run_id, "state": header.state}), encoding="utf-8"
            )

    def entries(self) -> list[Entry]:
        """Return the trials that wait, in the order in which they were added; `damaged` gets the others."""
        entries = []
        for folder in self._folders():
            try:
                content = json.loads((folder / TRIAL_FILE).read_text(encoding="utf-8"))
                files = {path.name: path for path in sorted(folder.iterdir()) if path.name != TRIAL_FILE}
                time_ms = int(content["time_ms"])
                ended_ms = int(content.get("ended_ms", time_ms))
                entries.append(Entry(decode(content["trial"], ended_ms=ended_ms), files, time_ms, folder))
            except FileNotFoundError:
                if folder.exists():  # else delivered meanwhile by the process that writes
                    self.damaged[folder] = f"it has no {TRIAL_FILE}"
            except (ValueError, KeyError, TypeError) as error:
                self.damaged[folder] = str(error).partition("\n")[0]
        return entries

    def add(self, entry: Entry) -> None:
        """Store a trial with its files, completely or not at all, also if the power fails.

        The files must not change afterwards: they are linked where the file system can. Raises StorageError.
        """
        with self._storage_errors():
            numbers = [int(folder.name.partition(".")[0]) for folder in self.folder.glob("[0-9]*")]
            self._last = max(self._last, *numbers, 0) + 1
            final = self.folder / f"{self._last:06d}"
            partial = final.with_suffix(PARTIAL)
            try:
                partial.mkdir(parents=True)
                for name, path in entry.files.items():
                    _link(path, partial / name)
                _write_synced(partial / TRIAL_FILE, _entry_text(entry))
                partial.rename(final)
                _sync(self.folder)
            except OSError:
                shutil.rmtree(partial, ignore_errors=True)
                raise

    def change(self, entry: Entry, trial: Trial) -> Entry:
        """Replace the trial of an entry in the spool; raises StorageError."""
        if entry.folder is None:
            raise ValueError("the entry must be in the spool")
        changed = replace(entry, trial=trial)
        with self._storage_errors(), replace_file(entry.folder / TRIAL_FILE) as temporary:
            _write_synced(temporary, _entry_text(changed))
        return changed

    def remove(self, entry: Entry) -> None:
        """Remove a trial that MLflow has."""
        if entry.folder is not None:
            partial = entry.folder.with_suffix(PARTIAL)
            entry.folder.rename(partial)
            shutil.rmtree(partial)

    def append_to_journal(self, items: Sequence[Trial | Point]) -> None:
        """Append over-limit trials or points of metrics to the journal; raises StorageError."""
        lines = []
        for item in items:
            if isinstance(item, Point):
                lines.append(json.dumps(["point", item.name, float(item.value), item.step, item.time_ms]))
            else:
                lines.append(json.dumps(["trial", encode(item)]))
        with self._storage_errors(), self._lock:
            self.folder.mkdir(parents=True, exist_ok=True)
            _append(self._journal, "".join(line + "\n" for line in lines))

    def begin_delivery(self) -> None:
        """Set the journal aside to be delivered; what is appended from now on is delivered next time."""
        with self._lock, contextlib.suppress(FileNotFoundError):  # nothing was appended
            if self._delivering.exists():
                _append(self._delivering, _complete_lines(self._journal))
                self._journal.unlink()
            else:
                self._journal.rename(self._delivering)

    def end_delivery(self) -> None:
        """Remove what `begin_delivery` set aside: MLflow has it."""
        self._delivering.unlink(missing_ok=True)

    def read_journal(self) -> tuple[list[Trial], list[Point]]:
        """Return the content of the journal, without a last line that a killed process left incomplete."""
        trials: list[Trial] = []
        points: list[Point] = []
        for path in (self._delivering, self._journal):
            try:
                text = _complete_lines(path)
            except FileNotFoundError:
                continue
            for line in text.splitlines():
                try:
                    kind, *content = json.loads(line)
                    if kind == "point":
                        name, value, step, time_ms = content
                        points.append(Point(str(name), float(value), int(step), int(time_ms)))
                    else:
                        trials.append(decode(content[0]))
                except (ValueError, TypeError, IndexError, OverflowError) as error:
                    self.damaged[path] = str(error).partition("\n")[0]
        return trials, points

    def attach(self, texts: Mapping[str, str]) -> None:
        """Store files for the search's run; a later file replaces an earlier one of the same name.

        Raises StorageError.
        """
        for name, text in texts.items():
            with self._storage_errors(), replace_file(self._attached / name) as temporary:
                temporary.write_text(text, encoding="utf-8")

    def attached(self) -> list[Path]:
        """Return the stored files for the search's run."""
        return sorted(p for p in self._attached.glob("*") if not p.name.startswith(TEMPORARY_PREFIX))

    def waiting(self) -> int:
        """Return the number of trials that wait."""
        return len(self._folders())

    def is_empty(self) -> bool:
        """Return whether nothing waits: no trial, no file, no line, no end of the search."""
        header = self.header()
        ended = header is not None and header.state
        journals = self._journal.exists() or self._delivering.exists()
        return not (self.waiting() or self.attached() or journals or ended)

    def close(self) -> None:
        """Remove incomplete files and empty folders."""
        for partial in (*self.folder.glob(f"*{PARTIAL}"), *self._attached.glob(f"{TEMPORARY_PREFIX}*")):
            if partial.is_dir():
                shutil.rmtree(partial)
            else:
                partial.unlink()
        if self._attached.is_dir() and not any(self._attached.iterdir()):
            self._attached.rmdir()
        if self.is_empty() and {path.name for path in self.folder.iterdir()} <= {"lock", "search.json"}:
            shutil.rmtree(self.folder)

    def set_aside(self, path: Path) -> None:
        """Rename a damaged entry, so that it is neither read nor delivered any more."""
        path.rename(path.with_name(f"{path.name}{DAMAGED}"))

    def _folders(self) -> list[Path]:
        return sorted(folder for folder in self.folder.glob("[0-9]*") if not folder.suffix)

    @contextlib.contextmanager
    def _storage_errors(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            path = error.filename2 or error.filename or self.folder
            raise StorageError(
                f"results must be written to disk before they count, but '{path}' cannot be written "
                f"({error.strerror or error}); free some space or fix its permissions"
            ) from error


def _entry_text(entry: Entry) -> str:
    content: dict[str, Any] = {"time_ms": entry.time_ms, "ended_ms": entry.ended_ms}
    return json.dumps({**content, "trial": encode(entry.trial)})


def _link(source: Path, target: Path) -> None:
    """Give a file a second name, or copy it where the file system has no links; its content is synced."""
    try:
        target.hardlink_to(source)
    except OSError:  # another file system, or one without links
        shutil.copyfile(source, target)
    _sync(target)


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _sync(path: Path) -> None:
    """Wait until a file or a folder is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _append(path: Path, text: str) -> None:
    """Append lines to a file, all or none; a last line that is incomplete is removed."""
    with path.open("a+b") as file:
        size = file.seek(0, os.SEEK_END)
        if size and (file.seek(size - 1), file.read(1))[1] != b"\n":
            size = path.read_bytes().rfind(b"\n") + 1
        try:
            file.truncate(size)
            file.write(text.encode())
            file.flush()
        except OSError:
            with contextlib.suppress(OSError):  # the first error is raised; the next call removes the rest
                file.truncate(size)
            raise


def _complete_lines(path: Path) -> str:
    text = path.read_bytes()
    return text[: text.rfind(b"\n") + 1].decode(errors="replace")  # a damaged line is found when it is read
