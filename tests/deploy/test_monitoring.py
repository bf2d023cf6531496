"""Rules, alerts and dashboard name only metrics that the API exports, and only runbooks that
exist."""

import json
import re
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from feature_store.flink.consumer_lag import GroupLag
from feature_store.flink.job_health import JobHealth, Vertex
from feature_store.online.writer_stats import COUNTER_NAMES
from serving.state.job_watch import JobSnapshot
from serving.state.metrics import Metrics
from serving.state.platform_metrics import PlatformSnapshot

ROOT = Path(__file__).parents[2]
RULES = yaml.safe_load((ROOT / "monitoring" / "rules.yml").read_text())
DASHBOARD = json.loads(
    (ROOT / "monitoring" / "grafana" / "dashboards" / "lakehouse-tick.json").read_text()
)
ALERTS = [rule for group in RULES["groups"] for rule in group["rules"] if "alert" in rule]
RECORDED = {
    rule["record"] for group in RULES["groups"] for rule in group["rules"] if "record" in rule
}
EXPRESSIONS = [rule["expr"] for group in RULES["groups"] for rule in group["rules"]]
EXPRESSIONS += [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


def examined() -> JobHealth:
    """A live job with a reader and a group."""
    raw = Vertex("Source: KafkaSource-a.b.wire_raw", "RUNNING", 1, 1, 0, ("wire_raw",))
    return JobHealth(
        "RUNNING", "j", restarts=0, vertices=(raw,), lags=(GroupLag("tick-job-raw", "ticks", 1),)
    )


def exported() -> set[str]:
    """Every name that a scrape of a busy API holds, `_bucket` and `_total` included."""
    metrics, around = Metrics(), CollectorRegistry()
    metrics.requests.labels("POST", "/predict", 200).inc()
    metrics.duration.labels("/predict").observe(0.1)
    metrics.model.labels("tick-model", "1").set(1)
    metrics.results.labels("ok").inc()
    parity = {"unexplained": 0, "values_compared": 1, "taken_us": 1}
    drift, comparison = (
        {"alerts": 0, "prediction_psi": 0.1},
        {"gain_bps": 1.0, "low_bps": 0.5, "high_bps": 1.5},
    )
    around.register(
        PlatformSnapshot(
            1.0,
            dict.fromkeys(COUNTER_NAMES, 1),
            1,
            parity,
            drift,
            comparison,
            redis_up=True,
            redis_bytes=1,
            redis_bytes_max=2,
        )
    )
    around.register(JobSnapshot(examined()))
    text = (generate_latest(metrics.registry) + generate_latest(around)).decode()
    return {
        sample.name for family in text_string_to_metric_families(text) for sample in family.samples
    }


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_metric_named_exists(expression):
    named = set(re.findall(r"\btick[_:][a-z_0-9]+", expression))
    assert named or 'up{job="api"}' in expression
    assert named <= exported() | RECORDED


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_has_a_severity_a_summary_and_a_runbook(rule):
    file, _, heading = rule["annotations"]["runbook"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / file).read_text(), re.MULTILINE)
    assert heading in {text.lower() for text in headings}
    assert rule["alert"] in headings
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert rule["annotations"]["summary"]


def test_a_redis_that_does_not_answer_leaves_an_alert_something_to_see():
    """Every figure from Redis is absent then, and an expression on absent samples never fires."""
    registry = CollectorRegistry()
    registry.register(PlatformSnapshot())
    families = text_string_to_metric_families(generate_latest(registry).decode())
    samples = {sample.name: sample.value for family in families for sample in family.samples}
    assert samples == {"tick_redis_up": 0.0}
    expressions = {rule["alert"]: rule["expr"] for rule in ALERTS}
    assert expressions["RedisDown"] == "tick_redis_up == 0"
    assert "unless on(instance) tick_pipeline_lag_seconds" in expressions["PipelineUnknown"]


def test_every_runbook_has_its_alert():
    headings = re.findall(r"^## (.+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE)
    assert set(headings) == {rule["alert"] for rule in ALERTS}


def test_the_dashboard_has_its_panels_on_the_provisioned_source():
    places = [tuple(panel["gridPos"].values()) for panel in DASHBOARD["panels"]]
    assert len(set(places)) == len(places) == len({panel["title"] for panel in DASHBOARD["panels"]})
    sources = yaml.safe_load(
        (ROOT / "monitoring/grafana/provisioning/datasources/prometheus.yml").read_text()
    )["datasources"]
    assert {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]} == {
        source["uid"] for source in sources
    }


def test_the_scrape_target_is_a_service_of_compose():
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    scrape = yaml.safe_load((ROOT / "monitoring" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {
        target for job in scrape for static in job["static_configs"] for target in static["targets"]
    }
    assert {target.partition(":")[0] for target in targets} <= compose.keys()
    assert all(
        any(
            port.endswith(target.partition(":")[2])
            for port in compose[target.partition(":")[0]]["ports"]
        )
        for target in targets
    )
