"""The texts of the GraphQL calls."""

_ERROR = "... on PythonError { message stack causes { message stack } }"
_ENTRIES = """
metadataEntries {
  label description __typename
  ... on TextMetadataEntry { text }
  ... on UrlMetadataEntry { url }
  ... on PathMetadataEntry { path }
  ... on IntMetadataEntry { intRepr }
  ... on FloatMetadataEntry { floatValue }
  ... on BoolMetadataEntry { boolValue }
  ... on JsonMetadataEntry { jsonString }
  ... on MarkdownMetadataEntry { mdStr }
  ... on TimestampMetadataEntry { timestamp }
  ... on PipelineRunMetadataEntry { runId }
  ... on TableSchemaMetadataEntry { schema { columns { name type } } }
}
"""
_ASSET_EVENT = f"runId partition assetKey {{ path }} tags {{ key value }} label description {_ENTRIES}"

HEALTH = """
query {
  workspaceOrError {
    ... on Workspace {
      locationEntries {
        name
        loadStatus
        locationOrLoadError {
          __typename
          ... on PythonError { message stack causes { message stack } }
          ... on RepositoryLocation { repositories { name } }
        }
      }
    }
  }
  instance { daemonHealth { allDaemonStatuses { daemonType required healthy } } }
}
"""

RELOAD = """
mutation ($name: String!) {
  reloadRepositoryLocation(repositoryLocationName: $name) {
    __typename
    ... on WorkspaceLocationEntry {
      locationOrLoadError { __typename ... on PythonError { message stack causes { message stack } } }
    }
    ... on ReloadNotSupported { message }
    ... on RepositoryLocationNotFound { message }
    ... on UnauthorizedError { message }
    ... on PythonError { message stack }
  }
}
"""

LAUNCH = f"""
mutation ($params: ExecutionParams!) {{
  launchRun(executionParams: $params) {{
    __typename
    ... on LaunchRunSuccess {{ run {{ runId }} }}
    ... on RunConfigValidationInvalid {{ errors {{ message }} }}
    ... on InvalidSubsetError {{ message }}
    ... on PipelineNotFoundError {{ message }}
    ... on ConflictingExecutionParamsError {{ message }}
    {_ERROR}
  }}
}}
"""

REEXECUTE = f"""
mutation ($params: ReexecutionParams!) {{
  launchRunReexecution(reexecutionParams: $params) {{
    __typename
    ... on LaunchRunSuccess {{ run {{ runId }} }}
    ... on RunConfigValidationInvalid {{ errors {{ message }} }}
    {_ERROR}
  }}
}}
"""

TERMINATE = """
mutation ($runId: String!, $policy: TerminateRunPolicy) {
  terminateRun(runId: $runId, terminatePolicy: $policy) {
    __typename
    ... on TerminateRunSuccess { run { runId } }
    ... on TerminateRunFailure { message }
    ... on RunNotFoundError { message }
    ... on PythonError { message stack }
  }
}
"""

DELETE = """
mutation ($runId: String!) {
  deleteRun(runId: $runId) {
    __typename
    ... on RunNotFoundError { message }
    ... on PythonError { message stack }
  }
}
"""

BACKFILL = f"""
mutation ($params: LaunchBackfillParams!) {{
  launchPartitionBackfill(backfillParams: $params) {{
    __typename
    ... on LaunchBackfillSuccess {{ backfillId }}
    ... on PartitionKeysNotFoundError {{ message }}
    ... on InvalidSubsetError {{ message }}
    {_ERROR}
  }}
}}
"""

BACKFILL_STATE = f"""
query ($id: String!) {{
  partitionBackfillOrError(backfillId: $id) {{
    __typename
    ... on PartitionBackfill {{
      status
      error {{ message }}
      assetBackfillData {{
        assetBackfillStatuses {{
          ... on AssetPartitionsStatusCounts {{
            assetKey {{ path }}
            targeted: numPartitionsTargeted
            materialized: numPartitionsMaterialized
            failed: numPartitionsFailed
          }}
        }}
      }}
    }}
    {_ERROR}
  }}
}}
"""

