"""Head and body of an answer leave in one write."""

import asyncio

from serving.together import _Joined


class Transport:
    def __init__(self) -> None:
        self.done: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        self.done.append(data)

    def close(self) -> None:
        self.done.append("closed")

    def is_closing(self) -> bool:
        return False


def test_what_is_written_in_one_turn_of_the_loop_leaves_at_once_and_before_the_door_closes():
    async def turns() -> list[bytes | str]:
        transport = Transport()
        joined = _Joined(transport, asyncio.get_running_loop())
        joined.write(b"head ")
        joined.write(b"body")
        assert transport.done == []
        await asyncio.sleep(0)
        assert transport.done == [b"head body"]
        joined.write(b"head alone")
        joined.close()
        await asyncio.sleep(0)
        assert joined.is_closing() is False, "all else is the transport's own"
        return transport.done

    assert asyncio.run(turns()) == [b"head body", b"head alone", "closed"]
