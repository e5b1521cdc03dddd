"""The kernel log, as it is read: records, overruns, and a device that is gone."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kubenode.core.detect.record import parse
from kubenode.runtime.detector.kmsg import KMSG, Kmsg
from tests.runtime.detector.logs import HUNG, KernelLog, batch, run, texts


def test_records_are_read_as_they_come() -> None:
    """With their numbers; lines of keys belong to their record."""
    log = KernelLog()

    async def main() -> None:
        source = log.source()
        source.begin("", -1)
        log.say(HUNG)
        log.say("two", priority=12)
        found = await batch(source)
        assert [(one.sequence, one.facility, one.text) for one in found.records] == [
            (0, 0, HUNG),
            (1, 1, "two"),
        ]
        assert (await batch(source, within=0.05)).records == ()
        log.say("three")
        assert texts(await batch(source)) == ["three"]
        source.close()
        source.close()

    run(main)
    log.close()


def test_no_more_is_read_at_once_than_is_wanted() -> None:
    """What is left comes with the next reading."""
    log = KernelLog()

    async def main() -> None:
        source = log.source()
        for number in range(25):
            log.say(str(number))
        sizes = [len((await batch(source, most=10)).records) for _ in range(3)]
        assert sizes == [10, 10, 5]
        assert log.reads == 26
        source.close()

    run(main)
    log.close()


def test_an_overrun_is_a_gap_in_the_numbers() -> None:
    """The read that fails with EPIPE is no end: what is left is read."""
    log = KernelLog(ring=5)

    async def main() -> None:
        source = log.source()
        log.say("0")
        log.say("1")
        assert len((await batch(source)).records) == 2
        for number in range(2, 20):
            log.say(str(number))
        found = await batch(source)
        assert [one.sequence for one in found.records] == [15, 16, 17, 18, 19]
        assert (found.lost, found.blind) == (0, "")
        source.close()

    run(main)
    log.close()


def test_overruns_without_end_end_a_reading() -> None:
    """A kernel that overwrites faster than anybody reads does not hold the agent up."""
    calls = []

    def read(file: int, most: int) -> bytes:
        calls.append(most)
        raise OSError(errno.EPIPE, "x")

    async def main() -> None:
        into, out = os.pipe()
        os.write(out, b"x")
        source = Kmsg(read=read)
        source._file = into
        assert (await batch(source, most=50)).records == ()
        source.close()
        os.close(out)

    run(main)
    assert calls == [8192] * 50, "and a record of 8 KiB fits"


@pytest.mark.parametrize("number", [errno.EIO, errno.EINVAL, errno.EBADF])
def test_a_device_that_fails_is_told_and_opened_anew(number: int, tmp_path: Path) -> None:
    """What was read before that is given first."""
    answers = [b"3,1,1,-;one", OSError(number, os.strerror(number)), OSError(number, os.strerror(number))]
    answers += [BlockingIOError(errno.EAGAIN, "there is none yet")] * 2

    def read(file: int, most: int) -> bytes:
        answer = answers.pop(0)
        if isinstance(answer, OSError):
            raise answer
        return answer

    async def main() -> None:
        into, out = os.pipe()
        os.write(out, b"x")
        source = Kmsg(tmp_path / "kmsg", read=read)
        source._file = into
        assert texts(await batch(source)) == ["one"]
        found = await batch(source, within=0.05)
        assert found.blind == f"{tmp_path}/kmsg cannot be read: {os.strerror(number)}"
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(into)
        assert "No such file" in (await batch(source, within=0)).blind
        os.mkfifo(tmp_path / "kmsg")
        assert (await batch(source, within=0)).blind == "", "it is there again"
        source.close()
        os.close(out)

    run(main)


@pytest.mark.parametrize("path", ["/dev/null", "/none", "/etc/hostname"])
def test_what_is_no_log_is_told(path: str) -> None:
    """As on a host whose kernel log is hidden from it."""

    async def main() -> None:
        source = Kmsg(Path(path))
        found = await batch(source, within=0.01)
        assert found.blind.startswith(f"{path} cannot be read: ")
        assert found.records == ()
        source.close()

    run(main)


@pytest.mark.skipif(
    not os.access(KMSG, os.R_OK), reason="the kernel log of this machine is not for this user"
)
def test_the_real_device() -> None:
    """What this machine's kernel has said is read, record by record, and all of it is understood."""

    async def main() -> None:
        source = Kmsg()
        found = await batch(source, most=20)
        assert found.blind == ""
        numbers = [one.sequence for one in found.records]
        assert numbers == sorted(set(numbers))
        assert numbers
        source.close()

    run(main)


@given(
    st.lists(
        st.binary(max_size=60) | st.binary(max_size=60).map(lambda text: b"3,7,1,-;" + text),
        min_size=1,
        max_size=20,
    )
)
def test_no_bytes_stop_the_reader(raws: list[bytes]) -> None:
    """What is no record is skipped, and what comes after it is read."""
    left = [raw or b" " for raw in raws]
    expected = [record for record in map(parse, left) if record is not None]

    def read(file: int, most: int) -> bytes:
        if not left:
            raise BlockingIOError
        return left.pop(0)

    async def main() -> None:
        into, out = os.pipe()
        os.write(out, b"x")
        source = Kmsg(read=read)
        source._file = into
        assert list((await batch(source)).records) == expected
        source.close()
        os.close(out)

    run(main)
