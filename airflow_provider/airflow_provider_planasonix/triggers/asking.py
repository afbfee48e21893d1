"""One question for many kills: what Airflow says of the tasks of a DAG, asked from a triggerer (G2, G3).

Marking runs failed kills all their triggers at once, and a triggerer's supervisor answers about one question a second.
By one question each, hundreds of kills would wait longer than anybody lets them.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

from airflow_provider_planasonix.task_state import TaskKey, state_in, states_of

GATHER_SECONDS = 0.2
"""How long a question stays open for the kills that come with its first one."""

MOST_CHARACTERS = 32_000
"""Of ids in one question: they travel in an address, and httpx takes 65,536 characters of one."""

MOST_STATES = 5_000
"""In one answer, which speaks of each of its tasks in each of its runs."""

_NUMBERS = re.compile(r"(?:_\d+)*$")

_first_question: asyncio.Task[None] | None = None


def prepare_for_a_kill(task_key: dict[str, Any]) -> None:
    """Ask for the task's state once in this process, in the background, whatever the answer.

    The triggerer builds its way to Airflow's API at the first question. That takes seconds, half a minute on a busy
    machine, and no question comes earlier where the connection stands in an environment variable.
    """
    global _first_question
    if _first_question is None:
        _first_question = asyncio.create_task(_ask_whatever_comes(task_key))


async def _ask_whatever_comes(task_key: dict[str, Any]) -> None:
    with contextlib.suppress(Exception):
        await state_asked_now(TaskKey(**task_key))


class _Question:
    """What is to be asked of the tasks of one DAG, until it is sent."""

    def __init__(self) -> None:
        self.run_ids: dict[str, None] = {}
        self.task_ids: dict[str, None] = {}
        self.characters = 0
        self.waiting = 0
        self.answer: asyncio.Task[dict[str, dict[str, Any]] | Exception]

    def has_room_for(self, key: TaskKey) -> bool:
        new_run, new_task = key.run_id not in self.run_ids, key.task_id not in self.task_ids
        states = (len(self.run_ids) + new_run) * (len(self.task_ids) + new_task)
        characters = self.characters + new_run * _length(key.run_id) + new_task * _length(key.task_id)
        return not self.task_ids or (states <= MOST_STATES and characters <= MOST_CHARACTERS)

    def add(self, key: TaskKey) -> None:
        for ids, name in ((self.run_ids, key.run_id), (self.task_ids, key.task_id)):
            if name not in ids:
                ids[name] = None
                self.characters += _length(name)


class _Desk:
    """The questions of one event loop: one under way at a time, as the supervisor takes them."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, int], _Question] = {}
        self.turn = asyncio.Lock()


_desks: WeakKeyDictionary[asyncio.AbstractEventLoop, _Desk] = WeakKeyDictionary()


async def state_asked_now(key: TaskKey) -> str | None:
    """The task instance's state (None: cleared), by an answer that was asked for after this was called.

    Shares its question with whoever asks about the same DAG before that is sent. Raises LookupError when the answer
    does not speak of the task, or when there is none: who does not know must not cancel.
    """
    desk = _desks.setdefault(asyncio.get_running_loop(), _Desk())
    about = (key.dag_id, _kind_of_name(key.task_id))
    question = desk.open.get(about)
    if question is None or not question.has_room_for(key):
        question = desk.open[about] = _Question()
        question.answer = asyncio.create_task(_put(desk, about, question))
    question.add(key)
    question.waiting += 1
    try:
        # Whoever waits no longer must not take the answer from the others.
        answer = await asyncio.shield(question.answer)
    finally:
        question.waiting -= 1
    if isinstance(answer, Exception):
        raise LookupError(f"Airflow did not answer: {answer!r}") from answer
    return state_in(answer, key)


async def _put(desk: _Desk, about: tuple[str, int], question: _Question) -> dict[str, dict[str, Any]] | Exception:
    await asyncio.sleep(GATHER_SECONDS)
    # Open until its turn has come: what is killed meanwhile needs no question of its own.
    async with desk.turn:
        # From here on a kill asks anew: what is on its way may have been answered before it.
        if desk.open.get(about) is question:
            del desk.open[about]
        if not question.waiting:
            # Nor does it keep those waiting who still want an answer.
            return TimeoutError("all who asked have given up waiting")
        try:
            return await _asked(about[0], list(question.run_ids), list(question.task_ids))
        except Exception as error:
            return error


async def _asked(dag_id: str, run_ids: list[str], task_ids: list[str]) -> dict[str, dict[str, Any]]:
    from asgiref.sync import sync_to_async

    # Not in the one thread that asgiref has for all: there each connection that any trigger looks up stands before the
    # question, and the question before them.
    ask = sync_to_async(states_of, thread_sensitive=False, executor=_asker())
    return await ask(dag_id, run_ids, task_ids)


@cache
def _asker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, thread_name_prefix="planasonix-ask")


# A child process has the pool without its thread.
os.register_at_fork(after_in_child=_asker.cache_clear)


def _kind_of_name(task_id: str) -> int:
    """A number that differs between `sync` and `sync_1`: the answer calls a mapped instance of the one like the other.

    Whoever asked for both at once could take the one's end for the other's.
    """
    numbers = _NUMBERS.search(task_id)
    return numbers.group().count("_") % 2 if numbers else 0


def _length(name: str) -> int:
    return len("&task_ids=") + len(quote(name))
