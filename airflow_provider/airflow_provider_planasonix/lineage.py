"""What a run means to OpenLineage: the tables as datasets, the run and its job in facets.

Built from what the worker has read already. The listener asks in a process forked from the task's, after its end: a
call to the API there could hang and would tell nothing new. So a dataset carries no schema facet: a job's results name
no columns (facts §1.1), and a call for each table of each run is not worth them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow_provider_planasonix.assets import dataset_name
from planasonix.runs import Outcome, TableOutcome, report, report_stages

# The OpenLineage packages are there when its listener asks, and need not be otherwise.
if TYPE_CHECKING:
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.event_v2 import OutputDataset

    from airflow_provider_planasonix.operators.run import PlanasonixRunOperator
    from planasonix.runs import StagedOutcome

_SHOWN = 50
"""How many job ids a facet names."""


def lineage_of(operator: PlanasonixRunOperator) -> OperatorLineage:
    """The lineage of a task that has ended, the same whether it was deferred or not.

    Outputs are all tables for which the run accounts, under the names that `assets.to_openlineage` gives them, with the
    rows loaded. A task that ended before any outcome was read has none: OpenLineage then takes the declared outlets.
    """
    from airflow.providers.openlineage.extractors import OperatorLineage
    from openlineage.client.facet_v2 import error_message_run, external_query_run

    from airflow_provider_planasonix.lineage_facets import PlanasonixJobFacet

    connection_id = getattr(operator, "connection_id", None)
    outcome = operator.outcome
    # A task may know its pipeline by name only; the run knows which one that was.
    pipeline_id = getattr(operator, "pipeline_id", None) or getattr(outcome, "pipeline_id", None)
    job_facets: Any = {"planasonix": PlanasonixJobFacet(operator.planasonix_conn_id, connection_id, pipeline_id)}
    if outcome is None:
        return OperatorLineage(job_facets=job_facets)
    run_facets: dict[str, Any] = {"planasonix": _run_facet(outcome)}
    if isinstance(outcome, Outcome):
        namespace, _ = dataset_name(outcome.target_id, "")
        run_facets["externalQuery"] = external_query_run.ExternalQueryRunFacet(outcome.id, namespace)
    if not outcome.succeeded:
        text = report(outcome) if isinstance(outcome, Outcome) else report_stages(outcome)
        run_facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(text, "python")
    # The run of a pipeline tells of no tables.
    outputs: Any = [_dataset(connection_id, table) for table in outcome.tables] if connection_id else []
    return OperatorLineage(outputs=outputs, run_facets=run_facets, job_facets=job_facets)


def _dataset(connection_id: str, table: TableOutcome) -> OutputDataset:
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import dataset_version_dataset, output_statistics_output_dataset

    facets: dict[str, Any] = {}
    if table.checksum is not None:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(table.checksum)
    counted: dict[str, Any] = {}
    rows = 0 if table.state == "no_change" else table.rows_loaded
    if rows is not None:
        statistics = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(rowCount=rows)
        counted["outputStatistics"] = statistics
    namespace, name = dataset_name(connection_id, table.name)
    return OutputDataset(namespace=namespace, name=name, facets=facets, outputFacets=counted)


def _run_facet(outcome: Outcome | StagedOutcome) -> Any:
    from airflow_provider_planasonix.lineage_facets import PlanasonixRunFacet

    common = {
        "status": outcome.status,
        "rowsLoaded": outcome.rows_loaded,
        "windowStart": outcome.window_start,
        "windowEnd": outcome.window_end,
        "tables": {table.name: table.state for table in outcome.tables},
    }
    if isinstance(outcome, Outcome):
        return PlanasonixRunFacet(
            kind=outcome.kind,
            ids=[outcome.id],
            jobIds=list(outcome.job_ids[:_SHOWN]),
            links=[outcome.link] if outcome.link else [],
            generation=outcome.generation,
            durationSeconds=outcome.duration_seconds,
            warnings=[f"{each.code or ''}: {each.message}".removeprefix(": ") for each in outcome.warnings[:_SHOWN]],
            **common,
        )
    stages = outcome.stages[:_SHOWN]
    return PlanasonixRunFacet(
        kind="staged_backfill",
        ids=[stage.id for stage in stages if stage.id],
        links=[stage.link for stage in stages if stage.link],
        stagesDone=outcome.count("done"),
        stagesTotal=len(outcome.stages),
        **common,
    )