RUN = """
query ($runId: ID!) {
  runOrError(runId: $runId) {
    __typename
    ... on Run { runId status rootRunId parentRunId tags { key value } }
  }
}
"""

RUNS = """
query ($filter: RunsFilter, $limit: Int) {
  runsOrError(filter: $filter, limit: $limit) {
    ... on Runs { results { runId status rootRunId parentRunId creationTime tags { key value } } }
  }
}
"""

STEPS = """
query ($runId: ID!) {
  runOrError(runId: $runId) {
    ... on Run { stepStats { stepKey status startTime endTime attempts { startTime endTime } } }
  }
}
"""

EVENTS = f"""
query ($runId: ID!, $cursor: String) {{
  logsForRun(runId: $runId, afterCursor: $cursor) {{
    __typename
    ... on EventConnection {{
      cursor
      hasMore
      events {{
        __typename
        ... on MessageEvent {{ message timestamp level stepKey eventType }}
        ... on DisplayableEvent {{ label description {_ENTRIES} }}
        ... on ErrorEvent {{ error {{ message stack className causes {{ message stack }} }} }}
        ... on MaterializationEvent {{ partition assetKey {{ path }} }}
        ... on ObservationEvent {{ partition assetKey {{ path }} }}
        ... on AssetMaterializationPlannedEvent {{ assetKey {{ path }} }}
        ... on ExecutionStepFailureEvent {{ failureMetadata {{ description {_ENTRIES} }} }}
      }}
    }}
    {_ERROR}
  }}
}}
"""

MATERIALIZATIONS = f"""
query ($key: AssetKeyInput!, $limit: Int) {{
  assetOrError(assetKey: $key) {{
    ... on Asset {{ found: assetMaterializations(limit: $limit) {{ timestamp {_ASSET_EVENT} }} }}
  }}
}}
"""

OBSERVATIONS = f"""
query ($key: AssetKeyInput!, $limit: Int) {{
  assetOrError(assetKey: $key) {{
    ... on Asset {{ found: assetObservations(limit: $limit) {{ timestamp {_ASSET_EVENT} }} }}
  }}
}}
"""

CHECKS = f"""
query ($key: AssetKeyInput!, $name: String!, $limit: Int!) {{
  assetCheckExecutions(assetKey: $key, checkName: $name, limit: $limit) {{
    runId
    status
    evaluation {{ success severity timestamp description {_ENTRIES} }}
  }}
}}
"""

ASSETS = """
query {
  assetNodes {
    assetKey { path }
    groupName
    kinds
    isPartitioned
    jobNames
    assetChecksOrError { ... on AssetChecks { checks { name } } }
  }
}
"""

SENSORS = """
query ($selector: RepositorySelector!) {
  sensorsOrError(repositorySelector: $selector) {
    ... on Sensors { results { name sensorState { status id } } }
  }
}
"""

START_SENSOR = """
mutation ($selector: SensorSelector!) {
  startSensor(sensorSelector: $selector) {
    __typename
    ... on Sensor { name sensorState { id } }
    ... on SensorNotFoundError { message }
    ... on PythonError { message stack }
  }
}
"""

STOP_SENSOR = """
mutation ($id: String!) {
  stopSensor(id: $id) {
    __typename
    ... on StopSensorMutationResult { instigationState { status } }
    ... on PythonError { message stack }
  }
}
"""

SET_CURSOR = """
mutation ($selector: SensorSelector!, $cursor: String) {
  setSensorCursor(sensorSelector: $selector, cursor: $cursor) {
    __typename
    ... on SensorNotFoundError { message }
    ... on PythonError { message stack }
  }
}
"""

TICKS = """
query ($selector: SensorSelector!, $limit: Int) {
  sensorOrError(sensorSelector: $selector) {
    __typename
    ... on Sensor {
      sensorState {
        status
        ticks(limit: $limit) { tickId status timestamp endTimestamp cursor skipReason error { message stack } }
        typeSpecificData { ... on SensorData { lastCursor } }
      }
    }
  }
}
"""
