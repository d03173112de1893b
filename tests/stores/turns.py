"""Several actors that take turns, step by step, so that every order of their steps can be tried."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence


class _Aborted(BaseException):
    pass


class _Actor:
    def __init__(self, work: Callable[[], None], turns: Turns) -> None:
        self.go = threading.Semaphore(0)
        self.error: BaseException | None = None
        self.over = False
        self._work, self._turns = work, turns
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self) -> None:
        self._turns.here.actor = self
        try:
            self.wait()
            self._work()
        except _Aborted:
            pass
        except BaseException as error:
            self.error = error
        finally:
            self.over = True
            self._turns.back.release()

    def wait(self) -> None:
        self.go.acquire()
        if self._turns.aborted:
            raise _Aborted


class Turns:
    """Actors go on one at a time, each from one ``pause`` to its next."""

    def __init__(self) -> None:
        self.here = threading.local()
        self.back = threading.Semaphore(0)
        self.aborted = False

    def pause(self) -> None:
        """Called by actors before each step; does nothing outside of ``play``."""
        actor: _Actor | None = getattr(self.here, "actor", None)
        if actor is not None:
            self.back.release()
            actor.wait()

    def play(
        self, works: Sequence[Callable[[], None]], choose: Callable[[int], int], after: Callable[[], None]
    ) -> None:
        """Run actors to their ends: ``choose(n)`` says which of n goes on, ``after`` looks at each step's result."""
        actors = [_Actor(work, self) for work in works]
        try:
            while live := [actor for actor in actors if not actor.over]:
                actor = live[choose(len(live))]
                actor.go.release()
                self.back.acquire()
                if actor.error is not None:
                    raise actor.error
                after()
        finally:
            self.aborted = True
            for actor in actors:
                actor.go.release()
                actor.thread.join()
            self.aborted = False
            self.back = threading.Semaphore(0)


def every_order(most: int = 100_000) -> Iterator[Callable[[int], int]]:
    """``choose`` for one play after the other, until each order of the steps has been tried."""
    path: list[list[int]] = []  # chosen, of how many
    for _ in range(most):
        depth = 0

        def choose(options: int) -> int:
            nonlocal depth
            if depth == len(path):
                path.append([0, options])
            assert path[depth][1] == options, "a play must depend on nothing but the order"
            depth += 1
            return path[depth - 1][0]

        yield choose
        while path and path[-1][0] == path[-1][1] - 1:
            path.pop()
        if not path:
            return
        path[-1][0] += 1
    raise AssertionError("too many orders")
