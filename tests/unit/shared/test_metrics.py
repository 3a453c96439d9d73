"""`viscum metrics` says what `status` says, in the words that Prometheus reads."""

from viscum_agent.cli import metrics
from viscum_agent.cli.metrics import COUNTER, METRICS, MICRO, SERVICE

ROW = {"state": "bypassed", "inhibitors": ["asked", "checks"], "restarts": 2, "cpu_usec": 12000034, "memory": None}
ROW.update({"passed": {"cloud": 5, "late": 0, "closed": 0, "elsewhere": 0, "of a later agent": 9}, "direct": {}})
ANSWER = {"up": 1, "version": "1.2.3", "uptime": 7, "services": {"web": ROW, "dns": dict(ROW, state="healthy")}}


def lines(answer, older=False):
    return metrics.text(answer, older).split("\n")


def test_a_metric_has_its_type_unit_help_and_samples_in_one_piece():
    found = lines(ANSWER)
    at = found.index("# TYPE viscum_service_cpu_seconds counter")
    assert found[at : at + 5] == [
        "# TYPE viscum_service_cpu_seconds counter",
        "# UNIT viscum_service_cpu_seconds seconds",
        "# HELP viscum_service_cpu_seconds Processor time that the service has used.",
        'viscum_service_cpu_seconds_total{service="dns"} 12.000034',
        'viscum_service_cpu_seconds_total{service="web"} 12.000034',
    ]
    assert found[-2:] == ["# EOF", ""]


def test_the_older_format_has_counters_by_their_whole_names_no_units_and_no_end():
    found = lines(ANSWER, older=True)
    at = found.index("# TYPE viscum_service_cpu_seconds_total counter")
    assert found[at - 1] == "# HELP viscum_service_cpu_seconds_total Processor time that the service has used."
    assert [line for line in found if line.startswith("# UNIT") or line == "# EOF"] == []
    samples = [[line for line in each if not line.startswith("#")] for each in (found, lines(ANSWER))]
    assert samples[0] == samples[1], "the same samples"


def test_of_states_one_is_1_and_of_reasons_all_that_there_are():
    found = lines(ANSWER)
    assert 'viscum_service_state{service="web",state="bypassed"} 1' in found
    assert 'viscum_service_state{service="web",state="healthy"} 0' in found
    assert 'viscum_service_state{service="dns",state="healthy"} 1' in found
    reasons = [line[-1] for line in found if line.startswith('viscum_service_inhibited{service="web"')]
    assert "".join(reasons) == "101000"


def test_a_label_has_no_value_that_is_not_in_the_table():
    assert 'viscum_service_passed_packets_total{service="web",reason="cloud"} 5' in lines(ANSWER)
    assert "later agent" not in metrics.text(ANSWER, False)


def test_a_key_may_lead_into_a_value():
    row = dict(ROW, worth={"rtt": 1100, "cloud_rtt": None})
    found = lines({"up": 1, "services": {"web": row, "dns": dict(ROW, worth=None), "mail": ROW}})
    assert [line for line in found if "_rtt_" in line and line[0] != "#"] == [
        'viscum_service_edge_rtt_seconds{service="web"} 0.001100'
    ]


def test_what_is_null_or_missing_has_no_line_and_no_head():
    text = metrics.text(ANSWER, False)
    assert "viscum_service_memory" not in text and "viscum_service_direct" not in text
    assert "viscum_agent_uptime_seconds 7\n" in text and 'viscum_agent_info{version="1.2.3"} 1\n' in text


def test_without_an_agent_only_that_is_said():
    assert lines({"up": 0, "services": {}})[2:] == ["viscum_agent_up 0", "# EOF", ""]


def test_names_follow_the_conventions():
    for metric in METRICS:
        assert metric.name.startswith("viscum_%s_" % metric.whose), metric.name
        assert metric.name.endswith("_total") == (metric.kind == COUNTER), metric.name
        assert metric.label not in ("service", "instance", "job"), metric.name
        assert "\\" not in metric.says and "\n" not in metric.says and metric.says.endswith("."), metric.name
        assert metric.form != MICRO or "_seconds" in metric.name
    assert len({metric.name for metric in METRICS}) == len(METRICS)
    assert len({(metric.whose, metric.key) for metric in METRICS}) == len(METRICS), "nothing is said twice"
    assert {metric.whose for metric in METRICS} == {"agent", SERVICE}
