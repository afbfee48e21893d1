"""The button that leads from a task to its job."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from airflow_provider_planasonix._compat import BaseOperatorLink

if TYPE_CHECKING:
    from airflow_provider_planasonix._compat import BaseOperator


class PlanasonixJobLink(BaseOperatorLink):
    """Opens the page of the job, from the moment of its start on.

    Airflow reads the address from the XCom `xcom_key`, and writes that XCom itself only when a phase of the task
    ends. The operator therefore pushes it right after the start; without a `job_url_template` there is no button.
    """

    # Airflow declares a property, and every link of every provider sets a class attribute.
    name = "Planasonix job"  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType]
    xcom_key_of_link: ClassVar[str] = "planasonix_job_link"

    @property
    def xcom_key(self) -> str:
        return self.xcom_key_of_link

    @classmethod
    def push(cls, context: Any, url: str | None) -> None:
        """Make the button work now. None (no page known) pushes an empty address: Airflow reads it either way, and logs
        an error where there is none.

        :param context: the task's context, in a worker.
        """
        context["ti"].xcom_push(key=cls.xcom_key_of_link, value=url or "")

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:
        # Called on the worker after each phase, to write the XCom anew: what the operator pushed has to stay.
        from airflow.sdk.execution_time.xcom import XCom

        return XCom.get_value(ti_key=ti_key, key=self.xcom_key_of_link) or ""
