"""Several sources at once in one Spark session: a small night mostly waits for plans, compilers and files."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from typing import TypeVar

AT_ONCE = 3  # 2 cores, a cold JVM, 7 sources: see docs/decisions/0013

T = TypeVar("T")


def each(names: Sequence[str], work: Callable[[str], T], *, after: Mapping[str, Sequence[str]] | None = None) -> dict[str, T]:
    """name → result of `work(name)`; a name waits for those in `after`, which stand before it in `names`.

    At the first error nothing more is begun; what has begun is ended, then the error is raised.
    """
    futures: dict[str, Future[T]] = {}

    def one(name: str) -> T:
        for other in (after or {}).get(name, ()):
            futures[other].result()
        return work(name)

    with ThreadPoolExecutor(AT_ONCE) as pool:  # takes them in their order: what is waited for has begun already
        for name in names:
            futures[name] = pool.submit(one, name)
        wait(futures.values(), return_when=FIRST_EXCEPTION)
        failed = [future for future in futures.values() if future.done() and future.exception() is not None]
        if failed:
            pool.shutdown(wait=True, cancel_futures=True)
            raise failed[0].exception()  # type: ignore[misc]
    return {name: future.result() for name, future in futures.items()}
