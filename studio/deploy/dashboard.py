"""The Grafana dashboard and Prometheus' alarms, made of figures that the server really gives at ``/metrics``.

Names of vLLM's figures: vLLM 0.32 ``v1/metrics/loggers.py`` (its client library adds ``_total`` to counters and ``_bucket`` to
histograms); the guard's: ``studio/serve/ledger.py``. The checks hold every name in an expression against this table.
"""

from __future__ import annotations

import json
import re
from typing import Any

METRICS = {
    "vllm:num_requests_running": "gauge",
    "vllm:num_requests_waiting": "gauge",
    "vllm:kv_cache_usage_perc": "gauge",
    "vllm:prompt_tokens_total": "counter",
    "vllm:generation_tokens_total": "counter",
    "vllm:request_success_total": "counter",
    "vllm:num_preemptions_total": "counter",
    "vllm:time_to_first_token_seconds_bucket": "histogram",
    "vllm:inter_token_latency_seconds_bucket": "histogram",
    "vllm:e2e_request_latency_seconds_bucket": "histogram",
    "vllm:request_queue_time_seconds_bucket": "histogram",
    "studio_requests_total": "counter",
    "studio_request_seconds_total": "counter",
    "studio_refusals_total": "counter",
    "studio_unrecorded_total": "counter",
    "studio_feedback": "gauge",
    "up": "gauge",
}
"""Every figure that a panel or an alarm may ask for, and what it is."""
DATASOURCE = "studio-prometheus"
"""The datasource's uid: the same in its provisioning file and in every panel."""
JOB = "studio"
_WIDTH, _HEIGHT = 8, 7


def _quantile(q: float, histogram: str) -> str:
    """A quantile of a histogram over the last minutes."""
    return f"histogram_quantile({q}, sum by (le) (rate({histogram}[$__rate_interval])))"


_PANELS: tuple[tuple[str, str, tuple[tuple[str, str], ...]], ...] = (
    (
        "Requests a second, by outcome",
        "reqps",
        (("sum by (outcome) (rate(studio_requests_total[$__rate_interval]))", "{{outcome}}"),),
    ),
    (
        "Refused by the guard, a second",
        "reqps",
        (("sum by (reason) (rate(studio_refusals_total[$__rate_interval]))", "{{reason}}"),),
    ),
    (
        "Running and waiting",
        "short",
        (("sum(vllm:num_requests_running)", "running"), ("sum(vllm:num_requests_waiting)", "waiting")),
    ),
    (
        "Time to the first token",
        "s",
        (
            (_quantile(0.5, "vllm:time_to_first_token_seconds_bucket"), "median"),
            (_quantile(0.95, "vllm:time_to_first_token_seconds_bucket"), "95%"),
        ),
    ),
    (
        "Time between tokens",
        "s",
        (
            (_quantile(0.5, "vllm:inter_token_latency_seconds_bucket"), "median"),
            (_quantile(0.95, "vllm:inter_token_latency_seconds_bucket"), "95%"),
        ),
    ),
    (
        "Time of a whole request",
        "s",
        (
            (_quantile(0.5, "vllm:e2e_request_latency_seconds_bucket"), "median"),
            (_quantile(0.95, "vllm:e2e_request_latency_seconds_bucket"), "95%"),
        ),
    ),
    (
        "Tokens a second",
        "short",
        (
            ("sum(rate(vllm:prompt_tokens_total[$__rate_interval]))", "read"),
            ("sum(rate(vllm:generation_tokens_total[$__rate_interval]))", "written"),
        ),
    ),
    ("Cache of keys and values in use", "percentunit", (("max(vllm:kv_cache_usage_perc)", "share"),)),
    ("What users say", "short", (("sum by (kind) (studio_feedback)", "{{kind}}"),)),
)
"""Title, unit, and expression with legend of each panel."""


def dashboard(title: str, uid: str) -> str:
    """The dashboard as Grafana provisions it."""
    panels: list[dict[str, Any]] = []
    for place, (name, unit, asked) in enumerate(_PANELS):
        source = {"type": "prometheus", "uid": DATASOURCE}
        targets = [
            {"refId": chr(65 + number), "datasource": source, "expr": expression, "legendFormat": legend}
            for number, (expression, legend) in enumerate(asked)
        ]
        grid = {"x": place % 3 * _WIDTH, "y": place // 3 * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}
        defaults = {"unit": unit, "min": 0, "custom": {"fillOpacity": 10, "showPoints": "never"}}
        panels.append(
            {
                "id": place + 1,
                "type": "timeseries",
                "title": name,
                "datasource": source,
                "gridPos": grid,
                "fieldConfig": {"defaults": defaults, "overrides": []},
                "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
                "targets": targets,
            }
        )
    whole = {
        "uid": uid,
        "title": title,
        "schemaVersion": 39,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "tags": ["studio"],
        "templating": {"list": []},
        "panels": panels,
    }
    return json.dumps(whole, indent=2) + "\n"


def names_in(expression: str) -> set[str]:
    """Names of the figures that a PromQL expression asks for: what is no function, no label and no keyword."""
    bare = re.sub(r'"[^"]*"|\[[^\]]*\]|\{[^}]*\}|\bby\s*\([^)]*\)|\bwithout\s*\([^)]*\)', " ", expression)
    found = re.finditer(r"[a-zA-Z_:][a-zA-Z0-9_:]*", bare)
    words = {match[0] for match in found if not bare[match.end() :].lstrip().startswith("(")}
    return words - {"and", "or", "unless", "on", "ignoring", "bool", "by", "without", "offset"}
