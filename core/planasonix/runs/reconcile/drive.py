"""Carry out the rules of `runs.reconcile.rules` over a whole source, with the sync client."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from planasonix.errors import ConfigurationError
from planasonix.runs.drivers import perform
from planasonix.runs.reconcile.findings import Entry, Finding, FindingKind, Unreadable
from planasonix.runs.reconcile.rules import Examination
from planasonix.runs.record import Record

if TYPE_CHECKING:
    from planasonix.client import Planasonix
    from planasonix.runs.reconcile.sources import LedgerSource

_TOLD: tuple[FindingKind, ...] = ("orphan", "outcome_unknown", "unreadable", "ended_unseen", "left")
"""The kinds that a human reads, the most urgent first. The others say that nothing happened."""

_PATIENCE_SECONDS = 30.0
"""How long the ends of all backfills that were asked to stop are awaited together."""


@dataclass(frozen=True)
class Reconciliation:
    """All findings of one pass. `applied`: whether orphans were cancelled, or only listed."""

    applied: bool
    findings: tuple[Finding, ...]

    @property
    def to_cancel(self) -> tuple[Finding, ...]:
        """The orphans that a dry run found: `apply` would cancel exactly these."""
        return tuple(finding for finding in self.findings if finding.action == "would_cancel")

    @property
    def for_a_human(self) -> tuple[Finding, ...]:
        """What nothing here can put right."""
        return tuple(finding for finding in self.findings if finding.needs_human)

    @property
    def counts(self) -> dict[str, int]:
        """How many findings there are of each kind."""
        return dict(Counter(finding.kind for finding in self.findings))

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready."""
        return {
            "applied": self.applied,
            "counts": self.counts,
            "findings": [finding.to_dict() for finding in self.findings],
        }

    def report(self) -> str:
        """What a human needs to read, the most urgent first; settled entries are only counted."""
        counts = ", ".join(f"{number} {kind.replace('_', ' ')}" for kind, number in sorted(self.counts.items()))
        total = f"{len(self.findings)} findings: {counts}"
        lines = [total if self.findings else "The ledger holds no entry to look at."]
        for kind in _TOLD:
            for finding in self.findings:
                if finding.kind == kind:
                    lines += _lines(finding)
        return "\n".join(lines)


def reconcile_ledger(
    client: Planasonix,
    source: LedgerSource,
    *,
    apply: bool = False,
    grace_seconds: float = 60.0,
    on_finding: Callable[[Finding], None] | None = None,
) -> Reconciliation:
    """Look at every entry of the source; with `apply`, cancel the orphans, each after its owner was asked again.

    `grace_seconds`: an owner that ended less than this ago may still be cancelling by itself. `on_finding` is called
    with each finding as it is made, last for a backfill whose end is awaited. Raises `AuthenticationError` when the key
    is refused, and whatever the source raises; what concerns one entry only is a finding.

    >>> import tempfile
    >>> from planasonix import Planasonix
    >>> from planasonix.runs import Provenance, SqliteLedger, SqliteSource, SyncRequest, reconcile_ledger, start_run
    >>> from planasonix.sandbox import Sandbox
    >>> client = Planasonix("plnx_live_sandbox", transport=Sandbox(speed=0).transport())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ledger = SqliteLedger(f"{folder}/ledger.db", "nightly")
    ...     killed = Provenance("python", "a script that was killed")
    ...     _ = start_run(client, SyncRequest("conn_shop_orders"), intent="a", ledger=ledger, provenance=killed)
    ...     source = SqliteSource(f"{folder}/ledger.db", owner_ended=["nightly"])
    ...     [found] = reconcile_ledger(client, source).findings
    >>> found.kind, found.action
    ('orphan', 'would_cancel')
    """
    if grace_seconds < 0:
        raise ConfigurationError(f"grace_seconds must be 0 or more, got {grace_seconds!r}.", field="grace_seconds")
    rules = Examination(time.time, grace_seconds, client.config.job_url_template)
    entries = list(source.entries())
    findings: list[Finding] = []
    stopping: list[tuple[int, Entry, Finding]] = []

    def tell(finding: Finding) -> None:
        if on_finding is not None:
            on_finding(finding)

    def found(finding: Finding) -> None:
        findings.append(finding)
        tell(finding)

    for entry in entries:
        if isinstance(entry, Unreadable):
            text = f"{entry.slot} could not be read: {entry.why}"
            found(Finding("unreadable", entry.slot, text, needs_human=True))
            continue
        for finding in perform(client, rules.examine(entry), ledger=_OtherEntries(entries, entry)):
            if apply and finding.action == "would_cancel":
                # The list may be minutes old by now, and the owner cleared and at work again.
                again = source.refresh(entry.slot)
                done = perform(client, rules.put_right(entry, again, finding, patience_seconds=0.0))
                if done.action == "not_cancelled" and entry.record.kind == "backfill":
                    # All are asked before the end of the first is awaited: each may take its time.
                    stopping.append((len(findings), entry, finding))
                    findings.append(done)
                    continue
                finding = done
            found(finding)
    give_up_at = time.monotonic() + _PATIENCE_SECONDS
    for index, entry, finding in stopping:
        left = max(0.0, give_up_at - time.monotonic())
        findings[index] = perform(client, rules.await_end(entry, finding, patience_seconds=left))
        tell(findings[index])
    return Reconciliation(apply, tuple(findings))


class _OtherEntries:
    """The ledger as a look for a lost run sees it: what the other entries own is not ours."""

    def __init__(self, entries: Iterable[Entry | Unreadable], this: Entry) -> None:
        self._owned = {
            other.record.run_id
            for other in entries
            if isinstance(other, Entry) and other is not this and other.record.owned and other.record.run_id
        }

    def read(self) -> Record | None:
        return None

    def write(self, record: Record) -> None:
        raise TypeError("reconcile writes nothing to a ledger")

    def claimed(self, run_ids: Iterable[str]) -> frozenset[str]:
        return frozenset(run_ids) & self._owned


def _lines(finding: Finding) -> list[str]:
    what = {"would_cancel": "would be cancelled", "cancelled": "cancelled", "not_cancelled": "NOT cancelled"}
    done = f" [{what[finding.action]}]" if finding.action in what else ""
    links = [link for link in (finding.run_link, finding.owner_link) if link]
    return [f"  {finding.kind.replace('_', ' ')}{done}: {finding.sentence}", *(f"      {link}" for link in links)]
