"""A file system that is really full: clear errors, nothing touched, and on again as soon as there is space."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import whodid
from tests.journal.test_writer import draft, targets
from tests.recording import WHO
from whodid.cluster.bulk import Document, Verdict
from whodid.entry import Stamp
from whodid.integrity import Draft
from whodid.journal import Journal
from whodid.settings import Settings
from whodid.shipping.loop import Shipper
from whodid.shipping.status import directory_status


@contextmanager
def mounted(place: Path, *what: str) -> Iterator[None]:
    """A file system mounted at `place` for the block, by `mount` with these arguments. That needs root."""
    place.mkdir()
    mount, umount = shutil.which("mount"), shutil.which("umount")
    if not mount or not umount or sys.platform != "linux":
        pytest.skip("nothing can be mounted here: there is no Linux mount command")
    made = subprocess.run([mount, *what, place], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"nothing can be mounted here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run([umount, "--lazy", place], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A tmpfs of 512 KiB."""
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=512k", "tmpfs"):
        yield tmp_path / "disk"


def fill(place: Path) -> Path:
    """Leaves not a byte of space; the file that holds it."""
    filler = place / "filler"
    with filler.open("wb", buffering=0) as file:
        for size in (4096, 1):
            with suppress(OSError):
                while file.write(b"x" * size) == size:
                    pass
    return filler


def test_recording_on_a_full_disk_raises_and_goes_on_once_there_is_space(small_disk: Path) -> None:
    journal = Journal(small_disk / "journal", segment_bytes=20_000)
    recorded = [journal.append(draft("before")) and "before"]
    filler = fill(small_disk)
    refused = 0
    while refused < 50:
        target = f"{len(recorded)}"
        try:
            journal.append(draft(target))
        except whodid.JournalFull:
            refused += 1
        else:
            recorded.append(target)
    filler.unlink()
    journal.append(draft("later"))
    assert targets(journal.path) == [*recorded, "later"]
    assert len(list(journal.path.glob("*/journal.json"))) == 1


def test_a_disk_that_was_full_from_the_start_is_used_once_there_is_space(small_disk: Path) -> None:
    filler = fill(small_disk)
    journal = Journal(small_disk / "journal")
    for _ in range(20):
        with pytest.raises(whodid.WhodidError, match="space"):
            journal.append(draft())
    filler.unlink()
    journal.append(draft("later"))
    assert targets(journal.path) == ["later"]
    assert len([path for path in journal.path.iterdir() if path.is_dir()]) == 1


def test_on_failure_warn_counts_what_a_full_disk_refused(small_disk: Path) -> None:
    whodid.configure(journal_dir=small_disk / "journal", on_failure="warn", echo=False)
    log = whodid.get_logger()
    with whodid.context(**WHO):
        assert log.audit("credentials_created", target="a").recorded
        filler = fill(small_disk)
        lost = 0
        with pytest.warns(UserWarning, match="was not recorded: no space"):  # noqa: PT031 (some still fit)
            while lost < 5:
                lost += not log.audit("credentials_created", target="x").recorded
        filler.unlink()
        assert log.audit("credentials_created", target="b").recorded
    assert directory_status(str(small_disk / "journal")).not_recorded == 5


def test_the_shipper_frees_a_full_disk_and_recording_goes_on(small_disk: Path) -> None:
    journal = Journal(small_disk / "journal", segment_bytes=20_000)
    recorded = _until_full(journal)
    assert fill(small_disk).stat().st_size < 4096
    stored: dict[str, bytes] = {}

    def send(documents: Sequence[Document]) -> list[Verdict]:
        stored.update({document.id: document.raw for document in documents})
        return [Verdict("stored")] * len(documents)

    settings = Settings(journal_dir=str(journal.path), bulk_entries=50)
    Shipper(settings, send).run_once()
    assert len(stored) == recorded
    assert len(list(journal.path.glob("*/[0-9]*.ndjson"))) == 1
    for _ in range(100):
        journal.append(dated("later"))


def dated(target: str) -> Draft:
    return Draft({"type": "t", "target": target, "creation_date": Stamp.now().creation_date})


def _until_full(journal: Journal) -> int:
    for number in range(100_000):
        try:
            journal.append(dated("x" * 500), "process")
        except whodid.JournalFull:
            return number
    raise AssertionError("it never was full")


_LIMITED = """
import resource, sys
from tests.journal.test_writer import draft, targets
import whodid
from whodid.journal import Journal
from pathlib import Path
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, resource.RLIM_INFINITY))
journal, number = Journal(Path(sys.argv[1])), 0
try:
    while True:
        journal.append(draft(str(number)), "process")
        number += 1
except whodid.JournalFull:
    pass
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
journal.append(draft(str(number)))
assert targets(journal.path) == [str(n) for n in range(number + 1)]
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits differ elsewhere")
def test_a_limit_on_the_size_of_files_is_met_as_a_full_disk_is(tmp_path: Path) -> None:
    """As it needs no root, this real refusal is tried everywhere."""
    command = [sys.executable, "-c", _LIMITED, str(tmp_path / "journal")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    assert (done.returncode, done.stderr) == (0, "")
