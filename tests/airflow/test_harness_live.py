"""The local Airflow itself: what the other live tests rely on, shown with Airflow's own operators."""

import pytest

from scripts.airflow_local import DagImportFailed, LocalAirflow
from scripts.local import proc

pytestmark = pytest.mark.live

SENSOR = "from airflow.providers.standard.sensors.time_delta import TimeDeltaSensor"
WAITING = "TimeDeltaSensor(task_id='wait', delta=timedelta(seconds={seconds}), deferrable=True, retries=1)"
SLEEPING = """
    @task(retries=1)
    def sleep():
        import time
        time.sleep({seconds})
    sleep()
"""


def test_a_deferred_task_ends(airflow: LocalAirflow, dag) -> None:
    dag_id = dag(WAITING.format(seconds=3), imports=SENSOR)
    run = airflow.trigger(dag_id)
    airflow.wait_task(run, "wait", "deferred")
    assert airflow.wait_run(run) == "success"


def test_an_import_error_is_shown(airflow: LocalAirflow) -> None:
    with pytest.raises(DagImportFailed, match="no_such_name"):
        airflow.add_dag("broken.py", "from airflow.sdk import DAG\nno_such_name\n")
    airflow.forget_import_error("broken.py")


@pytest.mark.scenario
def test_a_wait_survives_the_crash_of_the_triggerer(airflow: LocalAirflow, dag) -> None:
    dag_id = dag(WAITING.format(seconds=4), imports=SENSOR)
    run = airflow.trigger(dag_id)
    airflow.wait_task(run, "wait", "deferred")
    airflow.triggerer.kill()
    assert airflow.triggerer.processes == []
    assert len(airflow.database.triggers()) == 1
    airflow.triggerer.start()
    assert airflow.wait_run(run) == "success"
    assert airflow.database.task(run, "wait").try_number == 1


@pytest.mark.scenario
@pytest.mark.parametrize("what", ["task", "both"])
def test_a_killed_task_is_retried(airflow: LocalAirflow, dag, what: str) -> None:
    run = airflow.trigger(dag(SLEEPING.format(seconds=3)))
    pid = airflow.kill_task(run, "sleep", what=what)
    proc.wait_gone(pid)
    airflow.wait_task(run, "sleep", "success", try_number=2)


def test_clear_and_marks(airflow: LocalAirflow, dag) -> None:
    run = airflow.trigger(dag(WAITING.format(seconds=60), imports=SENSOR))
    first = airflow.wait_task(run, "wait", "deferred")
    airflow.clear(run, "wait")
    second = airflow.wait_task(run, "wait", "deferred", try_number=2)
    assert second.id != first.id
    airflow.mark(run, "wait", "failed")
    assert airflow.wait_run(run) == "failed"
    airflow.wait_until(lambda: not airflow.database.triggers(), "the trigger row to go", 10)


MAPPED = """
    @task
    def good():
        return 1

    @task
    def one_is_bad(number):
        if number == 1:
            raise ValueError("a mistake in number one")

    good()
    one_is_bad.expand(number=[0, 1])
"""


def test_a_dump_tells_first_what_failed(airflow: LocalAirflow, dag) -> None:
    run = airflow.trigger(dag(MAPPED))
    assert airflow.wait_run(run) == "failed"
    dumped = airflow.dump(run)
    assert "one_is_bad[1] failed, try 1" in dumped
    assert dumped.index("a mistake in number one") < dumped.index("now      TaskRow(id=", dumped.index("now ") + 1)
