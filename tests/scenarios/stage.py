"""Plays many scenarios on one orchestrator: side by side where nothing strikes all of them, else one by one."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from threading import Thread

from scripts.local.sandbox import SandboxProcess
from tests.scenarios.driver import Driver, Placed
from tests.scenarios.play import Seen, play
from tests.scenarios.scenario import Scenario

# Connections of the sandbox without habits of their own; a scenario has its own ones to itself.
CONNECTIONS = (
    "conn_shop_orders", "conn_shop_inventory", "conn_crm_accounts", "conn_support_tickets", "conn_billing_stripe",
    "conn_finance_ledger", "conn_hr_people", "conn_ads_google", "conn_ads_meta", "conn_iot_telemetry",
    "conn_lakehouse_dbx", "conn_bq_exports", "conn_hubspot_marketing", "conn_jira_delivery",
    "conn_01jq8k2m3n4p5q6r7s8t9u0v1",
)  # fmt: skip
SIBLINGS = 3


class Stage:
    """scenarios: all that will be asked for, known to the orchestrator before the first is played.

    lanes: how many are played at a time; each lane has connections of its own.
    """

    def __init__(self, driver: Driver, sandbox: SandboxProcess, scenarios: Sequence[Scenario], lanes: int = 5) -> None:
        if lanes * SIBLINGS > len(CONNECTIONS):
            raise ValueError(f"there are connections for {len(CONNECTIONS) // SIBLINGS} lanes")
        self.driver = driver
        self._sandbox = sandbox
        self._lanes: list[list[Placed]] = [[] for _ in range(lanes)]
        self._alone: dict[str, Placed] = {}
        for scenario in scenarios:
            lane = 0 if scenario.alone else min(range(lanes), key=lambda number: len(self._lanes[number]))
            own = CONNECTIONS[lane * SIBLINGS : (lane + 1) * SIBLINGS]
            placed = Placed(scenario, own[: scenario.wish.siblings])
            if scenario.alone:
                self._alone[scenario.id] = placed
            else:
                self._lanes[lane].append(placed)
        driver.install([*(placed for lane in self._lanes for placed in lane), *self._alone.values()])
        self._played: dict[str, Future[Seen]] = {
            placed.scenario.id: Future() for lane in self._lanes for placed in lane
        }
        self._threads: list[Thread] = []

    def seen(self, scenario: Scenario) -> Seen:
        """Play it, or wait until it was played beside others."""
        if scenario.alone:
            for thread in self._threads:
                thread.join()
            return play(self.driver, self._sandbox, self._alone[scenario.id])
        if not self._threads:
            self._threads = [Thread(target=self._run, args=(lane,), daemon=True) for lane in self._lanes]
            for thread in self._threads:
                thread.start()
        return self._played[scenario.id].result()

    def _run(self, lane: list[Placed]) -> None:
        for placed in lane:
            future = self._played[placed.scenario.id]
            try:
                future.set_result(play(self.driver, self._sandbox, placed))
            except BaseException as error:
                future.set_exception(error)
