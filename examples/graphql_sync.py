"""Sync through the GraphQL API of the Dagster UI, from any machine that reaches it: launch, watch, read the report.

    python examples/graphql_sync.py [--url http://127.0.0.1:3000] [--store KEY] [--full] [ORDER_ID ...]

Prints the SyncResult as JSON. Exit code 0 when everything was done, 3 when some orders failed, 4 when the call
budget ended first, 1 when the run failed or was canceled. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from datetime import UTC, datetime
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

LAUNCH = """
mutation ($params: ExecutionParams!) {
  launchRun(executionParams: $params) {
    __typename
    ... on LaunchRunSuccess { run { runId } }
    ... on PythonError { message }
    ... on RunConfigValidationInvalid { errors { message } }
  }
}
"""
WATCH = """
query ($runId: ID!, $cursor: String) {
  runOrError(runId: $runId) { ... on Run { status } }
  logsForRun(runId: $runId, afterCursor: $cursor) {
    ... on EventConnection {
      cursor
      hasMore
      events {
        ... on MaterializationEvent { assetKey { path } metadataEntries { ...entry } }
        ... on ExecutionStepFailureEvent { failureMetadata { description metadataEntries { ...entry } } }
      }
    }
  }
}
fragment entry on MetadataEntry {
  label
  ... on BoolMetadataEntry { boolValue }
  ... on IntMetadataEntry { intValue }
  ... on FloatMetadataEntry { floatValue }
  ... on TextMetadataEntry { text }
  ... on TimestampMetadataEntry { timestamp }
  ... on TableMetadataEntry { table { records } }
}
"""
FIELDS = (
    "success",
    "orders_processed",
    "orders_created",
    "orders_updated",
    "orders_skipped",
    "orders_deferred",
    "errors",
    "api_calls",
    "last_synced_at",
    "duration_seconds",
)


def ask(url: str, query: str, variables: dict[str, Any]) -> Any:
    """The data of an answer; SystemExit if nobody answers, or with Dagster's message if the query is refused."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = Request(f"{url}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310  (the user's own URL)
    try:
        with urlopen(request, timeout=60) as answer:  # noqa: S310
            answered = json.load(answer)
    except URLError as error:
        sys.exit(f"The Dagster UI at {url} cannot be reached: {error.reason}. Start it with: make up")
    if "errors" in answered:
        sys.exit("\n".join(error["message"] for error in answered["errors"]))
    return answered["data"]


def launch(url: str, config: dict[str, Any], store: str | None) -> str:
    """Launch the store's sync_orders with this config, and return the run's id."""
    suffix, graph = (f"_{store}", f"sync_sales_{store}") if store else ("", "sync")
    params = {
        "selector": {
            "repositoryLocationName": "bl_pipeline",
            "repositoryName": "__repository__",
            "jobName": f"sync_orders{suffix}",
        },
        "runConfigData": {"ops": {graph: {"config": config}}},
    }
    launched = ask(url, LAUNCH, {"params": params})["launchRun"]
    if launched["__typename"] != "LaunchRunSuccess":
        errors = launched.get("errors") or [launched]
        sys.exit("\n".join(error.get("message", launched["__typename"]) for error in errors))
    return str(launched["run"]["runId"])


def watch(url: str, run_id: str) -> tuple[str, list[dict[str, Any]]]:
    """Wait for the run's end, and print its states; returns its status, and its events with metadata."""
    cursor, events, printed = None, [], ""
    while True:
        answered = ask(url, WATCH, {"runId": run_id, "cursor": cursor})
        status, logs = answered["runOrError"]["status"], answered["logsForRun"]
        events += [event for event in logs["events"] if event]
        cursor = logs["cursor"]
        if status != printed:
            print(f"{run_id} {status.lower()}", file=sys.stderr)
            printed = status
        if status in ("SUCCESS", "FAILURE", "CANCELED") and not logs["hasMore"]:
            return status, events
        time.sleep(1)


def values(entries: list[dict[str, Any]]) -> dict[str, Any]:
    """Metadata by label."""
    read: dict[str, Any] = {}
    value: Any
    for entry in entries:
        label = entry.pop("label")
        kind, value = next(iter(entry.items()), ("", None))
        if kind == "table":
            value = [json.loads(record) for record in value["records"]]
        elif kind == "timestamp":
            value = datetime.fromtimestamp(value, UTC).isoformat()
        read[label] = value
    return read


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description="Sync through the GraphQL API of the Dagster UI.")
    parser.add_argument("--url", default="http://127.0.0.1:3000", help="address of the UI")
    parser.add_argument("--store", metavar="KEY", help="the store, if there are several")
    parser.add_argument("--full", action="store_true", help="fetch every order again")
    parser.add_argument("order_ids", nargs="*", metavar="ORDER_ID", help="fetch just these orders")
    asked = parser.parse_args()

    run_id = launch(asked.url, {"full_sync": asked.full, "order_ids": asked.order_ids}, asked.store)
    status, events = watch(asked.url, run_id)

    report: dict[str, Any] = {}
    orders = [asked.store, "orders"] if asked.store else ["orders"]
    for event in events:
        if (event.get("assetKey") or {}).get("path") == orders:
            report = values(event["metadataEntries"])
        elif failure := event.get("failureMetadata"):
            print(failure["description"], file=sys.stderr)
            report = values(failure["metadataEntries"])
    print(json.dumps({name: report.get(name) for name in FIELDS}, indent=2))
    if status == "SUCCESS" and (message := report.get("message")):
        print(message, file=sys.stderr)
    if status != "SUCCESS" or not report:
        return 1
    if report["success"]:
        return 0
    return 3 if report["errors"] and not report["orders_deferred"] else 4


if __name__ == "__main__":
    sys.exit(main())
