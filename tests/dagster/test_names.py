"""The distribution is installed under its name, with its ranges, and imports nothing of the others."""

import importlib.metadata
import importlib.util


def test_the_distribution_is_there_and_typed() -> None:
    distribution = importlib.metadata.distribution("dagster-planasonix")
    assert any(line.startswith("dagster<") for line in distribution.requires or ())
    assert any(line.startswith("planasonix<") for line in distribution.requires or ())
    spec = importlib.util.find_spec("dagster_planasonix")
    assert spec is not None
    assert spec.origin is not None


def test_the_core_works_beside_it() -> None:
    from planasonix import Planasonix
    from planasonix.runs import SyncRequest, run_to_end
    from planasonix.sandbox import Sandbox

    with Planasonix("plnx_live_sandbox", transport=Sandbox(speed=100).transport()) as client:
        outcome = run_to_end(client, SyncRequest("conn_shop_orders"))
    assert outcome is not None
    assert outcome.succeeded
