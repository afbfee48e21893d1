"""The blocks: Prefect's own standards over all that are exported, their schemas as they were released, bad input."""

import json
from pathlib import Path
from typing import Any, get_args

import cloudpickle
import pytest
from prefect.blocks.core import Block
from prefect.testing.standard_test_suites import BlockStandardTestSuite
from pydantic import ValidationError

import prefect_planasonix
from planasonix.errors import ConfigurationError
from planasonix.runs import IfRunning, RunHandle
from planasonix.sandbox import RunningSandbox
from prefect_planasonix import (
    PlanasonixBackfill,
    PlanasonixCredentials,
    PlanasonixJobRun,
    PlanasonixPipelineRun,
    PlanasonixSync,
    RunOptions,
)
from prefect_planasonix.block_options import IfRunning as BlockIfRunning
from prefect_planasonix.credentials import VerificationError

BLOCKS = [PlanasonixCredentials, PlanasonixSync, PlanasonixBackfill, PlanasonixPipelineRun]
SCHEMAS = Path(__file__).parent / "data" / "block_schemas.json"
KEY = "plnx_live_canary_of_blocks"


def credentials() -> PlanasonixCredentials:
    return PlanasonixCredentials(api_key=KEY)  # pyright: ignore


def test_the_list_is_all_that_is_exported() -> None:
    exported = [getattr(prefect_planasonix, name) for name in prefect_planasonix.__all__]
    found = [each for each in exported if isinstance(each, type) and issubclass(each, Block)]
    assert sorted(map(str, found)) == sorted(map(str, BLOCKS))


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
class TestStandards(BlockStandardTestSuite):
    @pytest.fixture
    def block(self, block: type[Block]) -> type[Block]:  # pyright: ignore[reportIncompatibleMethodOverride]
        return block

    def test_has_a_valid_image(self, block: type[Block]) -> None:
        """A picture would be fetched from the network, and there is none to fetch."""
        assert block._logo_url is None


def test_schemas_are_those_of_the_release() -> None:
    """A change here changes the checksum of saved documents: only add fields that have a default."""
    now = {block.__name__: fields_of(block) for block in BLOCKS}
    assert now == json.loads(SCHEMAS.read_text())


def fields_of(block: type[Block]) -> dict[str, Any]:
    required = [name for name, field in block.model_fields.items() if field.is_required()]
    return {"slug": block._block_type_slug, "fields": list(block.model_fields), "required": required}


def test_an_old_document_still_loads() -> None:
    sync = PlanasonixSync.model_validate({"credentials": {"api_key": KEY}, "connection_id": "conn_a"})
    assert RunOptions.of(sync) == RunOptions()


def test_options_have_the_same_names_and_defaults_everywhere() -> None:
    assert get_args(BlockIfRunning) == get_args(IfRunning)
    blocks = (
        PlanasonixSync(credentials=credentials(), connection_id="conn_a"),
        PlanasonixBackfill(
            credentials=credentials(),
            connection_id="conn_a",
            start_at="2026-01-01T00:00:00Z",  # pyright: ignore
            end_at="2026-01-02T00:00:00Z",  # pyright: ignore
        ),
        PlanasonixPipelineRun(credentials=credentials(), pipeline_id="pl_a"),
    )
    assert [RunOptions.of(block) for block in blocks] == [RunOptions()] * 3


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"connection_id": " "}, "connection_id"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds"),
        ({"if_running": "maybe"}, "if_running"),
        ({"run_key": ""}, "run_key"),
        ({"asset_key_template": "no-scheme/{path}"}, "asset_key_template"),
    ],
)
def test_a_wrong_field_is_named_when_it_is_filled_in(wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(ValidationError, match=named) as caught:
        PlanasonixSync(**{"credentials": credentials(), "connection_id": "conn_a", **wrong})
    assert KEY not in str(caught.value)


def test_a_key_in_the_place_of_the_block_is_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigurationError, match="must be a block") as caught:
        PlanasonixSync(credentials={"api_key": KEY})  # pyright: ignore
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("field", ["api_key", "inbox_url"])
def test_what_stands_where_a_secret_belongs_is_not_repeated(field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        PlanasonixCredentials(**{"api_key": KEY, field: [KEY]})
    assert field in str(caught.value)
    assert KEY not in str(caught.value)


def test_a_window_needs_time_zones_and_an_order() -> None:
    for start, end, named in (
        ("2026-01-01T00:00:00", "2026-01-02T00:00:00Z", "time zone"),
        ("2026-01-02T00:00:00Z", "2026-01-01T00:00:00Z", "end_at"),
    ):
        with pytest.raises(ValidationError, match=named):
            PlanasonixBackfill(credentials=credentials(), connection_id="conn_a", start_at=start, end_at=end)  # pyright: ignore


def test_a_run_pickles_without_its_key_and_shows_none() -> None:
    handle = RunHandle("job", "job_1", "conn_a", True, 1.0, 2.0, "i")
    run = PlanasonixJobRun(handle, credentials=credentials())
    stored = cloudpickle.dumps(run)
    assert KEY.encode() not in stored
    assert KEY not in repr(run) + str(credentials())
    back = cloudpickle.loads(stored)
    assert back.handle == handle
    assert back.credentials is None


def test_a_run_from_elsewhere_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PLANASONIX_API_KEY", raising=False)
    run = PlanasonixJobRun(RunHandle("job", "job_1", "conn_a", True, 1.0, 2.0, "i"))
    with pytest.raises(ConfigurationError, match="another process"):
        run.wait_for_completion()


def test_verify_tells_what_works_and_what_does_not(sandbox: RunningSandbox) -> None:
    good = PlanasonixCredentials(api_key=sandbox.api_key, base_url=sandbox.url)  # pyright: ignore
    assert "accepted the key" in good.verify()
    bad = PlanasonixCredentials(api_key=KEY, base_url=sandbox.url)  # pyright: ignore
    with pytest.raises(VerificationError, match="does not accept the API key") as caught:
        bad.verify()
    assert KEY not in str(caught.value)
    assert "Settings, API keys, and pass it as api_key" in str(caught.value)


@pytest.mark.usefixtures("prefect_server")
def test_verify_says_where_a_saved_key_is_mended(sandbox: RunningSandbox) -> None:
    bad = PlanasonixCredentials(api_key=KEY, base_url=sandbox.url)  # pyright: ignore
    bad.save("refused", overwrite=True)
    with pytest.raises(VerificationError, match=r"in the block refused: on its page, or with save\('refused'"):
        bad.verify()
