"""redbear_host.client.aio at a real ring door."""

from __future__ import annotations

import asyncio
import errno
import gc
import os

import pytest
import redox_rig

from redbear_host.abi import flags as f
from redbear_host.client import aio


@pytest.fixture
def served(tmp_path, monkeypatch):
    monkeypatch.setenv("REDBEAR_RINGS", str(tmp_path))
    rig = redox_rig.Served(tmp_path)
    yield rig
    gc.collect()
    rig.close()


async def refused(number, call):
    with pytest.raises(OSError) as caught:  # noqa: PT011 - the number is looked at
        await call
    return caught.value.errno == number


def test_every_call_has_its_coroutine(served):
    async def main():
        async with await aio.open("bench:new", f.O_RDWR | f.O_CREAT, 0o600) as fd:
            assert await fd.write(b"hello") == 5
            assert await fd.lseek(0) == 0
            assert await fd.read(99) == b"hello"
            assert await fd.lseek(-1, os.SEEK_END) == 4
            await fd.ftruncate(2)
            await fd.fchmod(0o640)
            await fd.fsync()
            stat = await fd.fstat()
            assert (stat.st_size, stat.st_mode & 0o777) == (2, 0o640)
            assert (await fd.fstatvfs()).f_blocks == 9
            assert await fd.fpath() == "/scheme/bench/new"
            await fd.frename("bench:newer")
            assert await refused(errno.EXDEV, fd.frename("/etc/x"))
            async with await fd.dup(b"name") as other, await fd.dup() as twin:
                assert await other.read(99) == b"dup:newer:name"
                assert await twin.lseek(0, os.SEEK_CUR) == 4
            payload = bytearray(b"ab")
            assert await fd.call_rw(payload, 0, (1, 2)) == 3
            assert payload == b"ba"
            mapping = await fd.fmap(4096, offset=4096)
            assert mapping.memory[:6] == b"mapped"
            await aio.funmap(mapping)
        async with await aio.open("bench:") as folder:
            assert [e.name for e in await folder.getdents()] == ["hello", "newer"]
            await folder.unlinkat("newer")
            assert await refused(errno.ENOENT, folder.openat("newer"))
        async with await aio.open("/scheme") as schemes:
            assert [e.name for e in await schemes.getdents()] == ["bench"]
        assert await refused(errno.ENODEV, aio.open("/scheme/nobody"))

    asyncio.run(main())


def test_descriptors_travel_and_a_foreign_file_is_served_by_a_thread(served):
    async def main():
        async with await aio.open("bench:foreign") as fd:
            assert await fd.read(4) == b"from"
        async with await aio.open("bench:box") as box:
            there, ours = os.pipe()
            assert await box.sendfd([there], 0, 1) == 2
            os.close(there)
            (back,) = await box.recvfd()
            os.write(ours, b"x")
            assert os.read(back, 1) == b"x"
            os.close(back)
            os.close(ours)

    asyncio.run(main())


def test_a_cancelled_task_cancels_its_call_and_others_go_on(served):
    async def main():
        async with await aio.open("bench:never") as never, await aio.open("bench:box") as box:
            waiting = [asyncio.ensure_future(never.read(1)) for _ in range(50)]
            assert b"cancelled 0" in await box.read(4096)
            for task in waiting:
                task.cancel()
            ended = await asyncio.gather(*waiting, return_exceptions=True)
            assert all(isinstance(end, asyncio.CancelledError) for end in ended)
            assert b"cancelled 50" in await box.read(4096)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await never.read(1)

    asyncio.run(main())


def test_more_tasks_than_places_take_turns(served):
    async def main():
        async with await aio.open("bench:hello") as fd:
            stats = await asyncio.gather(*(fd.fstat() for _ in range(1000)))
            assert {stat.st_size for stat in stats} == {11}

    asyncio.run(main())


def test_an_event_queue_wakes_its_task(served):
    async def main():
        flags = f.O_RDWR | f.O_NONBLOCK
        async with await aio.open("bench:mail", flags) as mail:
            queue = aio.EventQueue()
            await queue.subscribe(mail, f.EVENT_READ, "mail")
            waiting = asyncio.ensure_future(queue.next_event())
            await mail.write(b"one")
            assert await asyncio.wait_for(waiting, 5) == (mail, f.EVENT_READ, "mail")
            assert await mail.read(9) == b"one"
            await queue.unsubscribe(mail)
            assert await refused(errno.ENOENT, queue.unsubscribe(mail))

    asyncio.run(main())


def test_after_a_daemons_death_old_handles_fail_and_new_ones_work(served):
    async def main():
        async with await aio.open("bench:never") as fd:
            waiting = asyncio.ensure_future(fd.read(1))
            await asyncio.sleep(0)
            await asyncio.to_thread(served.kill)
            assert await refused(errno.EIO, asyncio.wait_for(waiting, 10))
            served.start()
            async with await aio.open("bench:hello") as new:
                assert await new.read(5) == b"hello"
            assert await refused(errno.EIO, fd.fstat())

    asyncio.run(main())
