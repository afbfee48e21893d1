"""Which failures of a Planasonix task are worth a retry, and when."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix._compat import RetryDecision, RetryPolicy
from planasonix.errors import ConfigurationError, retry_advice

if TYPE_CHECKING:
    from airflow.sdk import Context


class PlanasonixRetryPolicy(RetryPolicy):
    """Fails at once where a retry cannot help, and waits long enough where it can.

    A key that is refused, a missing right, a wrong parameter, an unknown connection and a job that somebody cancelled
    fail their task at once. A busy connection, a rate limit (its `Retry-After` included) and an API that is away are
    tried again after a pause that fits them. A job that failed, and a deadline that passed, follow the task's own
    `retries`, `retry_delay` and `retry_exponential_backoff`. The table is in `planasonix.errors.retrying`. `retries`
    stays the most there are: a policy of Airflow can only end them early.

    A wait that gives up, refused for five minutes (401, 403) or because the job is not shown any more, leaves its job
    running. That is tried again in five minutes: without a retry nobody would wait for the job.

    :param never_heal: error codes of failed jobs for which a new job would fail as well, for example
        `["source_authentication_failed"]`; the report of a failed job names its code. Not templated.

    Raises `ConfigurationError` at DAG parse when `never_heal` is not a list of texts.

        PlanasonixSyncOperator(
            task_id="sync_orders",
            connection_id="conn_shop_orders",
            retries=3,
            retry_policy=PlanasonixRetryPolicy(never_heal=["source_authentication_failed"]),
        )
    """

    def __init__(self, never_heal: Iterable[str] = ()) -> None:
        codes = [never_heal] if isinstance(never_heal, str) else list(never_heal)
        if isinstance(never_heal, str) or not all(isinstance(code, str) and code.strip() for code in codes):
            raise ConfigurationError(
                f"never_heal must be a list of error codes, got {never_heal!r}.",
                field="never_heal",
                hint='Give the codes that the reports of failed jobs name, such as ["source_authentication_failed"].',
            )
        self.never_heal = frozenset(code.strip() for code in codes)

    def evaluate(
        self, exception: BaseException, try_number: int, max_tries: int, context: Context | None = None
    ) -> RetryDecision:
        """Airflow asks this on the worker when the task failed, whether it waited there or deferred.

        :param exception: what the task raised; errors that are not of planasonix follow the task's own settings.
        :param try_number: counts from 1; pauses grow with it.
        :param max_tries: not needed: Airflow ends the retries itself.
        :return: the decision with its reason, which Airflow logs; that of a retry it shows with the task instance too.
        """
        advice = retry_advice(exception, try_number=try_number, never_heal=self.never_heal)
        if advice is None:
            return RetryDecision.default()
        if not advice.again:
            return RetryDecision.fail(advice.reason)
        delay = None if advice.delay_seconds is None else timedelta(seconds=advice.delay_seconds)
        return RetryDecision.retry(delay, advice.reason)

    def serialize(self) -> dict[str, Any]:
        """What `deserialize` makes this policy of again; JSON, without secrets."""
        return {"never_heal": sorted(self.never_heal)}

    @classmethod
    def deserialize(cls, data: dict[str, Any]) -> PlanasonixRetryPolicy:
        """The policy that `serialize` described."""
        return cls(data.get("never_heal") or ())

    def __repr__(self) -> str:
        return f"{type(self).__name__}(never_heal={sorted(self.never_heal)})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PlanasonixRetryPolicy) and other.never_heal == self.never_heal

    def __hash__(self) -> int:
        return hash(self.never_heal)
