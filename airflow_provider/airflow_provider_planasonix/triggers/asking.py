"""One question for many kills: what Airflow says of the tasks of a run, asked from a triggerer (G2, G3).

Marking a run failed kills all its triggers at once, and a triggerer's supervisor answers about one question a second.
By one question each, hundreds of kills would wait longer than anybody lets them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from typing import Any
from urllib.parse import quote
from weakref import WeakKeyDictionary

from airflow_provider_planasonix.task_state import TaskKey, state_in, states_of

GATHER_SECONDS = 0.2
"""How long a question stays open for the kills that come with its first one."""

MOST_CHARACTERS = 32_000
"""Of task ids in one question: they travel in an address, and httpx takes 65,536 characters of one."""

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
    """What is to be asked of one run, until it is sent."""

    def __init__(self) -> None:
        self.task_ids: dict[str, None] = {}
        self.characters = 0
        self.answer: asyncio.Task[dict[str, Any] | Exception]

    def has_room_for(self, task_id: str) -> bool:
        return not self.task_ids or task_id in self.task_ids or self.characters + _length(task_id) <= MOST_CHARACTERS

    def add(self, task_id: str) -> None:
        if task_id not in self.task_ids:
            self.task_ids[task_id] = None
            self.characters += _length(task_id)


class _Desk:
    """The questions of one event loop: one under way at a time, as the supervisor takes them."""

    def __init__(self) -> None:
        self.open: dict[tuple[str, str, int], _Question] = {}
        self.turn = asyncio.Lock()


_desks: WeakKeyDictionary[asyncio.AbstractEventLoop, _Desk] = WeakKeyDictionary()


async def state_asked_now(key: TaskKey) -> str | None:
    """The task instance's state (None: cleared), by an answer that was asked for after this was called.

    Shares its question with whoever asks about the same run before that is sent. Raises LookupError when the answer
    does not speak of the task, or when there is none: who does not know must not cancel.
    """
    desk = _desks.setdefault(asyncio.get_running_loop(), _Desk())
    about = (key.dag_id, key.run_id, _kind_of_name(key.task_id))
    question = desk.open.get(about)
    if question is None or not question.has_room_for(key.task_id):
        question = desk.open[about] = _Question()
        question.answer = asyncio.create_task(_put(desk, about, question))
    question.add(key.task_id)
    # Whoever waits no longer must not take the answer from the others.
    answer = await asyncio.shield(question.answer)
    if isinstance(answer, Exception):
        raise LookupError(f"Airflow did not answer: {answer!r}") from answer
    return state_in(answer, key)


async def _put(desk: _Desk, about: tuple[str, str, int], question: _Question) -> dict[str, Any] | Exception:
    from asgiref.sync import sync_to_async

    await asyncio.sleep(GATHER_SECONDS)
    # Open until its turn has come: what is killed meanwhile needs no question of its own.
    async with desk.turn:
        # From here on a kill asks anew: what is on its way may have been answered before it.
        if desk.open.get(about) is question:
            del desk.open[about]
        try:
            return await sync_to_async(states_of)(about[0], about[1], list(question.task_ids))
        except Exception as error:
            return error


def _kind_of_name(task_id: str) -> int:
    """A number that differs between `sync` and `sync_1`: the answer calls a mapped instance of the one like the other.

    Whoever asked for both at once could take the one's end for the other's.
    """
    numbers = _NUMBERS.search(task_id)
    return numbers.group().count("_") % 2 if numbers else 0


def _length(task_id: str) -> int:
    return len("&task_ids=") + len(quote(task_id))
